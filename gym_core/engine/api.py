"""Runs from Python: `collect` yields rollouts, `collect_groups` groups; `run` and `run_sync` return all of them.

`gym_core.open` is no run: rollouts are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar, Unpack

from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.errors import UsageError
from gym_core.domain.group import Group
from gym_core.domain.rollout import Rollout
from gym_core.engine.config import GymSettings, RunConfig, RunSettings, known_settings, run_config
from gym_core.engine.keywords import speaking_keywords
from gym_core.engine.loops import in_own_loop
from gym_core.engine.open_engine.gym import Gym
from gym_core.engine.open_engine.opening import open_gym
from gym_core.engine.run.display import displayed
from gym_core.engine.run.opening import open_run
from gym_core.engine.run.result import RunResult
from gym_core.engine.run_file import config_from_file

Announced = TypeVar("Announced", Rollout, Group)


def collect(
    *,
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    config: str | Path | None = None,
    **settings: Unpack[RunSettings],
) -> AsyncGenerator[Rollout, None]:
    """Run rollouts and yield each as soon as it is finished, in order of completion; failures are among them.

        async for rollout in gym_core.collect(model="openai:gpt-4.1-mini", env="simple_weather", limit=100):
            print(rollout.task_id, rollout.reward)

    `model`: a reference, an instance, or a mapping of them by role. It and `env` may only be missing where a runner
    brings its own. `config`: a run file (TOML) or a manifest (`x.run.json`), over which all else is laid. `settings`:
    see `RunSettings`. With `output` every rollout is on disk before it is yielded. Raises
    `TypeError` for a setting that there is not, `UsageError` for a value that cannot be, that and `PluginError` before
    the first rollout, and what stopped the run after the last one. Leaving the loop early cancels what is under way.
    """
    with speaking_keywords():
        return _stream(_wanted(model, env, config, settings), Rollout)


def collect_groups(
    *,
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    config: str | Path | None = None,
    **settings: Unpack[RunSettings],
) -> AsyncGenerator[Group, None]:
    """Run the rollouts of each task together, and yield each task's as a `Group` once all of them have ended.

        async for group in gym_core.collect_groups(model="openai:gpt-4.1-mini", env="simple_weather", repeats=8):
            print(group.task_id, group.rewards)

    All as for `collect`; `repeats` is the size of a group. Failures are among its rollouts. Where the environment
    scores groups, that has been done. With `output` all of it is on disk before it is yielded; where that is resumed,
    groups that were whole before are not yielded again. A group is not yielded whose rollouts are cut off by the end of
    the run.
    """
    with speaking_keywords():
        if settings.get("group") not in (None, True):
            raise UsageError("`collect_groups` gives groups: leave `group` out", hint="`collect` gives rollouts")
        settings = {**settings, "group": True}
        return _stream(_wanted(model, env, config, settings), Group)


def open(
    *,
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    config: str | Path | None = None,
    **settings: Unpack[GymSettings],
) -> AbstractAsyncContextManager[Gym]:
    """Open an environment, an agent and models for rollouts as they are asked for: what a trainer holds on to.

        async with gym_core.open(model="openai:policy", env="workplace", concurrency=2048) as gym:
            async for group in gym.groups(gym.tasks(), 8, ahead=64):
                update(group)

    `model`, `env` and `config` as for `collect`; what a file says of how much and how is left to the methods of `Gym`.
    `settings`: those of `RunSettings` that do not say that. `concurrency`: rollouts at once, whoever asked for them.
    Nothing is written without `output`; with it each row is on disk before its rollout is handed out. `tasks`, `input`
    and `limit` say what `Gym.tasks` has instead of what the environment ships.

    Leaving the block ends what is under way. Raises `TypeError` for a setting that there is not, and on entering
    `UsageError` and `PluginError`, as `collect` does.
    """
    with speaking_keywords():
        return _open(_wanted(model, env, config, settings, GymSettings, "an open gym"))


@asynccontextmanager
async def _open(config: RunConfig) -> AsyncGenerator[Gym, None]:
    stack = AsyncExitStack()
    with speaking_keywords():
        gym = await stack.enter_async_context(open_gym(config))
    async with stack:
        yield gym


def _wanted(
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None,
    env: str | ResourceServer | None,
    config: str | Path | None,
    settings: RunSettings | GymSettings,
    kind: type = RunSettings,
    of: str = "a run",
) -> RunConfig:
    """What keywords ask for. `kind`: all that there are, besides the first three; `of`: of what they are."""
    known_settings(settings, kind, of)
    models = model if isinstance(model, Mapping) else {"policy": model} if model is not None else {}
    if config is None:
        return run_config(models=models, env=env, **settings)
    return config_from_file(config, models=models, env=env, **settings)


async def _stream(config: RunConfig, kind: type[Announced]) -> AsyncGenerator[Announced, None]:
    """What a run announces of a kind, rollouts or groups."""
    with speaking_keywords():
        async with open_run(config) as run:
            finished: asyncio.Queue[Announced | None] = asyncio.Queue()
            room = asyncio.Event()
            room.set()
            enough = 2 * config.execution.concurrency
            if kind is Group:
                enough = max(1, enough // config.limits.repeats)

            def announce(one: Any) -> None:
                finished.put_nowait(one)
                if finished.qsize() >= enough:  # a slow reader slows the run down instead of filling the memory
                    room.clear()

            if kind is Group:
                executing = run.execute(room=room, announce_group=announce)
            else:
                executing = run.execute(announce, room=room)
            running = asyncio.create_task(executing)
            running.add_done_callback(lambda task: finished.put_nowait(None))
            try:
                while (one := await finished.get()) is not None:
                    if finished.qsize() < enough:
                        room.set()
                    yield one
            finally:
                if not running.done():
                    run.stop("the caller left the loop")
                await asyncio.wait([running])
            running.result()
            if run.error is not None:
                raise run.error


async def run(
    *,
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    config: str | Path | None = None,
    progress: bool = True,
    **settings: Unpack[RunSettings],
) -> RunResult:
    """Run rollouts and return all of them with their summary. `collect` is for more than fit into memory.

        result = await gym_core.run(model="openai:gpt-4.1-mini", env="simple_weather", limit=100)
        result.to_pandas()

    All but `progress` as for `collect`. `progress`: show a bar, in a notebook or where standard error is a terminal.
    What stops the run early, such as a budget, is the `error` of the result; where no rollout has a verdict by then,
    it is raised. Cancelling it cancels what is under way; with `output`, what was finished is on disk.
    """
    rollouts: list[Rollout] = []
    groups: list[Group] = []
    with speaking_keywords():
        async with (
            open_run(_wanted(model, env, config, settings)) as opened,
            displayed(opened) if progress else nullcontext(),
        ):
            summary = await opened.execute(rollouts.append, announce_group=groups.append)
        if opened.error is not None and not summary["rollouts"]["with_verdict"]:
            raise opened.error
        return RunResult(rollouts, summary, opened.error, groups)


def run_sync(
    *,
    model: str | ModelBackend | Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    config: str | Path | None = None,
    progress: bool = True,
    **settings: Unpack[RunSettings],
) -> RunResult:
    """The same as `run`, for a script that has no event loop.

    Where one runs already, as in a notebook, the run has a thread and a loop of its own, and the running loop stands
    still until it is over: `await gym_core.run(...)` is better there.
    """
    return in_own_loop(run(model=model, env=env, config=config, progress=progress, **settings))
