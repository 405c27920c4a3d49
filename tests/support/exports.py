"""Exports without the command line: what a format makes of a results file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from gym_core import encode_json
from gym_core.cli.export_selection import ExportSelection, SelectedRollouts
from gym_core.engine.storage.reading import ResultsFile
from gym_core.engine.storage.requests import StoredRequests
from gym_core.spi import Exporter, ExportRequest

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
