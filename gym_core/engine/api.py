"""`gym_core.collect`: a run from Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Unpack

from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.rollout import Rollout
from gym_core.engine.config import RunConfig, RunSettings, known_settings, run_config
from gym_core.engine.keywords import speaking_keywords
from gym_core.engine.run.opening import open_run
from gym_core.engine.run_file import config_from_file


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
    known_settings(settings)
    models = model if isinstance(model, Mapping) else {"policy": model} if model is not None else {}
    with speaking_keywords():
        if config is None:
            return _collect(run_config(models=models, env=env, **settings))
        return _collect(config_from_file(config, models=models, env=env, **settings))


async def _collect(config: RunConfig) -> AsyncGenerator[Rollout, None]:
    with speaking_keywords():
        async with open_run(config) as run:
            finished: asyncio.Queue[Rollout | None] = asyncio.Queue()
            room = asyncio.Event()
            room.set()
            enough = 2 * config.execution.concurrency

            def announce(rollout: Rollout) -> None:
                finished.put_nowait(rollout)
                if finished.qsize() >= enough:  # a slow reader slows the run down instead of filling the memory
                    room.clear()

            running = asyncio.create_task(run.execute(announce, room=room))
            running.add_done_callback(lambda task: finished.put_nowait(None))
            try:
                while (rollout := await finished.get()) is not None:
                    if finished.qsize() < enough:
                        room.set()
                    yield rollout
            finally:
                if not running.done():
                    run.stop("the caller left the loop")
                await asyncio.wait([running])
            running.result()
            if run.error is not None:
                raise run.error
