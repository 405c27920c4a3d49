"""Reading back what a run wrote: every rollout once, rows first, then the failures that still stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import JsonError, parse_json
from gym_core.domain.rollout import Rollout
from gym_core.domain.task import is_result, result_task_id
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.storage.files import numbered_lines, refuse_odd
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.store import Outputs
from gym_core.engine.tasks.keys import KeyTable, digest, for_repeat

_NEEDED = ("repeat", "status", "stop_reason", "usage", "cost", "timing", "tools", "model_calls", "error", "seed")
_REPEAT = re.compile(rb'"rollout":\{"run_id":"[^"]*","task_index":\d+,"repeat":(\d+),')
_NOT_OURS = "give a file that `gym run --output` wrote"


def files_of_results(path: Path) -> Outputs:
    """The files of a run that has written to `path`. Raises `UsageError` where that is no results file."""
    name = path.name
    if name.endswith(".failures.jsonl"):
        rows = path.with_name(name.removesuffix(".failures.jsonl") + ".jsonl")
        raise UsageError(f"{path} holds failures only", hint=f"give {rows}; its failures are read with it")
    for suffix, held in ((".tools.jsonl", "what rows cite"), (".groups.jsonl", "what groups came to")):
        if name.endswith(suffix):
            rows = path.with_name(name.removesuffix(suffix) + ".jsonl")
            raise UsageError(f"{path} holds {held}", hint=f"give {rows}")
    if not name.endswith(".jsonl"):
        raise UsageError(f"{path}: a results file ends in `.jsonl`", hint=_NOT_OURS)
    outputs = Outputs.of(path)  # before it is opened: a pipe would keep whoever opens it waiting
    try:
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}", hint=_NOT_OURS) from error
    return outputs


class ResultsFile:
    """The files of a run that has ended, was interrupted, or still goes on.

    Raises `UsageError` for a path that is no results file. `torn`: bytes of an unfinished last line that were left
    out, known once the rollouts were read. `redact`: what is done to a line before it is parsed. `judged`: whether what
    was said of a rollout's group takes the place of its own verdict; `groups` counts those then.
    """

    def __init__(self, path: str | Path, redact: Callable[[bytes], bytes] = bytes, *, judged: bool = False) -> None:
        self.path = Path(path)
        self._redact = redact
        self.outputs = files_of_results(self.path)
        self.torn = 0
        self.manifest = Manifest.read(self.outputs.manifest) if self.outputs.manifest.exists() else None
        self.groups = GroupTally()
        self._lines_of_groups = GroupLines(self.outputs.groups, self.groups, redact) if judged else None

    def extent(self) -> tuple[int, int]:
        """How many rows there are, and how many rollouts a task has: what the rows show and the manifest says."""
        count = most = 0
        for _, _, line in self._lines(self.path):
            count += 1
            most = max(most, _repeat_of(line))
        for _, _, line in self._lines(self.outputs.failures):
            most = max(most, _repeat_of(line))
        planned = self.manifest.extent.get("repeats", 1) if self.manifest is not None else 1
        return count, max(most + 1, planned)

    def rollouts(self) -> Generator[Rollout, None, None]:
        """Every rollout once. Of several failed attempts the last stands, unless a later one left a row.

        Raises `UsageError` with file name and line number for a line that is no rollout, and for a rollout that stands
        there twice.
        """
        return (rollout for _, rollout in self.placed())

    def placed(self) -> Iterator[tuple[int, Rollout]]:
        """The same, each with its place, for `at`."""
        last: dict[tuple[str, int], int] = {}
        for number, _, row in self._rows(self.outputs.failures):
            last[_key(row)] = number
        seen = KeyTable()
        for number, offset, row in self._rows(self.path):
            key = _key(row)
            if not seen.add(for_repeat(digest(key[0]), key[1])):
                raise UsageError(
                    f"{self.path}:{number}: repeat {key[1]} of the task {key[0]!r} stands on an earlier line already",
                    hint="results of several runs cannot share a file; give each its own",
                )
            last.pop(key, None)
            yield Outputs.place(offset, failed=False), self._rollout(row)
        if last:
            for number, offset, row in self._rows(self.outputs.failures):
                if last.get(_key(row)) == number:
                    yield Outputs.place(offset, failed=True), self._rollout(row)

    def at(self, places: Iterable[int]) -> Iterator[Rollout]:
        """The rollouts at these places, in their order. Raises `UsageError` where the files have changed there."""
        for place in places:
            yield self._rollout(self.outputs.row(place, self._redact))

    def _rollout(self, row: dict[str, Any]) -> Rollout:
        return Rollout(row if self._lines_of_groups is None else self._lines_of_groups.judged(row))

    def _rows(self, path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
        for number, offset, line in self._lines(path):
            try:
                row = parse_json(self._redact(line))
            except JsonError as error:
                if not line.endswith(b"\n"):  # a run that was killed, or one that is writing just now
                    self.torn = len(line)
                    return
                raise UsageError(f"{path}:{number}: {error}", hint=_NOT_OURS) from None
            if not isinstance(row, dict) or not is_result(row) or "task_id" not in row:
                raise UsageError(f"{path}:{number}: not a row that gym wrote", hint=_NOT_OURS)
            lacking = [name for name in _NEEDED if name not in row["rollout"]]
            if lacking:
                raise UsageError(f"{path}:{number}: not a row that gym wrote: it lacks `rollout.{lacking[0]}`")
            try:
                refuse_odd(row.get("reward"), row["rollout"]["repeat"])
            except ValueError as error:
                raise UsageError(f"{path}:{number}: {error}", hint=_NOT_OURS) from None
            yield number, offset, row

    @staticmethod
    def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
        return numbered_lines(path) if path.exists() else iter(())


def _key(row: dict[str, Any]) -> tuple[str, int]:
    return result_task_id(row), int(row["rollout"]["repeat"])


def _repeat_of(line: bytes) -> int:
    """The repeat of a row, without parsing all of it where it looks as usual. 0 for what is no row."""
    found = _REPEAT.match(line, line.rfind(b'"rollout":{"run_id":'))
    if found is not None:
        return int(found[1])
    try:
        return int(parse_json(line)["rollout"]["repeat"])
    except (KeyError, TypeError, ValueError):
        return 0
