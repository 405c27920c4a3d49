"""What gym costs per rollout beside a bare loop over the same endpoint: `python benchmarks/overhead.py [OPTIONS]`.

Starts a stand-in endpoint on loopback, lets the contestants of `loops.py` take turns, and prints medians, and ratios to
the bare loop over aiohttp. The bare loop over another client shows what that client is by itself.
`--in-flight 10 100 1000 10000` shows growth; with `--latency-ms 1000` the endpoint thinks for a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from standin import running_standin

HERE = Path(__file__).parent
KINDS = ("bare", "gym", "gym-weather")
TRANSPORTS = ("aiohttp", "httptools")


def measure(kind: str, rollouts: int, in_flight: int, base_url: str, transport: str) -> dict[str, Any]:
    """One run of one contestant."""
    environ = {**os.environ, "GYM_OPENAI_TRANSPORT": transport, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, str(HERE / "loops.py"), kind, str(rollouts), str(in_flight), base_url]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def plain_row(cells: Sequence[str]) -> None:
    """Print aligned columns."""
    print(f"{cells[0]:>9}  {cells[1]:<20}" + "".join(f"{cell:>20}" for cell in cells[2:]), flush=True)


def markdown_row(cells: Sequence[str]) -> None:
    """Print a row of a table for a page."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rollouts", type=int, default=0, help="per run; by default 1,000 or five times what is in flight"
    )
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64])
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--weather", action="store_true", help="also with simple_weather and its verifier")
    parser.add_argument("--markdown", action="store_true", help="print a table for a page")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    kinds = KINDS if arguments.weather else KINDS[:2]
    contestants = [(kind, name) for kind in kinds for name in TRANSPORTS]
    print_row = markdown_row if arguments.markdown else plain_row
    print_row(("in flight", "contestant", "CPU ms per rollout", "ratio", "rollouts/s", "peak MB"))
    if arguments.markdown:
        print_row(("---:", "---", "---:", "---:", "---:", "---:"))
    for in_flight in arguments.in_flight:
        rollouts = arguments.rollouts or max(1000, 5 * in_flight)
        runs: dict[tuple[str, str], list[dict[str, Any]]] = {contestant: [] for contestant in contestants}
        for _ in range(arguments.rounds):
            for contestant in contestants:
                with running_standin(arguments.latency_ms) as base_url:
                    runs[contestant].append(measure(contestant[0], rollouts, in_flight, base_url, contestant[1]))
        bare = statistics.median(run["cpu"] for run in runs["bare", "aiohttp"])
        for (kind, transport), results in runs.items():
            cpu = statistics.median(run["cpu"] for run in results)
            speed = statistics.median(run["rollouts"] / run["wall"] for run in results)
            peak = statistics.median(run["peak_mb"] for run in results)
            name = f"bare loop, {transport}" if kind == "bare" else f"{kind}, {transport}"
            print_row(
                (f"{in_flight:,}", name, f"{1000 * cpu:.3f}", f"{cpu / bare:.2f}", f"{speed:,.0f}", f"{peak:.0f}")
            )


if __name__ == "__main__":
    main()
