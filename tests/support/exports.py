"""Exports without the command line: what a format makes of a results file; and `gym` as a command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import encode_json
from gym_core.spi import Exporter, ExportRequest, run_command
from gym_results.export_selection import ExportSelection, SelectedRollouts
from gym_results.reading import ResultsFile, StoredRequests


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


Gym = Callable[..., Said]


@pytest.fixture
def gym(capsys: pytest.CaptureFixture[str]) -> Gym:
    """Runs `gym` in this process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = run_command(arguments)
        return Said(status, *capsys.readouterr())

    return run


NEEDED: dict[str, Any] = dict.fromkeys(
    ("stop_reason", "usage", "cost", "timing", "tools", "model_calls", "error", "seed")
) | {"run_id": "r", "repeat": 0, "status": "completed"}
"""What stands under `rollout` in every row."""


def selected(file: Path, **selection: Any) -> SelectedRollouts:
    """Rollouts of a results file."""
    return SelectedRollouts(ResultsFile(file), ExportSelection(**selection))


def export_lines(exporter: Exporter[Any], file: Path, **options: Any) -> list[bytes]:
    """The lines of an export of all rollouts."""
    results = ResultsFile(file)
    wanted = ExportSelection(failures=exporter.keeps_failures, pairs=1 if exporter.in_pairs else None)
    request = ExportRequest(exporter.Options(**options), StoredRequests(results.outputs.tools))
    rows = exporter.rows(SelectedRollouts(results, wanted), request)
    return [row if isinstance(row, bytes) else encode_json(row) for row in rows]


def export_rows(exporter: Exporter[Any], file: Path, **options: Any) -> list[dict[str, Any]]:
    """The same, read again."""
    return [orjson.loads(line) for line in export_lines(exporter, file, **options)]


def result(number: int, reward: float | None = 1.0, status: str = "completed", **fields: Any) -> dict[str, Any]:
    """A row as a run writes it; `fields`: of its task."""
    output = [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"It is {number}."}]}
    ]
    about = {
        **NEEDED,
        "task_index": number,
        "status": status,
        "stop_reason": "completed",
        "usage": {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12},
        "timing": {"seconds": 1.5, "model_seconds": 1.0},
        "model": "m",
        "env": "e",
        "metrics": {"steps": 3},
        "rewards": {"helper": 0.25},
        "info": {"why": ["x"]},
    }
    if reward is None:
        about["error"] = {"class": "RateLimitError", "phase": "model", "message": "too many"}
    return {
        "task_id": f"t{number}",
        **fields,
        "responses_create_params": {"input": [{"role": "user", "content": "How many?"}]},
        "response": {"output": output},
        "reward": reward,
        "reward_components": {"exact": 1.0},
        "rollout": about,
    }


def stored(folder: Path, *rows: dict[str, Any]) -> Path:
    """A results file; rows without a reward stand among the failures."""
    for name, failed in (("x.jsonl", False), ("x.failures.jsonl", True)):
        lines = [json.dumps(one) + "\n" for one in rows if (one["reward"] is None) is failed]
        (folder / name).write_text("".join(lines))
    return folder / "x.jsonl"
