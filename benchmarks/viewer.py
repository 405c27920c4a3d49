"""The index of the viewer over a large run, and a long rollout: `python benchmarks/viewer.py --rows 1000000`.

Rows are those of a short rollout with a tool call. Figures: the first indexing, in MB of rows a second by the clock and
by the CPU; in another process the time until the run is open, sorted and filtered, with its memory; and a page of a
rollout of 100,000 items.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ITEMS = 100_000
USAGE = {"input_tokens": 120, "output_tokens": 20, "total_tokens": 140}
WORDS = "What is the weather in Paris right now? Give the condition and the temperature. "


def message(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "text", "text": text}]}


def model_call(shown: list[list[int]], gave: list[list[int]]) -> dict[str, Any]:
    return {
        "actor": "policy", "role": "policy", "continues": None, "kept": 0, "shown": shown, "gave": gave, "at": 0.1,
        "latency": 0.5, "waited": 0.0, "attempts": 1, "usage": USAGE, "response_id": "resp_1", "model": "m",
    }  # fmt: skip


def row(output: list[dict[str, Any]]) -> dict[str, Any]:
    """A row with places to be filled in: its task, its reward, its time."""
    return {
        "task_id": "TASK", "kind": "one_city", "level": 3,
        "responses_create_params": {"input": [message("user", WORDS * 3)]},
        "response": {"id": "resp_2", "object": "response", "status": "completed", "output": output, "usage": USAGE},
        "reward": 0.123456, "reward_components": {"calls": 1.0, "answer": 0.5},
        "rollout": {
            "run_id": "dc49d75be97e", "task_index": 0, "repeat": 0, "attempt": 1, "status": "completed",
            "stop_reason": "completed", "info": {"asked": ["Paris"]}, "error": None, "usage": USAGE, "cost": 0.001,
            "timing": {"finished_at": 1795734528.672, "seconds": 2.5, "verify_seconds": 0.1, "model_seconds": 1.0,
                       "waited_seconds": 0.0},
            "model_calls": [model_call([[0, 1]], [[1, 2]]), model_call([[2, 3]], [[3, 4]])],
            "tool_calls": [{"actor": "policy", "call": 1, "output": 2, "at": 0.6, "seconds": 0.1}],
            "tools": {"calls": 1, "errors": {}}, "seed": 1, "model": "m", "env": "e", "agent": "a", "seed_sent": True,
            "request": "fd462793713cbaad16a5aea3",
        },
    }  # fmt: skip


def line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def write_rows(path: Path, rows: int) -> None:
    call = {"type": "function_call", "name": "get_weather", "arguments": '{"city":"Paris"}', "call_id": "call_1"}
    answer = {"type": "function_call_output", "call_id": "call_1", "output": WORDS * 2}
    made = line(row([call, answer, message("assistant", WORDS * 6)]))
    before, _, rest = made.partition(b"TASK")
    middle, _, after = rest.partition(b"0.123456")
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(rows):
            file.write(b"%stask-%08d%s%.3f%s" % (before, number, middle, number * 7919 % 1000 / 1000, after))


def timed(name: str, act: Callable[[], Any]) -> Any:
    began, cpu = time.perf_counter(), time.process_time()
    found = act()
    print(f"{name:<44}{time.perf_counter() - began:8.3f} s{time.process_time() - cpu:8.3f} s CPU", flush=True)
    return found


def index(rows: Path, indexes: Path) -> None:
    """The first look: everything that the page of a run shows is made, and kept."""
    from gym_viewer.index.store import RunIndex

    opened = RunIndex(rows, indexes)
    began, cpu = time.perf_counter(), time.process_time()
    while not opened.advance(1.0).whole:
        pass
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    size = rows.stat().st_size / 1e6
    opened.close()
    print(f"indexed {size:,.0f} MB: {size / wall:,.0f} MB/s, {size / cpu:,.0f} MB/s of CPU", flush=True)


def look(rows: Path, indexes: Path) -> None:
    """What a page asks, in a process that knows nothing yet."""
    from starlette.datastructures import ImmutableMultiDict

    from gym_viewer.api import rollouts, run
    from gym_viewer.api.query import Query
    from gym_viewer.library import Library

    def query(*pairs: tuple[str, str]) -> Query:
        return Query({"run": library.selected}, ImmutableMultiDict(list(pairs)))

    library = timed("opened", lambda: Library([rows], indexes=indexes))
    timed("the page of the run", lambda: run.run(library, query()))
    timed("the first rollouts", lambda: rollouts.rollouts(library, query()))
    timed("the lowest rewards", lambda: rollouts.rollouts(library, query(("sort", "reward"))))
    timed(
        "the slowest, in the middle",
        lambda: rollouts.rollouts(library, query(("sort", "-seconds"), ("offset", "5000"))),
    )
    timed("by task and reward", lambda: rollouts.rollouts(library, query(("task", "0042"), ("min_reward", "0.5"))))
    timed("rewards by task", lambda: run.tasks(library, query(("sort", "-reward"))))
    library.close()
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB", flush=True)


def page(rows: Path, indexes: Path) -> None:
    """A rollout of very many items."""
    from starlette.datastructures import ImmutableMultiDict

    from gym_viewer.api import rollout
    from gym_viewer.api.query import Query
    from gym_viewer.library import Library

    library = Library([rows], indexes=indexes)

    def query(**values: str) -> Query:
        return Query({"run": library.selected, "n": "1"}, ImmutableMultiDict(values))

    timed(f"a rollout of {ITEMS:,} items", lambda: rollout.rollout(library, query()))
    timed("its last hundred items", lambda: rollout.items(library, query(offset=str(ITEMS - 100))))
    library.close()


def main() -> None:
    """Write rows, then look at them in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        {"index": index, "look": look, "page": page}[given.part[0]](*map(Path, given.part[1:]))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows, one, indexes = Path(folder, "x.jsonl"), Path(folder, "one.jsonl"), str(Path(folder, "indexes"))
        write_rows(rows, given.rows)
        one.write_bytes(line(row([message("assistant", WORDS) for _ in range(ITEMS)])))
        for what, path in (("index", rows), ("look", rows), ("look", rows), ("page", one)):
            print(f"-- {what}", flush=True)
            subprocess.run([sys.executable, __file__, "--part", what, str(path), indexes], check=True)


if __name__ == "__main__":
    main()
