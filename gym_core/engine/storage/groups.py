"""`x.groups.jsonl`: what an environment said of the rollouts of a task together, a line per group; the last one counts.

Rows are final when they are written, so that what is said of them later stands here, and readers put the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from gym_core.domain.errors import UsageError
from gym_core.domain.group import Group, judged
from gym_core.domain.json_text import JsonError, encode_json, parse_json
from gym_core.domain.task import result_task_id
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.storage.files import line_at, numbered_lines, refuse_odd
from gym_core.engine.tasks.keys import KeyTable, digest

LINES_KEPT = 64
_BEGINS = b'{"task_id":'


@dataclass(frozen=True, slots=True)
class GroupLine:
    """A line of an `x.groups.jsonl`. `verdicts`: as JSON objects by repeat; `error`: why there are none."""

    verdicts: Mapping[int, Mapping[str, Any]]
    error: Mapping[str, Any] | None

    @property
    def rewards(self) -> list[float]:
        """The rewards that it gives."""
        return [verdict["reward"] for verdict in self.verdicts.values()]


def encode_group(group: Group) -> bytes:
    """A group as a line: its verdicts, or its failure. Raises `JsonError` for what has no JSON form."""
    verdicts = [{"repeat": repeat, **verdict.to_wire()} for repeat, verdict in group.verdicts.items()]
    line = {"task_id": group.task_id, "verdicts": verdicts, "error": group.error}
    return encode_json(line, orjson.OPT_APPEND_NEWLINE)


def is_group_line(line: bytes) -> bool:
    """Whether this is a line of an `x.groups.jsonl`."""
    try:
        return line.startswith(_BEGINS) and _parsed(line) is not None
    except ValueError:
        return False


class GroupLines:
    """The groups of a run by task. Of each 16 bytes are kept, and the lines of the last few.

    `tally` counts them. `redact`: what is done to a line before it is parsed. A torn last line is left out. Raises
    `UsageError` that names the line for one that is none.
    """

    def __init__(self, path: Path, tally: GroupTally | None = None, redact: Callable[[bytes], bytes] = bytes) -> None:
        self._path = path
        self._redact = redact
        self._read = lru_cache(maxsize=LINES_KEPT)(self._line_at)
        self._places = KeyTable(value_size=6)
        for number, offset, line in numbered_lines(path) if path.is_file() else ():
            if not line.endswith(b"\n"):
                continue
            try:
                task_id, found = _parsed(line)
            except ValueError as error:
                raise UsageError(f"{path}:{number}: {error}", hint="remove the line") from None
            key = digest(task_id)
            if tally is not None:
                before = self._places.get(key)
                if before is not None:  # a later line takes its place
                    replaced = self._line_at(before)
                    tally.remove(replaced.rewards, replaced.error)
                tally.add(found.rewards, found.error)
            self._places.put(key, offset)

    def _line_at(self, offset: int) -> GroupLine:
        return _parsed(self._redact(line_at(self._path, offset)))[1]

    def __len__(self) -> int:
        return len(self._places)

    def of(self, task_id: str) -> GroupLine | None:
        """What was said of a task's rollouts last; None for nothing."""
        offset = self._places.get(digest(task_id)) if len(self._places) else None
        return None if offset is None else self._read(offset)

    def covers(self, task_id: str, repeats: Collection[int]) -> bool:
        """Whether these rollouts of a task have been scored together."""
        line = self.of(task_id)
        return line is not None and line.error is None and line.verdicts.keys() >= {*repeats}

    def joined(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with what its group came to as `rollout.group`, a verdict or `error`; itself where there is nothing."""
        line = self._of_row(row)
        if line is None:
            return row
        group = line.verdicts.get(row["rollout"].get("repeat", 0))
        if group is None and line.error is not None:
            group = {"error": line.error}
        return row if group is None else {**row, "rollout": {**row["rollout"], "group": group}}

    def judged(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the verdict of its group in place of its own, see `gym_core.Group.judged`; else itself."""
        line = self._of_row(row)
        verdict = line.verdicts.get(row["rollout"].get("repeat", 0)) if line is not None else None
        return row if verdict is None else judged(row, verdict)

    def _of_row(self, row: dict[str, Any]) -> GroupLine | None:
        return self.of(result_task_id(row)) if len(self._places) and row.get("reward") is not None else None


def _parsed(line: bytes) -> tuple[str, GroupLine]:
    """A line. Raises `ValueError` for one that gym did not write."""
    try:
        wire = parse_json(line)
        task_id, error = wire["task_id"], wire["error"]
        verdicts = {verdict.pop("repeat"): verdict for verdict in wire["verdicts"]}
        for repeat, verdict in verdicts.items():
            if verdict["reward"] is None:
                raise TypeError("a verdict without a reward")
            refuse_odd(verdict["reward"], repeat)
        if not isinstance(task_id, str) or not isinstance(error, dict | None):
            raise TypeError("its task_id or its error is of another kind")
    except (KeyError, TypeError, AttributeError, JsonError) as error:
        raise ValueError(f"not a group that gym wrote ({type(error).__name__}: {error})") from None
    return task_id, GroupLine(verdicts, error)
