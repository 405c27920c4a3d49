"""What more processes bring: `python benchmarks/workers.py [OPTIONS]`.

Runs the same CPU-bound rollouts, whose verifier takes a few milliseconds, with different numbers of workers by turns,
and prints medians: rollouts per second beside those of one process, CPU per rollout, and the coordinator's part of it,
from which the number of workers follows that one coordinator can feed.

Rates and the coordinator's CPU are those between the first and the last tenth of a run; the workers' CPU is that since
each was ready. The coordinator's is also shown for rollouts that cost next to nothing, where frames are fullest.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cpu_bound import installed, rounds_for, write_tasks


async def run(
    folder: Path, workers: int, rollouts: int, concurrency: int, rounds: int, microseconds: int = 0
) -> dict[str, Any]:
    """One run. `microseconds`: until the model answers."""
    from gym_core import Rollout
    from gym_core.engine.run.opening import open_run
    from gym_core.spi import run_config

    config = run_config(
        models={"policy": "bench_model"},
        model_options={"policy": {"latency": microseconds / 1e6}},
        env="bench_env",
        env_options={"rounds": rounds},
        agent="bench_agent",
        input=write_tasks(folder / "tasks.jsonl", rollouts),
        output=folder / "rows.jsonl",
        concurrency=concurrency,
        workers=workers,
    )
    gc.set_threshold(50_000, 20, 50)  # as `gym run` does
    marks: list[tuple[float, float]] = []
    wanted = {rollouts // 10, rollouts - rollouts // 10}
    finished = 0

    def announce(rollout: Rollout) -> None:
        nonlocal finished
        finished += 1
        if finished in wanted:
            marks.append((time.perf_counter(), time.process_time()))

    async with open_run(config) as run:
        summary = await run.execute(announce)
    if summary["rollouts"]["with_verdict"] != rollouts:
        raise SystemExit(f"rollouts are missing: {summary['rollouts']} {summary['errors']}")
    (start, cpu), (end, cpu_end) = marks
    part = rollouts - 2 * (rollouts // 10)
    own = (cpu_end - cpu) / part
    others = summary["health"].get("workers", {}).get("cpu_seconds", 0.0) / rollouts
    return {"rate": part / (end - start), "coordinator": own, "workers": others}


def measure(workers: int, rollouts: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--one", *map(str, (workers, rollouts, concurrency, rounds))]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "GYM_NO_DOTENV": "1"})
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def one(arguments: list[int]) -> None:
    """The process of one run."""
    from gym_core.engine.loops import run_loop

    with installed() as folder:
        print(json.dumps(run_loop(run(folder, *arguments))))


def row(cells: list[str], *, markdown: bool) -> None:
    """Print a row of a table."""
    if markdown:
        print(f"| {' | '.join(cells)} |", flush=True)
    else:
        print(f"{cells[0]:<24}" + "".join(f"{cell:>22}" for cell in cells[1:]), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=4000)
    parser.add_argument("--verifier-ms", type=float, default=4.0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--one", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    work = rounds_for(options.verifier_ms / 1000)
    kinds = [
        (f"{count} workers, {options.verifier_ms:g} ms", count, options.rollouts, work) for count in options.workers
    ]
    most = max(options.workers)
    kinds.append((f"{most} workers, 0 ms", most, 5 * options.rollouts, 0))
    runs: dict[str, list[dict[str, Any]]] = {kind[0]: [] for kind in kinds}
    for _ in range(options.rounds):
        for name, count, rollouts, rounds in kinds:
            runs[name].append(measure(count, rollouts, options.concurrency, rounds))
    titles = ["", "rollouts/s", "times one", "CPU ms per rollout", "ratio", "coordinator ms", "workers it can feed"]
    row(titles, markdown=options.markdown)
    if options.markdown:
        row(["---", *["---:"] * (len(titles) - 1)], markdown=True)
    base: dict[str, float] = {}
    for name, count, _, rounds in kinds:
        middle = {key: statistics.median(run[key] for run in runs[name]) for key in ("rate", "coordinator", "workers")}
        total = middle["coordinator"] + middle["workers"]
        base = base or {"rate": middle["rate"], "total": total}
        spread = count > 1
        cells = [f"{middle['rate']:,.0f}", f"{middle['rate'] / base['rate']:.2f}" if rounds else ""]
        cells += [f"{1000 * total:.3f}", f"{total / base['total']:.2f}" if rounds else ""]
        cells += [f"{1000 * middle['coordinator']:.4f}" if spread else ""]
        cells += [f"{middle['workers'] / middle['coordinator']:,.0f}" if spread else ""]
        row([name, *cells], markdown=options.markdown)


if __name__ == "__main__":
    main()
