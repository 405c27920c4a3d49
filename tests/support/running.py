"""Runs and single rollouts over components that a test has made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

import gym_core
from gym_core import Agent, ModelBackend, ResourceServer, Rollout, Runner, Session, Task
from gym_core.engine.model_calls.rate_limits import Limiter
from gym_core.spi import (
    Deadlines,
    Executor,
    Limiters,
    ModelGate,
    RunConfig,
    Stage,
    Watch,
    open_run,
    places_of,
    run_config,
    run_rollout,
    shown_to,
)
from tests.support.agents import LoopAgent
from tests.support.clock import FakeClock
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel

logging.getLogger("gym").addHandler(logging.NullHandler())


def config(
    model: ModelBackend | Mapping[str, ModelBackend] | None = None,
    server: ResourceServer | str | None = None,
    agent: Agent | Runner | None = None,
    **settings: Any,
) -> RunConfig:
    """A configuration over instances, or the URL of an environment.

    What is left out is a model that says "done" and an environment of one task.
    """
    models = model if isinstance(model, Mapping) else {"policy": model or ScriptedModel()}
    return run_config(models=models, env=server or env(), agent=agent or LoopAgent(), **settings)


@dataclass
class Ended:
    """A run that has ended."""

    rollouts: list[Rollout]
    summary: dict[str, Any]
    error: BaseException | None
    notices: list[str]

    def statuses(self) -> list[str]:
        """How the rollouts ended, in order of completion."""
        return [rollout.status.value for rollout in self.rollouts]


async def execute(wanted: RunConfig) -> Ended:
    """Carry a run out; what stopped it is in `error`, what refused it is raised."""
    rollouts: list[Rollout] = []
    async with open_run(wanted) as run:
        summary = await run.execute(rollouts.append)
    return Ended(rollouts, summary, run.error, run.notices)


def run(*components: Any, **settings: Any) -> Ended:
    """`execute` for a synchronous test; arguments as for `config`."""
    return asyncio.run(asyncio.wait_for(execute(config(*components, **settings)), 30))


def collect(model: Any = None, server: Any = None, agent: Any = None, **settings: Any) -> list[Rollout]:
    """Everything that `gym_core.collect` yields."""

    async def main() -> list[Rollout]:
        rollouts = gym_core.collect(
            model=model or ScriptedModel(), env=server or env(), agent=agent or LoopAgent(), **settings
        )
        return [rollout async for rollout in rollouts]

    return asyncio.run(asyncio.wait_for(main(), 30))


def stage(
    model: ModelBackend | Mapping[str, ModelBackend],
    session: type[Session[Any]] = PlainSession,
    agent: Agent | None = None,
    *,
    clock: FakeClock | None = None,
    limiter: Limiter | None = None,
    seed: int | None = None,
    **deadlines: float,
) -> Stage:
    """What a single rollout needs, on a clock of the test's own."""
    models = model if isinstance(model, Mapping) else {"policy": model}
    bounds, time = Deadlines(**deadlines), (clock or FakeClock()).clock
    limiters = Limiters(lambda: limiter or Limiter())
    gates = {
        role: ModelGate(role, backend, limiters=limiters, deadlines=bounds, clock=time)
        for role, backend in models.items()
    }
    return Stage(
        server=env(session),
        agent=agent or LoopAgent(),
        gates=gates,
        executor=Executor(),
        watch=Watch(),
        clock=time,
        deadlines=bounds,
        seed=seed or 0,
        model_seeds=seed is not None,
    )


def rollout(
    model: ModelBackend | Mapping[str, ModelBackend] | None = None,
    session: type[Session[Any]] = PlainSession,
    agent: Agent | None = None,
    *,
    task: Task | None = None,
    **settings: Any,
) -> Rollout:
    """One rollout; `settings` as for `stage`."""

    async def main() -> Rollout:
        made = stage(model or ScriptedModel(), session, agent, **settings)
        try:
            return await asyncio.wait_for(run_rollout(made, task or ask()), 30)
        finally:
            made.executor.close()

    return asyncio.run(main())


def items_of(rollout: Rollout) -> list[Any]:
    """What the places in a row refer to: the row's input, `response.output`, and all other items."""
    whole = rollout.trajectory
    return [*whole.input, *whole.items, *whole.others]


def shown(rollout: Rollout, number: int) -> list[Any]:
    """All that a recorded model call was shown, in order."""
    items = items_of(rollout)
    return [items[place] for place in shown_to(rollout.trajectory.model_calls, number)]


def gave(rollout: Rollout, number: int) -> list[Any]:
    """What a recorded model call gave."""
    items = items_of(rollout)
    return [items[place] for place in places_of(rollout.trajectory.model_calls[number].gave)]


TIMES = frozenset({"latency", "waited", "at", "seconds"})


def timeless_calls(about: dict[str, Any]) -> dict[str, Any]:
    """What a row says of its rollout, with the calls of models and tools without their times."""
    return {
        **about,
        **{
            kind: [{name: value for name, value in made.items() if name not in TIMES} for made in about[kind]]
            for kind in ("model_calls", "tool_calls")
        },
    }


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none where there is no file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
