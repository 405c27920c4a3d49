"""From what a user wants served to the application that serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gym_core import Agent, ResourceServer, Runner, UsageError
from gym_core.spi import Assembler, Configured, Kind, Redactor, RunConfig, check_models, open_rollouts, run_config
from gym_http.serve import whole_tasks
from gym_http.serve.application import Application, build
from gym_http.serve.environment.opener_models import OpenerModels
from gym_http.serve.environment.opening import open_environment
from gym_http.serve.parts import describe
from gym_http.serve.settings import ServeSettings

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from gym_core import ModelBackend, SandboxProvider
    from gym_core.spi import Clock
    from gym_http.serve.environment.sessions import Sessions

POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to serve: an environment, a model, an agent with both, or an agent alone. Options are given by field name.

    Each is a reference, or made already. `models` by role: with an environment alone those that its sessions ask, with
    an agent the policy, too. An agent alone works on the episodes of others. `sandbox`: what makes the sandboxes of an
    environment's sessions. `concurrency`: rollouts at once of an agent. `mcp`: offer the tools of an environment's
    sessions over MCP, too. `configured`: what a file gives each component. `role`: of a model, what it is told that it
    is. `takes_options`: the runner of an environment has those that a task comes with.
    """

    env: str | ResourceServer | None = None
    models: Mapping[str, str | ModelBackend] = field(default_factory=dict)
    agent: str | Agent | Runner | None = None
    env_options: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    sandbox: str | SandboxProvider | None = None
    sandbox_options: Mapping[str, Any] = field(default_factory=dict)
    concurrency: int = 1024
    mcp: bool = False
    disabled_plugins: tuple[str, ...] = ()
    configured: Mapping[str, Configured] = field(default_factory=dict)
    role: str = POLICY
    takes_options: bool = False

    def __post_init__(self) -> None:
        if self.agent is not None:
            if (self.env is None) != (POLICY not in self.models) or (self.env is None and self.models):
                raise UsageError(
                    "an agent is served with its environment and its model, or without both",
                    hint="--env REF --model REF",
                )
        elif self.env is None and not self.models:
            raise UsageError("there is nothing to serve", hint="--env REF, --model REF, or --agent REF with both")
        elif self.env is None and set(self.models) != {self.role}:
            raise UsageError("a model is served without a role", hint="--model REF, once")
        elif self.env is not None and POLICY in self.models:
            raise UsageError(
                "an environment asks no policy: whoever calls its tools does",
                hint="--model ROLE=REF for a model that it asks, or --agent REF to serve all three",
            )
        if self.mcp and self.kind != "resource_server":
            raise UsageError("--mcp offers the tools of an environment", hint="gym serve --env REF --mcp")
        for options, flag, component in (
            (self.env_options, "-E", self.env),
            (self.agent_options, "-A", self.agent),
            (self.model_options, "-M", self.models),
            (self.sandbox_options, "-S", self.sandbox),
        ):
            if options and not component:
                raise UsageError(f"{flag} is for a component that is not served here", hint="leave it out")
        if self.sandbox is not None and self.env is None:
            raise UsageError("--sandbox is for an environment, and none is served here", hint="leave it out")

    @property
    def kind(self) -> str:
        """`resource_server`, `model` or `agent`."""
        if self.agent is not None:
            return "agent"
        return "resource_server" if self.env is not None else "model"

    @property
    def name(self) -> str:
        """The reference of what is served."""
        return str(self.agent or self.env or self.models[self.role])


async def open_application(
    wanted: Wanted,
    settings: ServeSettings,
    stack: AsyncExitStack,
    redactor: Redactor,
    *,
    clock: Clock | None = None,
    time: Callable[[], float] | None = None,
) -> tuple[Application, list[str]]:
    """The application, and what a user should know. `stack` closes its components.

    `clock`: by which a model's retries wait, `time`: by which sessions expire; those of the event loop by default.
    Raises `UsageError` and `PluginError`.
    """
    if wanted.kind == "resource_server":
        return await _environment(wanted, settings, stack, redactor, time)
    if wanted.kind == "model":
        return await _model(wanted, settings, stack, redactor, clock)
    return await _agent(wanted, settings, stack, redactor)


async def _environment(
    wanted: Wanted,
    settings: ServeSettings,
    stack: AsyncExitStack,
    redactor: Redactor,
    time: Callable[[], float] | None,
) -> tuple[Application, list[str]]:
    assert wanted.env is not None
    config = _config(wanted, settings)
    assembler = Assembler.of(config, redactor)
    opened = await assembler.open_all(assembler.make_all(config, agent=False, complete=False), stack)
    server = opened.server
    look = await check_models(opened.models, settings.deadlines.setup)
    about = describe(server, assembler, "env")
    endpoints: list[Any] = []

    def more(sessions: Sessions) -> list[Any]:
        if not wanted.mcp:
            return []
        try:
            from gym_http.serve.environment.mcp import SessionsOverMCP

            endpoint = SessionsOverMCP(sessions, name=about["name"], version=about["version"], redactor=redactor)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("gym_mcp", "mcp"):
                raise
            raise UsageError("--mcp needs the plugin gym-mcp", hint="pip install gym-mcp") from None
        endpoints.append(endpoint)
        return endpoint.routes()

    @asynccontextmanager
    async def open_runner(options: Mapping[str, Any]) -> AsyncIterator[Runner]:
        async with AsyncExitStack() as runners:
            runner = await _open_runner(assembler, runners, server, options)
            if runner is None:
                raise UsageError(f"the runner that {wanted.env} names is no longer installed here")
            yield runner

    app = await open_environment(
        server,
        settings,
        stack,
        describe=about,
        models=opened.models,
        look=look,
        sandboxes=opened.sandboxes,
        redactor=redactor,
        time=time,
        more=more,
        lend=opened.gateway.offer_model,
        runner=await _open_runner(assembler, stack, server, {}),
        open_runner=open_runner if wanted.takes_options else None,
    )
    for endpoint in endpoints:
        await stack.enter_async_context(endpoint.lifespan())
    return app, look.notices


