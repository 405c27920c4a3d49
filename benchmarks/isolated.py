"""An environment in process, in an isolated child, and behind a URL: `python benchmarks/isolated.py [OPTIONS]`.

The same environment (one tool call per rollout), the same stand-in endpoint and the same engine take turns; CPU is user
and system time of the run and of the process that serves the environment, start-up left out. Reads /proc, so that it
runs on Linux only. The isolated environment is built first, from `.wheelhouse` where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import loops
import uvloop
from standin import MODEL, running_standin

from gym_core.spi import run_config

HERE = Path(__file__).parent
WHEELHOUSE = HERE.parent / ".wheelhouse"
NAME = "bench_weather"
KINDS = ("in process", "isolated", "unix socket", "http")
_TICKS = os.sysconf("SC_CLK_TCK")


def write_plugin(folder: Path) -> None:
    """The benchmark's environment as a distribution of its own, `gym-bench-weather`."""
    parts = [inspect.getsource(part) for part in (loops.get_weather, loops.BenchSession, loops.BenchServer)]
    code = "\n\n".join(
        [
            "import json",
            "from gym_core import ResourceServer, Session, Trajectory, hookimpl, tool",
            *parts,
            f"@hookimpl(contract=1)\ndef gym_resource_servers():\n    return {{'{NAME}': BenchServer}}\n",
        ]
    )
    info = "gym_bench_weather-1.0.dist-info"
    with ZipFile(folder / "gym_bench_weather-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("gym_bench_weather.py", code)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gym-bench-weather\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", f"[gym.resource_servers]\n{NAME} = gym_bench_weather\n")
        wheel.writestr(f"{info}/RECORD", "")


def build(home: Path) -> Path:
    """Build the isolated environment; returns its interpreter."""
    from gym_core.cli.installer import find_installer
    from gym_isolated.store import Store

    with tempfile.TemporaryDirectory() as wheels:
        write_plugin(Path(wheels))
        options = [f"--find-links={wheels}"]
        if WHEELHOUSE.is_dir():
            options += ["--no-index", f"--find-links={WHEELHOUSE}"]
        built, _ = Store(home / "isolated").build("gym-bench-weather", find_installer(here=False), options)
    assert built is not None
    return built.python


def cpu_of_children() -> float:
    """CPU seconds of the processes below this one, as far as they run."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            seconds[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / _TICKS

    def below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return sum(used for pid, used in seconds.items() if below(pid))


@contextlib.asynccontextmanager
async def environment(kind: str, python: str) -> AsyncIterator[Any]:
    """What a run takes as its environment, and what serves it."""
    if kind == "in process":
        yield loops.BenchServer()
        return
    if kind == "isolated":
        yield NAME
        return
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        where = ["--uds", f"{folder}/s"] if kind == "unix socket" else ["--port", "0"]
        command = [python, "-P", "-m", "gym_core", "serve", "--env", NAME, *where]
        serving = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert serving.stdout is not None
        try:
            line = (await serving.stdout.readline()).decode()
            yield next(word for word in line.split() if word.startswith(("http://", "unix:")))
        finally:
            serving.terminate()
            await serving.wait()


async def contest(
    kind: str, rollouts: int, in_flight: int, base_url: str, python: str, folder: Path
) -> dict[str, float]:
    """One run: CPU of the run and of what serves its environment, and the time it took, all in seconds."""
    from gym_core.engine.run.opening import open_run

    async with environment(kind, python) as env:
        config = run_config(
            models={"policy": f"openai:{MODEL}"},
            model_options={"policy": {"base_url": base_url, "api": "responses", "api_key": "sk-benchmark-none"}},
            env=env,
            agent="simple_agent",
            input=folder / "tasks.jsonl",
            output=folder / "rows.jsonl",
            concurrency=in_flight,
        )
        gc.set_threshold(50_000, 20, 50)  # as `gym run` does
        async with open_run(config) as run:
            own, theirs, wall = time.process_time(), cpu_of_children(), time.perf_counter()
            summary = await run.execute()
            own, theirs = time.process_time() - own, cpu_of_children() - theirs
            wall = time.perf_counter() - wall
    if summary["rollouts"]["with_verdict"] != rollouts or summary["reward"]["mean"] != 1.0:
        raise SystemExit(f"{kind}: {summary['rollouts']} {summary['reward']['mean']} {summary['errors']}")
    return {"run": own, "environment": theirs, "wall": wall}


def measure(kind: str, arguments: argparse.Namespace, home: Path, python: Path) -> dict[str, float]:
    """One contestant in a process of its own."""
    with running_standin() as base_url:
        given = [kind, str(arguments.rollouts), str(arguments.in_flight), base_url, str(python)]
        done = subprocess.run(
            [sys.executable, __file__, "--contestant", *given],
            env={**os.environ, "GYM_HOME": str(home), "NO_PROXY": "127.0.0.1"},
            stdout=subprocess.PIPE,
            check=True,
        )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def rows(arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """The table, title first."""
    yield "environment", "CPU ms per rollout", "of it the run", "of it the environment", "ratio", "rollouts/s"
    with tempfile.TemporaryDirectory() as folder:
        python = build(Path(folder))
        runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(arguments.rounds):
            for kind in KINDS:
                runs[kind].append(measure(kind, arguments, Path(folder), python))
    totals = {kind: statistics.median(run["run"] + run["environment"] for run in runs[kind]) for kind in KINDS}
    for kind, measured in runs.items():
        own, theirs = (statistics.median(run[part] for run in measured) for part in ("run", "environment"))
        speed = statistics.median(arguments.rollouts / run["wall"] for run in measured)
        each = [f"{1000 * seconds / arguments.rollouts:.3f}" for seconds in (totals[kind], own, theirs)]
        yield kind, *each, f"{totals[kind] / totals['in process']:.2f}", f"{speed:,.0f}"


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--contestant"]:
        kind, rollouts, in_flight, base_url, python = sys.argv[2:]
        with tempfile.TemporaryDirectory() as folder:
            tasks = Path(folder, "tasks.jsonl")
            tasks.write_bytes(b"".join(loops.row(number) for number in range(int(rollouts))))
            found = uvloop.run(contest(kind, int(rollouts), int(in_flight), base_url, python, Path(folder)))
        print(json.dumps(found))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", action="store_true", help="print a table for a page")
    arguments = parser.parse_args()
    for number, row in enumerate(rows(arguments)):
        if arguments.markdown:
            print(f"| {' | '.join(row)} |", flush=True)
            if number == 0:
                print("|---" + "|---:" * (len(row) - 1) + "|", flush=True)
        else:
            print(f"{row[0]:<12}" + "".join(f"{cell:>23}" for cell in row[1:]), flush=True)


if __name__ == "__main__":
    main()
