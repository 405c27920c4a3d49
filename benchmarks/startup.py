"""What starting `gym` costs, beside the bare import of click: `python benchmarks/startup.py [ROUNDS]`.

Lists 300 plugins among 300 other distributions, all of them made up, and runs one rollout of `simple_weather` at a
stand-in endpoint. The commands take turns, so that whatever else the machine does hits all alike; medians are printed.
CPU is user and system time of the process. Modules are compiled beforehand, as they are where gym is installed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from standin import MODEL, running_standin

PLUGINS = 300
OTHERS = 300
ROUNDS = 21
TARGET = 2.0
RUN = "gym run (one rollout)"
RUN_SECONDS = 0.5
"""What a run of one rollout may take of the CPU."""
ROOT = Path(__file__).parents[1]
GYM = "from gym_core.cli import main; main()"  # what the installed script does
GROUPS = ("gym.models", "gym.resource_servers", "gym.agents", "gym.extensions")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one process."""

    wall: float
    cpu: float


def install(site: Path) -> None:
    """Fill a directory with distributions; importing one of the plugins would fail."""
    for number in range(PLUGINS + OTHERS):
        is_plugin = number < PLUGINS
        name = f"{'gym-plugin' if is_plugin else 'other'}-{number}"
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        readme = "A long description. " * 200
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nSummary: Plugin number {number}\n\n{readme}\n"
        )
        if is_plugin:
            group = GROUPS[number % len(GROUPS)]
            (info / "entry_points.txt").write_text(f"[{group}]\nplugin_{number} = no_such_module_{number}\n")
        elif number % 3 == 0:
            (info / "entry_points.txt").write_text(f"[console_scripts]\n{name} = other_{number}:main\n")


def environment(site: Path) -> dict[str, str]:
    """The variables of a command: one that sees the made-up plugins, and keeps what it compiles."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    for name in ("GYM_DISABLE_PLUGINS", "PYTHONDONTWRITEBYTECODE"):
        environ.pop(name, None)
    return environ | {"PYTHONPYCACHEPREFIX": str(site / "compiled"), "NO_PROXY": "127.0.0.1", "GYM_NO_DOTENV": "1"}


def cost(command: Sequence[str], site: Path) -> Cost:
    """Run a command to its end. Raises `SystemExit` when it fails."""
    environ = environment(site)
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environ, cwd=site, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")
    return Cost(wall, used.ru_utime + used.ru_stime)


def one_rollout(base_url: str) -> list[str]:
    """The options of a run of one rollout."""
    model = ["--model", f"openai:{MODEL}", "-M", f"base_url={base_url}", "-M", "api=responses"]
    return ["run", *model, "--env", "simple_weather", "--limit", "1", "--output", "rows.jsonl", "--overwrite"]


def measure(rounds: int, base_url: str) -> Iterator[tuple[str, Cost]]:
    """The median cost of each command."""
    python = [sys.executable]
    commands = {
        'python -c "import click"': [*python, "-c", "import click"],
        "gym --help": [*python, "-c", GYM, "--help"],
        f"gym plugins list ({PLUGINS} plugins)": [*python, "-c", GYM, "plugins", "list"],
        RUN: [*python, "-c", GYM, *one_rollout(base_url)],
    }
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        install(site)
        listed = subprocess.run(
            [*commands[f"gym plugins list ({PLUGINS} plugins)"], "--json"],
            env=environment(site),
            cwd=site,
            capture_output=True,
            check=True,
        ).stdout
        assert listed.count(b'"gym-plugin-') == PLUGINS, "the listing lacks plugins"
        for command in commands.values():  # what it compiles is kept
            cost(command, site)
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                costs[name].append(cost(command, site))
    for name, found in costs.items():
        yield name, Cost(statistics.median(c.wall for c in found), statistics.median(c.cpu for c in found))


def main() -> None:
    """Print the table and whether the targets are met."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with running_standin() as base_url:
        results = dict(measure(rounds, base_url))
    print(f"{'command':<36}{'wall ms':>9}{'CPU ms':>9}{'ratio (wall)':>14}{'ratio (CPU)':>13}")
    before: Cost | None = None
    met = True
    for name, found in results.items():
        line = f"{name:<36}{found.wall * 1e3:>9.1f}{found.cpu * 1e3:>9.1f}"
        if before is not None and name != RUN:
            line += f"{found.wall / before.wall:>14.2f}{found.cpu / before.cpu:>13.2f}"
            met = met and found.cpu <= TARGET * before.cpu
        print(line)
        before = found
    print(f"each at most {TARGET:g} times the one above: {'yes' if met else 'no'} (medians of {rounds} rounds)")
    quick = results[RUN].cpu <= RUN_SECONDS
    print(f"{RUN} at most {RUN_SECONDS:g} s of the CPU: {'yes' if quick else 'no'}")


if __name__ == "__main__":
    main()