async def _model(
    wanted: Wanted, settings: ServeSettings, stack: AsyncExitStack, redactor: Redactor, clock: Clock | None
) -> tuple[Application, list[str]]:
    from gym_http.serve.model import openapi as model_openapi
    from gym_http.serve.model import routes as module

    assembler = _parts(wanted, settings, redactor)
    options = wanted.model_options.get(wanted.role, {})
    backend = await assembler.open(stack, Kind.MODEL, wanted.models[wanted.role], options, role=wanted.role)
    look = await check_models({wanted.role: backend}, settings.deadlines.setup)
    served = module.ServedModel(backend, deadlines=settings.deadlines, clock=clock)
    served.gate.answered = wanted.role in look.answered
    app = build(
        "model",
        module.routes(served),
        settings=settings,
        describe={**describe(backend, assembler, wanted.role), "capabilities": served.capabilities()},
        openapi=[model_openapi.openapi()],
        redactor=redactor,
    )
    return app, look.notices


async def _agent(
    wanted: Wanted, settings: ServeSettings, stack: AsyncExitStack, redactor: Redactor
) -> tuple[Application, list[str]]:
    from gym_http.serve.agent import episodes
    from gym_http.serve.agent import openapi as agent_openapi
    from gym_http.serve.agent import routes as module
    from gym_http.serve.agent.rollouts import ServedRollouts

    if wanted.env is None:
        return await _agent_alone(wanted, settings, stack, redactor)
    rollouts, opened = await open_rollouts(stack, _config(wanted, settings), redactor)
    agent = opened.assembly.agent
    assert agent is not None
    hosted: list[BaseRoute] = []
    if isinstance(agent, Agent):  # a runner works on no episodes
        alone = episodes.Episodes(agent, callbacks=settings.callbacks)
        hosted = (await stack.enter_async_context(alone)).routes
    app = build(
        "agent",
        module.routes(ServedRollouts(rollouts, redactor=redactor), hosted, masks_failures=settings.masks_failures),
        settings=settings,
        describe=describe(agent, opened.assembler, "agent", runs=True),
        openapi=[agent_openapi.openapi(), *([episodes.OPENAPI] if hosted else [])],
        redactor=redactor,
    )
    return app, opened.look.notices


async def _agent_alone(
    wanted: Wanted, settings: ServeSettings, stack: AsyncExitStack, redactor: Redactor
) -> tuple[Application, list[str]]:
    """An agent for the runs of others, which bring the model and the environment."""
    from gym_http.serve.agent import episodes

    assert wanted.agent is not None
    assembler = _parts(wanted, settings, redactor)
    agent: Agent | Runner = await assembler.open(stack, Kind.AGENT, wanted.agent, wanted.agent_options)
    if isinstance(agent, Runner):
        if agent.describe().environment:
            raise UsageError(
                f"the runner {wanted.agent} works in an environment", hint="gym serve --env REF serves it with that one"
            )
        models = await stack.enter_async_context(OpenerModels(settings.deadlines, settings.callbacks))
        app = build(
            "agent",
            whole_tasks.WholeTasks(agent, None, models).routes,
            settings=settings,
            describe=describe(agent, assembler, "agent", runs=False, completes=True),
            openapi=[whole_tasks.OPENAPI],
            redactor=redactor,
        )
        return app, []
    hosted = await stack.enter_async_context(episodes.Episodes(agent, callbacks=settings.callbacks))
    app = build(
        "agent",
        hosted.routes,
        settings=settings,
        describe=describe(agent, assembler, "agent", runs=False),
        openapi=[episodes.OPENAPI],
        redactor=redactor,
    )
    return app, []


async def _open_runner(
    assembler: Assembler, stack: AsyncExitStack, server: ResourceServer, options: Mapping[str, Any]
) -> Runner | None:
    """The runner that an environment names; None where it names an agent, or what is not installed."""
    preferred = server.describe().preferred_agent
    try:
        if assembler.manager.find(Kind.AGENT, preferred).kind is not Kind.RUNNER:
            return None
    except UsageError:
        return None
    runner: Runner = await assembler.open(stack, Kind.AGENT, preferred, options)
    return runner


def _config(wanted: Wanted, settings: ServeSettings) -> RunConfig:
    """The run that an environment, or an agent with one, is served as."""
    return run_config(
        models=wanted.models,
        env=wanted.env,
        agent=wanted.agent,
        model_options=wanted.model_options,
        env_options=wanted.env_options,
        agent_options=wanted.agent_options,
        sandbox=wanted.sandbox,
        sandbox_options=wanted.sandbox_options,
        concurrency=wanted.concurrency,
        deadlines=settings.deadlines,
        seed=settings.seed,
        disabled_plugins=wanted.disabled_plugins,
        configured=wanted.configured,
    )


def _parts(wanted: Wanted, settings: ServeSettings, redactor: Redactor) -> Assembler:
    return Assembler(
        redactor,
        concurrency=wanted.concurrency,
        seed=settings.seed,
        disabled_plugins=wanted.disabled_plugins,
        configured=wanted.configured,
    )
