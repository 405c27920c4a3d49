"""Reading back what a run wrote: every rollout once, rows first, then the failures that still stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gym_core import JsonError, Rollout, UsageError, parse_json
from gym_core.spi import (
    GroupLines,
    GroupTally,
    KeyTable,
    Manifest,
    Outputs,
    SharedRequest,
    is_result,
    line_at,
    numbered_lines,
    refuse_collisions,
    refuse_odd,
    request_lines,
    result_task_id,
    rollout_key,
    rows_beside,
)

_NEEDED = ("repeat", "status", "stop_reason", "usage", "cost", "timing", "tools", "model_calls", "error", "seed")
_REPEAT = re.compile(rb'"rollout":\{"run_id":"[^"]*","task_index":\d+,"repeat":(\d+),')
_HELD = {
    ".failures.jsonl": "failures only",
    ".tools.jsonl": "what rows cite",
    ".groups.jsonl": "what groups came to",
}
_NOT_OURS = "give a file that `gym run --output` wrote"


def files_of_results(path: Path) -> Outputs:
    """The files of a run that has written to `path`. Raises `UsageError` where that is no results file."""
    held = next((held for suffix, held in _HELD.items() if path.name.endswith(suffix)), None)
    if held is not None:
        raise UsageError(f"{path} holds {held}", hint=f"give {rows_beside(path)}, with which it is read")
    if not path.name.endswith(".jsonl"):
        raise UsageError(f"{path}: a results file ends in `.jsonl`", hint=_NOT_OURS)
    outputs = Outputs.of(path)  # before it is opened: a pipe would keep whoever opens it waiting
    try:
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}", hint=_NOT_OURS) from error
    return outputs


def refuse_writes_to_runs(files: Iterable[Path], written: Iterable[tuple[str, Path]] = ()) -> None:
    """Raise `UsageError` where a file of the runs that are read, each named by its results, is one that is written.

    `written`: what each is to the command, and its path.
    """
    read: list[tuple[str, Path]] = []
    for file in files:
        read.append(("the results", file))
        read += (("a file of its run", path) for path in astuple(Outputs.beside(file)))
    refuse_collisions(read, written)


@dataclass(slots=True)
class StoredRow:
    """A row, and where it stands: its file, the number of its line from 1, and the bytes before it."""

    path: Path
    number: int
    offset: int
    row: dict[str, Any]

    @property
    def key(self) -> tuple[str, int]:
        """The task and the repeat."""
        return result_task_id(self.row), self.row["rollout"].get("repeat", 0)

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.number}"


class StoredRows:
    """The rows of a run, and of its failures those that still stand, one after the other, however many there are.

    What may be missing, and what stands. A run that was killed, or that writes just now, leaves at most the last line
    of each file unfinished: that one is left out, and `torn` is its bytes, known once it was met. Of several failed
    attempts the last one stands, and none where a later one left a row; so the failures are read first, for the last
    of each, then the rows, and then the failures again.

    `failures`: None for a file that is all there is. `redact`: what is done to a line before it is parsed, and `made`
    what is made of each row then. `needed`: what must be in `rollout`. Raises `UsageError` with file name and line
    number for a line that is no row.
    """

    def __init__(
        self,
        rows: Path,
        failures: Path | None,
        redact: Callable[[bytes], bytes] = bytes,
        *,
        needed: Sequence[str] = (),
        made: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self.rows = rows
        self.failures = failures
        self.torn = 0
        self._redact = redact
        self._needed = needed
        self._made = made

    def lines(self, path: Path) -> Iterator[tuple[int, int, bytes]]:
        """Number, offset and text of each whole line of one of the files; the failures may not be there."""
        if path is self.failures and not path.is_file():
            return
        for number, offset, line in numbered_lines(path):
            if not line.endswith(b"\n") and not _is_json(line):
                self.torn = len(line)
                return
            yield number, offset, line

    def standing(self, needle: bytes = b"", *, failed: bool = False) -> Iterator[StoredRow]:
        """Every rollout once: its row, or the failure that stands; with `failed` the failures alone.

        `needle`: what is in the line of each that is wanted, unless it is written with escapes: others may be left out.
        """
        failed = failed and self.failures is not None
        last = {stored.key: stored.number for stored in self._of(self.failures, needle)}
        for stored in () if failed and not last else self._of(self.rows, needle):
            last.pop(stored.key, None)
            if not failed:
                yield stored
        for stored in self._of(self.failures, needle) if last else ():
            if last.get(stored.key) == stored.number:
                yield stored

    def at(self, path: Path, number: int, offset: int) -> StoredRow:
        """The row that stands at a place."""
        return self.parsed(path, number, offset, line_at(path, offset))

    def parsed(self, path: Path, number: int, offset: int, line: bytes) -> StoredRow:
        """A line as a row."""
        try:
            row = parse_json(self._redact(line))
        except JsonError as error:
            raise UsageError(f"{path}:{number}: {error}", hint=_NOT_OURS) from None
        if not isinstance(row, dict) or not is_result(row) or (self._needed and "task_id" not in row):
            raise UsageError(f"{path}:{number}: not a row that gym wrote", hint=_NOT_OURS)
        about = row["rollout"]
        lacking = [name for name in self._needed if name not in about]
        if lacking:
            raise UsageError(f"{path}:{number}: not a row that gym wrote: it lacks `rollout.{lacking[0]}`")
        try:
            refuse_odd(row.get("reward"), about.get("repeat", 0))
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {error}", hint=_NOT_OURS) from None
        return StoredRow(path, number, offset, row if self._made is None else self._made(row))

    def _of(self, path: Path | None, needle: bytes) -> Iterator[StoredRow]:
        if path is not None:
            for number, offset, line in self.lines(path):
                if needle in line or b"\\u" in line:
                    yield self.parsed(path, number, offset, line)


class ResultsFile:
    """The files of a run that has ended, was interrupted, or still goes on.

    Raises `UsageError` for a path that is no results file. `redact`: what is done to a line before it is parsed.
    `judged`: whether what was said of a rollout's group takes the place of its own verdict; `groups` counts those then.
    """

    def __init__(self, path: str | Path, redact: Callable[[bytes], bytes] = bytes, *, judged: bool = False) -> None:
        self.path = Path(path)
        self._redact = redact
        self.outputs = files_of_results(self.path)
        self.manifest = Manifest.read(self.outputs.manifest) if self.outputs.manifest.exists() else None
        self.groups = GroupTally()
        self._judged = GroupLines(self.outputs.groups, self.groups, redact).judged if judged else None
        self._rows = StoredRows(self.path, self.outputs.failures, redact, needed=_NEEDED, made=self._judged)

    @property
    def torn(self) -> int:
        """Bytes of an unfinished last line that were left out, known once the rollouts were read."""
        return self._rows.torn

    def extent(self) -> tuple[int, int]:
        """How many rows there are, and how many rollouts a task has: what the rows show and the manifest says."""
        count = most = 0
        for path in (self.outputs.failures, self.path):
            count = 0
            for _, _, line in self._rows.lines(path):
                count += 1
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
        seen = KeyTable()
        for stored in self._rows.standing():
            task_id, repeat = stored.key
            failed = stored.path is not self.path
            if not failed and not seen.add(rollout_key(task_id, repeat)):
                raise UsageError(
                    f"{stored.place}: repeat {repeat} of the task {task_id!r} stands on an earlier line already",
                    hint="results of several runs cannot share a file; give each its own",
                )
            yield Outputs.place(stored.offset, failed=failed), Rollout(stored.row)

    def at(self, places: Iterable[int]) -> Iterator[Rollout]:
        """The rollouts at these places, in their order. Raises `UsageError` where the files have changed there."""
        for place in places:
            row = self.outputs.row(place, self._redact)
            yield Rollout(row if self._judged is None else self._judged(row))


class StoredRequests(Mapping[str, Mapping[str, Any]]):
    """What an `x.tools.jsonl` holds, by hash, without it: of each line its place is kept, and the last few as read."""

    def __init__(self, path: Path, redact: Callable[[bytes], bytes] = bytes) -> None:
        self._path = path
        self._redact = redact
        self._read = lru_cache(maxsize=64)(self._line_at)
        self._places: dict[str, int] | None = None

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._read(self._known[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def _known(self) -> Mapping[str, int]:
        if self._places is None:
            self._places = {digest.hex(): offset for digest, offset, _ in request_lines(self._path)}
        return self._places

    def _line_at(self, offset: int) -> Mapping[str, Any]:
        return SharedRequest.of(parse_json(self._redact(line_at(self._path, offset)))).fields


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line)
    except JsonError:
        return False
    return True


def _repeat_of(line: bytes) -> int:
    """The repeat of a row, without parsing all of it where it looks as usual. 0 for what is no row."""
    found = _REPEAT.match(line, line.rfind(b'"rollout":{"run_id":'))
    if found is not None:
        return int(found[1])
    try:
        return int(parse_json(line)["rollout"]["repeat"])
    except (KeyError, TypeError, ValueError):
        return 0
