"""What exports for trainers cost: `python benchmarks/export.py [--rollouts 100000]`.

Rollouts of three turns with exact tokens, 300 read and 100 sampled in each, are written once; then each format reads
them and writes a file, by one core. Bytes are those of the rows that are read. The plain line is what it takes to parse
the rows and to write them again, by which the others are to be judged on another machine.
"""

from __future__ import annotations

import argparse
import resource
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from gym_core.spi import ExportRequest
from gym_results.export_file import write_export
from gym_results.export_selection import ExportSelection, SelectedRollouts
from gym_results.reading import ResultsFile, StoredRequests
from gym_training.formats import FORMATS

TURNS, READ, SAMPLED = 3, 300, 100


def row(number: int) -> dict[str, Any]:
    """A rollout as a run writes it."""
    output, calls = [], []
    place = 1
    for turn in range(TURNS):
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "word " * SAMPLED}]}
        output += [item, {"type": "message", "role": "user", "content": "and then? " * 20}]
        tokens = {
            "continues": turn - 1 if turn else None,
            "kept": turn * (READ + SAMPLED),
            "prompt": [100_000 + (number + one) % 20_000 for one in range(READ)],
            "sampled": [50_000 + (number * 7 + one) % 20_000 for one in range(SAMPLED)],
            # most are close to 0 and those of a server have the digits of a float of 32 bits
            "logprobs": [*array("f", [-(((number + one * 7) % 97 / 101) ** 8) for one in range(SAMPLED)])],
            "version": "17",
        }
        calls.append(
            {
                "actor": "policy",
                "role": "policy",
                "continues": turn - 1 if turn else None,
                "kept": 2 * turn,
                "shown": [[place - 1, place]],
                "gave": [[place, place + 1]],
                "tokens": tokens,
            }
        )
        place += 2
    about = dict.fromkeys(("stop_reason", "usage", "cost", "timing", "tools", "error", "seed"))
    return {
        "task_id": f"t{number // 4}",
        "responses_create_params": {"input": [{"role": "user", "content": "Hi. " * 50}]},
        "response": {"output": output[:-1]},
        "reward": number % 5 / 4,
        "rollout": {
            **about,
            "run_id": "r",
            "task_index": number // 4,
            "repeat": number % 4,
            "status": "completed",
            "model_calls": calls,
        },
    }


def report(name: str, size: float, what: Callable[[], Any]) -> None:
    """Do something and print a line of what it took. `size`: of what it reads, in MB; memory is the most so far."""
    began, used = time.monotonic(), time.process_time()
    what()
    used, took = time.process_time() - used, time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:26} {used:6.1f} s of CPU {size / used:5.0f} MB/s per core {took:6.1f} s {peak:5.0f} MB", flush=True)


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--formats", default="tokens,trl,verl,prime-rl,openenv,verifiers,sft")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / "x.jsonl"
        few = [orjson.dumps(row(number), option=orjson.OPT_APPEND_NEWLINE) for number in range(400)]
        with path.open("wb") as file:
            for number in range(arguments.rollouts):
                line = few[number % 400].replace(b'"task_id":"t', b'"task_id":"t%d-' % (number // 400), 1)
                file.write(line)
        size = path.stat().st_size / 1e6
        print(f"{arguments.rollouts:,} rollouts, {size:,.0f} MB", flush=True)

        def plain() -> None:
            with path.open("rb") as read, (Path(folder) / "plain").open("wb") as written:
                for line in read:
                    written.write(orjson.dumps(orjson.loads(line), option=orjson.OPT_APPEND_NEWLINE))

        report("parsed and written again", size, plain)
        (Path(folder) / "plain").unlink()
        for name in arguments.formats.split(","):
            for suffix in (".jsonl", ".parquet"):
                exporter = FORMATS[name]
                results = ResultsFile(path)
                request: Any = ExportRequest(exporter.Options(), StoredRequests(results.outputs.tools))
                rollouts = SelectedRollouts(results, ExportSelection(failures=exporter.keeps_failures))
                columns = exporter.columns(rollouts, request)
                if suffix == ".parquet" and columns is None:
                    continue
                output = Path(folder) / f"y{suffix}"
                rows = exporter.rows(rollouts, request)
                report(f"{name} {suffix}", size, lambda: write_export(output, rows, columns))  # noqa: B023
                output.unlink()


if __name__ == "__main__":
    main()
