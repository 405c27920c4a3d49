"""A run's components: loaded, given their options, opened, and closed again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

from gym_core.contract.agent import Agent
from gym_core.contract.component import Component
from gym_core.contract.executor import ExecutorProvider
from gym_core.contract.gateway import Gateway
from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.runner import Runner
from gym_core.contract.sandbox import SandboxProvider
from gym_core.domain.errors import UsageError
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.config import WORKERS, Execution, RunConfig
from gym_core.engine.model_calls.prices import Price
from gym_core.engine.rollout.runner_rollout import NoEnvironment
from gym_core.engine.rollout.stage import LazyGateway
from gym_core.wiring.config_file import GATEWAY, HTTP, POLICY, Configured
from gym_core.wiring.dotenv import load_dotenv
from gym_core.wiring.fields import operational_fields, secret_fields
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import Maker, enter, place_of
from gym_core.wiring.manager import Loaded, PluginManager
from gym_core.wiring.options import secret_values
from gym_core.wiring.scripts import source_of_class
from gym_core.wiring.secrets import Redactor


class Described:
    """What is known of the components of a run.

    `described`: what the manifest says of each. `operational`: their options that change no result. `given`: the names
    of those that were set, defaults not among them. `sources`: where the classes of scripts lie, `/path/FILE.py:CLASS`,
    those of instances among them that no package has.
    """

    def __init__(self) -> None:
        self.described: dict[str, Any] = {}
        self.operational: dict[str, Any] = {}
        self.given: dict[str, list[str]] = {}
        self.sources: dict[str, str] = {}

    @property
    def distributions(self) -> list[str]:
        """The distributions that the components are from, as far as it is known."""
        described = [*self.described.get("models", {}).values(), *map(self.described.get, ("env", "agent", "sandbox"))]
        return sorted({about["distribution"] for about in described if about and "distribution" in about})

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """The hashes of the files of scripts, by place."""
        described = {**self.described.get("models", {}), **self.described}
        return {place: described[place]["files"] for place in self.sources if "files" in described.get(place, {})}

    def name_of(self, place: str) -> str | None:
        """What rows call the environment (`env`) or the `agent`: of one behind a URL, the name that it has there."""
        described = self.described.get(place, {})
        name: str | None = described.get("component", {}).get("name") or described.get("ref")
        return name

    def kept(self, prices: Mapping[str, Price]) -> dict[str, Any]:
        """What a manifest keeps of them that changes no result, with the prices of the models by role."""
        return {
            "prices": {role: price.to_wire() for role, price in prices.items()},
            "options": self.operational,
            "given": self.given,
            "sources": self.sources,
        }

    def of(self, kind: Kind, place: str) -> dict[str, Any]:
        """What the manifest says of one component, to be added to."""
        about: dict[str, Any] = self.described.setdefault("models", {}) if kind is Kind.MODEL else self.described
        found: dict[str, Any] = about.setdefault(place, {})
        return found

    def add(self, kind: Kind, place: str, component: Component, origin: Mapping[str, Any]) -> None:
        """Note a component, and where it comes from."""
        results, operational = _dumped(component)
        if kind in (Kind.GATEWAY, Kind.EXECUTOR):  # where rollouts run, and are reached, changes no result
            operational.update(results)
        else:
            described = self.of(kind, place)
            described.clear()
            described.update({**origin, "options": results})
        self.operational[place] = operational
        self.given[place] = sorted(component.options.model_fields_set)


@dataclass(slots=True, kw_only=True)
class Assembly:
    """The components of a run: made first, then open. `gateway` and `executor`, where there is one, are opened later.

    `config`: what was asked for. `agent`: None where others work in sessions, or stored rollouts are verified again.
    `sandboxes`: what makes those of sessions, if anything does. `complete`: whether all models are there that sessions
    ask; whoever opens a session from elsewhere may bring them.
    """

    config: RunConfig
    models: dict[str, ModelBackend]
    server: ResourceServer
    agent: Agent | Runner | None
    sandboxes: SandboxProvider | None
    executor: ExecutorProvider | None
    gateway: LazyGateway
    about: Described
    complete: bool = True

    def check_needs(self) -> None:
        """Raise `UsageError` for a model or a sandbox that the environment's sessions need and the run lacks."""
        server, wanted = self.server, self.config.components
        info, name = server.describe(), server.context.name or type(server).__name__
        for role in info.roles if self.complete else ():
            if role not in wanted.models:
                raise UsageError(f"{name} asks a `{role}` model, which the run lacks", hint=f"--model {role}=REF")
        for role in info.sandbox_roles if wanted.sandbox is None else ():
            raise UsageError(
                f"{name} runs commands in a sandbox (`{role}`), which the run lacks",
                hint="--sandbox REF; `gym plugins list --kind sandbox` lists them",
            )


