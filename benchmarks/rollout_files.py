"""Which files one rollout enters: `python benchmarks/rollout_files.py`.

From the moment a job is taken until its row is written. One task row of `simple_weather`, two model calls over HTTP and
one tool call, without workers, traced by `sys.setprofile`. The rollout before it has warmed everything up. Counted are
functions that begin; one that only goes on after it has waited enters nothing. Prints each file with how many functions
were entered in it, and how often, those of the core first, and how many files of the core there are.
"""

from __future__ import annotations

import asyncio
import dis
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType

from standin import MODEL, running_standin

from gym_core import Rollout
from gym_core.engine.run.opening import open_run
from gym_core.engine.storage.store import ResultStore
from gym_core.spi import run_config

ROOT = Path(__file__).parent.parent
CORE = "gym_core/"
BEGINS = "gym_core/engine/rollout/"
"""The first function that is entered here makes the rollout of a job that was taken."""
ENDS = ResultStore.write.__code__
RESUME = dis.opmap["RESUME"]


class Trace:
    """Counts functions by file while it is `armed`, from the first that enters a file of rollouts on."""

    def __init__(self) -> None:
        self.files: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.armed = self.begun = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if not self.armed:
            return
        code = frame.f_code
        if event == "return" and code is ENDS:
            self.armed = False
        if event != "call" or goes_on(frame):
            return
        name = code.co_filename
        if not name.startswith(f"{ROOT}/") or "/.venv/" in name or "/benchmarks/" in name:
            return
        name = name.removeprefix(f"{ROOT}/")
        self.begun = self.begun or name.startswith(BEGINS)
        if self.begun:
            self.files[name][code.co_qualname] += 1


def goes_on(frame: FrameType) -> bool:
    """Whether a function goes on after it has waited, or given something out, rather than beginning."""
    # The first instruction that is traced is RESUME. Its argument says where it stands: 0 at the start of the function,
    # 1 to 3 after `yield`, `yield from` and `await`.
    code = frame.f_code.co_code
    return frame.f_lasti >= 0 and code[frame.f_lasti] == RESUME and code[frame.f_lasti + 1] != 0


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
        files = asyncio.run(trace(base_url)).files
    for name in sorted(files, key=lambda name: (not name.startswith(CORE), name)):
        print(f"{len(files[name]):4} functions, {files[name].total():4} times  {name}")
    print(f"{sum(name.startswith(CORE) for name in files)} files of the core, {len(files)} in all")


if __name__ == "__main__":
    main()
