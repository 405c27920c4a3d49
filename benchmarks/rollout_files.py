"""Which files one rollout enters, from its start until it is counted: `python benchmarks/rollout_files.py`.

One task row of `simple_weather`, two model calls over HTTP and one tool call, without workers, traced by
`sys.setprofile`. The rollout before it has warmed everything up. Prints each file with how often it was entered, those
of the core first, and how many of those there are.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

from standin import MODEL, running_standin

from gym_core import Rollout
from gym_core.engine.run.opening import open_run
from gym_core.spi import run_config

ROOT = Path(__file__).parent.parent
CORE = "gym_core/"
BEGINS = "gym_core/engine/rollout/"


class Trace:
    """Counts calls by file while it is `armed`, from the first that enters a file of rollouts on."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.armed = self.begun = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if not self.armed or event != "call":
            return
        name = frame.f_code.co_filename
        if not name.startswith(f"{ROOT}/") or "/.venv/" in name or "/benchmarks/" in name:
            return
        name = name.removeprefix(f"{ROOT}/")
        self.begun = self.begun or name.startswith(BEGINS)
        if self.begun:
            self.calls[name] += 1


async def trace(base_url: str) -> Trace:
    """Two rollouts, of which the second is traced."""
    tracing, rollouts = Trace(), 0

    def counted(rollout: Rollout) -> None:
        nonlocal rollouts
        rollouts += 1
        tracing.armed = rollouts == 1

    with tempfile.TemporaryDirectory() as folder:
        config = run_config(
            models={"policy": f"openai:{MODEL}"},
            model_options={"policy": {"base_url": base_url, "api": "responses", "api_key": "sk-benchmark-no-secret"}},
            env="simple_weather",
            agent="simple_agent",
            limit=2,
            output=Path(folder, "rows.jsonl"),
            concurrency=1,
        )
        async with open_run(config) as run:
            sys.setprofile(tracing)
            try:
                summary = await run.execute(counted)
            finally:
                sys.setprofile(None)
    if summary["rollouts"]["with_verdict"] != 2:
        raise SystemExit(f"rollouts are missing: {summary['rollouts']} {summary['errors']}")
    return tracing


def main() -> None:
    """Trace and print."""
    with running_standin() as base_url:
        calls = asyncio.run(trace(base_url)).calls
    for name in sorted(calls, key=lambda name: (not name.startswith(CORE), name)):
        print(f"{calls[name]:5}  {name}")
    print(f"{sum(name.startswith(CORE) for name in calls)} files of the core, {len(calls)} in all")


if __name__ == "__main__":
    main()