class Assembler:
    """Makes and opens components, all of a run or one by one. Secrets that it meets are added to `redactor`.

    `concurrency` and `seed`: what they are told of the run. `configured`: options from a file, by place. `closing`:
    seconds that they have for it. Whatever is made or opened raises `UsageError` and `PluginError`.
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        concurrency: int,
        seed: int = 0,
        configured: Mapping[str, Configured] = MappingProxyType({}),
        disabled_plugins: Sequence[str] = (),
        closing: float = Deadlines().close,
        gateway: str | Gateway = HTTP,
        gateway_options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.redactor = redactor
        redactor.add_variables(load_dotenv(), os.environ)
        self.manager = PluginManager(disabled_plugins)
        self.about = Described()
        self._maker = Maker(self.manager, redactor, configured=configured)
        self._concurrency = concurrency
        self._seed = seed
        self._environment: Loaded | None = None
        self._closing = closing
        self.gateway = LazyGateway(lambda: self.make(Kind.GATEWAY, gateway, gateway_options), closing)
        self._gateway_given = gateway != HTTP or bool(gateway_options) or GATEWAY in configured
        if self._gateway_given:  # what is said of it is looked at now
            self.gateway.make()

    @classmethod
    def of(cls, config: RunConfig, redactor: Redactor) -> Self:
        """For the components of a run."""
        wanted = config.components
        return cls(
            redactor,
            concurrency=config.execution.concurrency,
            seed=wanted.seed or 0,
            configured=wanted.configured,
            disabled_plugins=wanted.disabled_plugins,
            closing=config.limits.deadlines.close,
            gateway=wanted.gateway,
            gateway_options=wanted.gateway_options,
        )

    # One component

    def make(self, kind: Kind, wanted: Any, given: Mapping[str, Any], *, role: str = "") -> Any:
        """Make a component that is not open yet from its reference, or take the one that a caller has made."""
        place = place_of(kind, role)
        if isinstance(wanted, Component):
            if given:
                raise UsageError(f"{place}: options cannot be given for a component that is already made")
            self.redactor.add(*secret_values(wanted.options))
            self.about.add(kind, place, wanted, {"ref": wanted.context.name or type(wanted).__name__})
            if (source := source_of_class(type(wanted))) is not None:
                self.about.sources[place] = source
            return wanted
        made = self._maker.make(
            kind,
            wanted,
            given,
            role=role,
            seed=self._seed,
            concurrency=self._concurrency,
            environment=self._environment,
        )
        if kind is Kind.RESOURCE_SERVER:
            self._environment = made.loaded
        self.about.add(kind, place, made.component, _origin(made.loaded))
        if made.loaded.script is not None:
            self.about.sources[place] = str(made.loaded.reference.located())
        return made.component

    async def enter(self, stack: AsyncExitStack, kind: Kind, component: Any, *, role: str = "") -> Any:
        """Open a component that was made; `stack` closes it."""
        kind = Kind.RUNNER if isinstance(component, Runner) else kind
        opened = await enter(stack, component, kind, closing=self._closing)
        self.redactor.add(*component.secrets)  # some are only known now
        if known := opened.describe().component:
            self.about.of(kind, place_of(kind, role))["component"] = dict(known)
        return opened

    async def open(
        self, stack: AsyncExitStack, kind: Kind, wanted: Any, given: Mapping[str, Any], *, role: str = ""
    ) -> Any:
        """Make a component, and open it."""
        return await self.enter(stack, kind, self.make(kind, wanted, given, role=role), role=role)

    # All of a run

    def make_all(self, config: RunConfig, *, agent: bool = True, complete: bool = True) -> Assembly:
        """Make all components of a run: a typo in the last option should not cost the start of a model.

        `agent`: whether there is one. `complete`: see `Assembly`.
        """
        wanted = config.components
        models = {
            role: self.make(Kind.MODEL, reference, wanted.model_options.get(role, {}), role=role)
            for role, reference in wanted.models.items()
        }
        server: ResourceServer = NoEnvironment()
        if wanted.env is not None:
            server = self.make(Kind.RESOURCE_SERVER, wanted.env, wanted.env_options)
        made = Assembly(
            config=config,
            models=models,
            server=server,
            agent=None,
            sandboxes=None,
            executor=None,
            gateway=self.gateway,
            about=self.about,
            complete=complete,
        )
        made.check_needs()
        if wanted.sandbox is not None:
            made.sandboxes = self.make(Kind.SANDBOX, wanted.sandbox, wanted.sandbox_options)
        elif wanted.sandbox_options:
            raise UsageError("-S is for a sandbox, and this run has none", hint="--sandbox REF")
        if agent:
            preferred = server.describe().preferred_agent
            made.agent = self.make(Kind.AGENT, wanted.agent or preferred, wanted.agent_options)
            if wanted.agent is None and isinstance(made.agent, Agent):
                wanted.require_parts()
        if self._gateway_given and config.execution.workers > 1:
            self.gateway.make().check_workers(config.execution.workers)
        if config.execution.spread:
            made.executor = self._make_executor(config.execution)
        return made

    async def open_all(self, made: Assembly, stack: AsyncExitStack, backends: AsyncExitStack | None = None) -> Assembly:
        """Open all components of a run; `stack` closes them, `backends` the models where it is given."""
        opened, wanted = replace(made), made.config.components
        preferred = made.server.describe().preferred_agent
        stack.push_async_callback(self.gateway.close)
        opened.models = {
            role: await self.enter(backends or stack, Kind.MODEL, model, role=role)
            for role, model in made.models.items()
        }
        if wanted.env is not None:
            opened.server = await self.enter(stack, Kind.RESOURCE_SERVER, made.server)
        opened.check_needs()  # some only know them now
        if made.sandboxes is not None:
            opened.sandboxes = await self.enter(stack, Kind.SANDBOX, made.sandboxes)
        if made.agent is not None:
            named = opened.server.describe().preferred_agent  # some only know it now
            if wanted.agent is None and named != preferred:
                made.agent = self.make(Kind.AGENT, named, wanted.agent_options)
            opened.agent = await self.enter(stack, Kind.AGENT, made.agent)
            _check_agent(made.config, opened.agent, self.about)
        for component in (opened.server, opened.agent):
            if component is not None:  # an author's may have a length, and be empty
                await self._be_reachable(component, elsewhere=made.config.execution.spread)
        return opened

    async def _be_reachable(self, component: Component, *, elsewhere: bool) -> None:
        """Open the gateway for a component that is known to need it. Raises `UsageError` where it could not reach it.

        `elsewhere`: the rollouts are in other processes, each of which has a gateway of its own.
        """
        host = component.describe().calls_from
        if host is not None:
            self.gateway.make().check_reachable(host)
            if not elsewhere:
                await self.gateway.opened()

    def _make_executor(self, execution: Execution) -> ExecutorProvider:
        try:
            provider: ExecutorProvider = self.make(Kind.EXECUTOR, execution.executor, execution.executor_options)
        except UsageError as error:
            if execution.executor != WORKERS:
                raise
            raise UsageError(f"--workers {execution.workers}: {error.message}", hint=error.hint) from None
        return provider


def _check_agent(config: RunConfig, agent: Agent | Runner, about: Described) -> None:
    """Raise `UsageError` for what an agent or a runner needs and lacks, and for what means nothing to a runner."""
    wanted, limits = config.components, config.limits
    if isinstance(agent, Agent):
        wanted.require_parts()
        return
    info, name = agent.describe(), about.described["agent"]["ref"]
    for role in info.roles:
        if role not in wanted.models:
            raise UsageError(
                f"the runner {name} asks a `{role}` model, which the run lacks",
                hint="--model REF" if role == POLICY else f"--model {role}=REF",
            )
    needless = wanted.models.keys() - info.roles
    if POLICY in needless or (needless and not info.environment):  # the environment may ask others
        raise _means_nothing(name, "model", "--model")
    if info.environment:
        wanted.require_environment()
    elif wanted.env is not None:
        raise _means_nothing(name, "environment", "--env")
    elif wanted.sandbox is not None:
        raise _means_nothing(name, "sandbox", "--sandbox")
    elif wanted.env_options:
        raise UsageError("-E is for an environment, and this run has none", hint="leave it out")
    elif not config.selection.given:
        raise UsageError(f"the runner {name} has no tasks of its own", hint="--input FILE")
    if not info.roles and any(
        limit is not None for limit in (limits.max_tokens, limits.max_cost, limits.max_rollout_tokens)
    ):
        raise UsageError(
            f"the runner {name} asks its own model: what it takes can be counted but not limited",
            hint="leave --max-tokens, --max-cost and --max-rollout-tokens out",
        )


def _means_nothing(name: str, part: str, flag: str) -> UsageError:
    return UsageError(
        f"the runner {name} brings its own {part}: {flag} means nothing to it",
        hint=f"leave {flag} out; where a configuration file sets it, --no-config leaves that alone",
    )


def _origin(loaded: Loaded) -> dict[str, Any]:
    """What the manifest says of where a component is from. A script is what is in it, wherever it lies."""
    if loaded.script is not None:
        return {"ref": str(loaded.reference.portable()), "files": dict(loaded.script.files)}
    plugin = loaded.plugin
    return {"ref": str(loaded.reference), "distribution": plugin.distribution, "version": plugin.version}


def _dumped(component: Component) -> tuple[dict[str, Any], dict[str, Any]]:
    """A component's options without secrets: those that change results, and those that do not."""
    options = component.options
    operational = operational_fields(type(options))
    dumped: dict[str, Any] = options.model_dump(mode="json", exclude=secret_fields(type(options)))
    return (
        {name: value for name, value in dumped.items() if name not in operational},
        {name: value for name, value in dumped.items() if name in operational},
    )
