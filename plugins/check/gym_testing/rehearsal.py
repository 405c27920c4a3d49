"""Single rollouts through the real engine, without files, progress or a command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from gym_core import (
    Agent,
    Component,
    ComponentContext,
    ModelBackend,
    ResourceServer,
    Rollout,
    Runner,
    SandboxProvider,
    Task,
)
from gym_core.spi import (
    Deadlines,
    Executor,
    Job,
    Kind,
    LazyGateway,
    NoEnvironment,
    PluginManager,
    Reference,
    Stage,
    Watch,
    beginning,
    carry_out,
    make_gates,
    resolve_options,
    server_source,
)
from gym_testing.agents import LoopAgent
from gym_testing.clock import FakeClock
from gym_testing.models import ModelTurn, ScriptedModel

PATIENCE = 60.0
"""Seconds after which what should have ended has failed."""
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result], seconds: float = PATIENCE) -> Result:
    """Run a coroutine in an event loop of its own, also where one runs, as in a notebook. Raises `TimeoutError`."""

    async def bounded() -> Result:
        return await asyncio.wait_for(work, seconds)

    if asyncio._get_running_loop() is None:  # a caught `RuntimeError` would stand among the causes of failures
        return asyncio.run(bounded())
    with ThreadPoolExecutor(1, "gym-rehearsal") as elsewhere:  # a thread has one loop at most
        return elsewhere.submit(copy_context().run, asyncio.run, bounded()).result()


def make(kind: Kind, wanted: Any, options: Mapping[str, Any] | None = None, *, role: str = "") -> Any:
    """A component from a reference, a class or an instance. Raises `UsageError`, `PluginError`."""
    if isinstance(wanted, Component):
        return wanted
    name, selector, cls = "test", None, wanted
    if isinstance(wanted, str):
        reference = Reference.parse(wanted)
        name, selector = reference.name, reference.selector
        cls = PluginManager().load(kind, reference).component
    resolved = resolve_options(cls, name, options or {}, selector, environ={}, what="options ")
    return cls(resolved.options, ComponentContext(name=name, role=role, concurrency=2))


@asynccontextmanager
async def open_stage(
    server: ResourceServer,
    models: Mapping[str, ModelBackend],
    agent: Agent | Runner | None = None,
    *,
    sandboxes: SandboxProvider | None = None,
    seed: int = 0,
    executor: Executor | None = None,
    deadlines: Deadlines | None = None,
) -> AsyncIterator[Stage]:
    """Open the components and put them on a stage for rollouts; a retried model call waits on a clock of its own."""
    bounds, clock = deadlines or Deadlines(), FakeClock().clock
    executor = executor or Executor()
    agent = agent or LoopAgent()
    gateway = LazyGateway(lambda: make(Kind.GATEWAY, "http"))
    async with AsyncExitStack() as stack:
        stack.callback(executor.close)
        stack.push_async_callback(gateway.close)
        for component in (*models.values(), server, agent, *([sandboxes] if sandboxes is not None else ())):
            await stack.enter_async_context(component)
        yield Stage(
            server=server,
            agent=agent,
            gates=make_gates(models, bounds, clock=clock),
            executor=executor,
            watch=Watch(),
            clock=clock,
            deadlines=bounds,
            gateway=gateway,
            seed=seed,
            model_seeds=True,
            sandboxes=sandboxes,
        )


async def task_of(server: ResourceServer, wanted: Task | int | str | None) -> Task:
    """A task itself, or the shipped one with this index or `task_id`; the first one for None. Raises `LookupError`."""
    if isinstance(wanted, Task):
        return wanted
    tasks = await shipped(server, wanted + 1 if isinstance(wanted, int) else 1 if wanted is None else None, wanted)
    if wanted is None and tasks:
        return tasks[0]
    if tasks and (tasks[-1].task_id == wanted or tasks[-1].index == wanted):
        return tasks[-1]
    raise LookupError(f"the environment ships no task {wanted!r}" if tasks else "the environment ships no tasks")


async def shipped(server: ResourceServer, limit: int | None, last: object = None) -> list[Task]:
    """The first tasks that an environment ships, read as the engine reads them; none after the one with the id `last`.

    Raises `InputError` for a task that cannot be used, and `PluginError`.
    """
    tasks: list[Task] = []
    async with aclosing(server_source(server).batches(limit)) as batches:
        async for batch in batches:
            for task in batch:
                tasks.append(task)
                if task.task_id == last:
                    return tasks
    return tasks


async def rehearse(
    env: str | ResourceServer | type[ResourceServer] | None,
    *script: ModelTurn | ModelBackend,
    agent: str | Agent | Runner | type[Agent] | type[Runner] | None = None,
    task: Task | int | str | None = None,
    options: Mapping[str, Any] | None = None,
    agent_options: Mapping[str, Any] | None = None,
    models: Mapping[str, ModelBackend] | None = None,
    sandbox: str | SandboxProvider | type[SandboxProvider] | None = None,
    sandbox_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    repeat: int = 0,
    deadlines: Deadlines | None = None,
) -> Rollout:
    """One rollout of an environment with a model that follows a script, or with a backend given in its place.

    `env`, `agent` and `sandbox`: references, classes or instances; the default agent is the environment's own, where
    that is `simple_agent` a loop that does the same. `agent` may be a runner; where that brings an environment of its
    own, `env` is None. `task`: itself, or the index or `task_id` of one that is shipped. `models`: those of further
    roles. What fails within the rollout is in its row; what is raised is a mistake in the call: `UsageError`,
    `PluginError`, `LookupError`.
    """
    server: ResourceServer = NoEnvironment() if env is None else make(Kind.RESOURCE_SERVER, env, options)
    policy = _policy(script)
    preferred = server.describe().preferred_agent
    if agent is None and preferred != ResourceServer.preferred_agent:
        agent = preferred
    worker: Agent | Runner = LoopAgent() if agent is None else make(Kind.AGENT, agent, agent_options)
    everyone = {"policy": policy, **(models or {})}
    sandboxes = make(Kind.SANDBOX, sandbox, sandbox_options) if sandbox is not None else None
    async with open_stage(server, everyone, worker, sandboxes=sandboxes, seed=seed, deadlines=deadlines) as stage:
        return await carry_out(beginning(stage)(Job(await task_of(server, task), repeat, 1)))


def _policy(script: tuple[ModelTurn | ModelBackend, ...]) -> ModelBackend:
    if len(script) == 1 and isinstance(script[0], ModelBackend):
        return script[0]
    turns = [turn for turn in script if not isinstance(turn, ModelBackend)]
    if len(turns) < len(script):
        raise TypeError("give the turns of a script, or one model backend")
    return ScriptedModel(*turns)


RunRollout = Callable[..., Rollout]


def run_rollout(env: str | ResourceServer | type[ResourceServer] | None, *script: Any, **settings: Any) -> Rollout:
    """The same as `rehearse`, for a test that is no coroutine."""
    return run(rehearse(env, *script, **settings))
