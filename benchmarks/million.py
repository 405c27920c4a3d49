"""A data set of a million rows: time to the first request, memory, and `--resume` over a million finished rows.

    python benchmarks/million.py --rows 1000000

Each figure comes from a process of its own, with a model that answers at once and an environment without tools, and
stands beside that of a data set of 10,000 rows. `--ids` gives every row an id of its own (which has to be remembered).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SMALL = 10_000
CONCURRENCY = 64
ROLLOUTS = 20_000
LEFT = 100
"""How many rollouts the resumed run still has to do."""
TICK = 0.005


def write_input(path: Path, rows: int, *, ids: bool) -> None:
    with path.open("wb") as file:
        for number in range(rows):
            name = b'"task_id": "task-%08d", ' % number if ids else b""
            file.write(
                b"{"
                + name
                + b'"responses_create_params": {"input": "What is %d plus one?"}, "answer": "%d"}\n'
                % (number, number + 1)
            )


def components(latency: float, started: list[float]) -> dict[str, Any]:
    """A model that answers after `latency` seconds and notes when it was first asked, and an environment."""
    from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop
    from gym_core.contract.component import ComponentContext

    class Instant(ModelBackend):
        async def respond(self, request: Any, context: Any) -> Response:
            if not started:
                started.append(time.perf_counter())
            if latency:
                await asyncio.sleep(latency)
            text = {"type": "output_text", "text": "The answer is a number."}
            message = {"type": "message", "role": "assistant", "content": [text]}
            usage = {"input_tokens": 12, "output_tokens": 6, "total_tokens": 18}
            return Response({"id": "r1", "object": "response", "model": "instant", "output": [message], "usage": usage})

    class Plain(Session[Any]):
        def verify(self, trajectory: Any) -> float:
            return float(bool(trajectory.output_text))

    class Numbers(ResourceServer):
        session_type = Plain

    class Once(Agent):
        async def run(self, episode: Any) -> Stop:
            response = await episode.respond(episode.request.input)
            return Stop(response.stop_reason)

    return {
        "models": {"policy": Instant(None, ComponentContext(name="instant"))},
        "env": Numbers(None, ComponentContext(name="numbers")),
        "agent": Once(None, ComponentContext(name="once")),
    }


async def lag(samples: list[float]) -> None:
    """How much later than asked a timer of the event loop fires."""
    while True:
        asked = time.perf_counter() + TICK
        await asyncio.sleep(TICK)
        samples.append(time.perf_counter() - asked)


async def measure(config: Any, first: list[float], *, until_checked: bool) -> dict[str, Any]:
    from gym_core.engine.run.opening import open_run

    begun = time.perf_counter()
    samples: list[float] = []
    async with open_run(config, report=lambda message: print(message, file=sys.stderr)) as run:
        wired = time.perf_counter()
        probe = asyncio.create_task(lag(samples))
        summary = await run.execute()
        while until_checked and run.source.info.tasks is None:  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)
        probe.cancel()
    if run.error is not None:
        raise run.error
    samples.sort()
    return {
        "first": first[0] - wired if first else None,
        "wiring": wired - begun,
        "seconds": time.perf_counter() - begun,
        "kept": summary["rollouts"]["kept"],
        "done": summary["rollouts"]["with_verdict"],
        "lag_p50": samples[len(samples) // 2] if samples else 0.0,
        "lag_p99": samples[len(samples) * 99 // 100] if samples else 0.0,
        "lag_max": samples[-1] if samples else 0.0,
    }


def child(what: dict[str, Any]) -> None:
    """One measured process; prints its figures as JSON."""
    from gym_core.spi import run_config

    first: list[float] = []
    config = run_config(
        **components(what["latency"], first),
        input=what["input"],
        output=what["output"],
        mode=what["mode"],
        limit=what["limit"],
        concurrency=CONCURRENCY,
    )
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    figures = run(measure(config, first, until_checked=what["until_checked"]))
    figures["rss"] = peak_memory()
    print(json.dumps(figures))


def peak_memory() -> float:
    """The most memory that this process had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what `getrusage` says here is at least what the parent had
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    scale = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def spawn(**what: Any) -> dict[str, Any]:
    what = {"latency": 0.0, "limit": None, "mode": "overwrite", "until_checked": False, **what}
    command = [sys.executable, __file__, "--child", json.dumps(what, default=str)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def finish_most(output: Path, rows: int, *, ids: bool) -> None:
    """Make a run's results those of all rollouts but the last few, from the one row that it has."""
    row = json.loads(output.read_bytes())
    with output.open("wb") as file:
        for number in range(rows - LEFT):
            row["task_id"] = f"task-{number:08d}" if ids else str(number + 1)
            row["rollout"]["task_index"] = number
            row["reward"] = float(number % 2)
            file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")


def report(folder: Path, rows: int, *, ids: bool) -> None:
    table: dict[str, dict[str, Any]] = {}
    for size in (SMALL, rows):
        source, output = folder / f"{size}.jsonl", folder / f"{size}-results.jsonl"
        write_input(source, size, ids=ids)
        limit = min(size, ROLLOUTS)
        full = spawn(input=source, output=output, limit=limit, until_checked=True)
        calm = spawn(input=source, output=output, limit=min(size, 10_000), latency=0.05)
        spawn(input=source, output=output, limit=1)
        finish_most(output, size, ids=ids)
        resumed = spawn(input=source, output=output, mode="resume")
        assert resumed["done"] == size, resumed
        table[f"{size:,} rows"] = {
            "input, MB": source.stat().st_size / 2**20,
            "first request after wiring, s": full["first"],
            "wiring, the check of a small input included, s": full["wiring"],
            f"peak memory with {limit:,} rollouts run, MB": full["rss"],
            "timer lag while it is checked: median, ms": calm["lag_p50"] * 1e3,
            "timer lag: 99th percentile, ms": calm["lag_p99"] * 1e3,
            "timer lag: largest, ms": calm["lag_max"] * 1e3,
            "results to resume, MB": output.stat().st_size / 2**20,
            f"resume to the end ({LEFT} left to run), s": resumed["seconds"],
            "peak memory of that, MB": resumed["rss"],
        }
    (small, few), (large, many) = table.items()
    print(f"\n{'':56}{small:>16}{large:>16}")
    for (name, left), right in zip(few.items(), many.values(), strict=True):
        print(f"{name.replace('10,000 rollouts run', 'rollouts run'):56}{left:16.3f}{right:16.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ids", action="store_true", help="give every row a task_id")
    parser.add_argument("--folder", type=Path, help="where to put the files; a temporary folder by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(json.loads(given.child))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        report(Path(folder), given.rows, ids=given.ids)


if __name__ == "__main__":
    main()
