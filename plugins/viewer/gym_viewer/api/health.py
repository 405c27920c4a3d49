"""What looks wrong with a run although nothing failed."""

from __future__ import annotations

import shlex
from typing import Any

from gym_health.checks import look_at
from gym_health.finding import Finding
from gym_results.reading import ResultsFile
from gym_viewer.api.query import Query
from gym_viewer.api.shapes import Health, HealthFinding
from gym_viewer.library import Library, OpenRun

_SMALL = 64 << 20
"""Bytes of results that are read once more while the page waits."""


def health(library: Library, query: Query) -> Health:
    """`/api/runs/RUN/health`."""
    opened = library.run(query.path["run"])
    covered = opened.advance()
    if covered.total > _SMALL:
        return {"looked_at": None, "findings": [], "command": _command(opened)}
    found: Health = opened.index.remembered("health", lambda: _looked(opened))
    return found


def _looked(opened: OpenRun) -> Any:
    looked, findings = look_at(ResultsFile(opened.path))
    return {"looked_at": looked, "findings": [*map(_finding, findings)], "command": _command(opened)}


def _finding(found: Finding) -> HealthFinding:
    return {
        "check": found.check,
        "text": found.text,
        "count": found.count,
        "of": found.of,
        "rollouts": [
            {"n": str(place.number), "task_id": place.task_id, "repeat": place.repeat, "detail": place.detail}
            for place in found.places
        ],
    }


def _command(opened: OpenRun) -> str:
    return f"gym health {shlex.quote(str(opened.path))}"
