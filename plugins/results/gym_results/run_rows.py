"""Rollouts of a run on disk, found by place, key, reward or any field. Rows are read one after the other, never all."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gym_core import UsageError
from gym_core.spi import GroupLines, Outputs
from gym_results.conditions import Condition
from gym_results.fields import HINT_TO_FIELDS, SoughtFields
from gym_results.reading import StoredRow, StoredRows

_DIGITS = 19
_PLAIN = re.compile(r"[A-Za-z_][\w .:-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rollouts are wanted: those that `failed`, those for which all of `where` holds, and of these the `lowest`
    or `highest` so many by reward.
    """

    failed: bool = False
    where: tuple[Condition, ...] = ()
    lowest: int | None = None
    highest: int | None = None

    def __bool__(self) -> bool:
        return bool(self.failed or self.where or self.lowest or self.highest)

    def __str__(self) -> str:
        flags = [f"--{name} {count}" for name in ("lowest", "highest") if (count := getattr(self, name))]
        return " ".join([*(["--failed"] if self.failed else ()), *(f"--where {one}" for one in self.where), *flags])


class RunRows:
    """The rollouts of a run: its rows, then the failures that still stand. Of a file of failures its lines alone.

    What the group of one came to is in its row as `rollout.group`. Raises `UsageError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        files = Outputs.beside(path)
        failures = None if path == files.failures else files.failures
        self._rows = StoredRows(path, failures, made=GroupLines(files.groups).joined)

    @property
    def torn(self) -> bool:
        """Whether the end of an unfinished line was left out, known once it was read."""
        return self._rows.torn > 0

    def find(self, wanted: str | None, selection: Selection) -> Iterator[StoredRow]:
        """What is wanted: by its place among the selected, counted from 1, by `TASK_ID` or `TASK_ID#REPEAT`, or all.

        Without a selection None means the first. Raises `UsageError` for what is not there, and for a line that is no
        rollout.
        """
        number = 1 if wanted is None and not selection else _number(wanted or "")
        if number is not None:
            yield self._at(number, selection)
        elif wanted is not None:
            yield self._of_key(wanted, selection)
        else:
            yield from self._some(selection)

    def like(self, stored: StoredRow) -> StoredRow:
        """The same repeat of the same task, else the first rollout of the task. Raises `UsageError`."""
        task_id, repeat = stored.key
        try:
            return self._of_key(f"{task_id}#{repeat}", Selection(), exactly=True)
        except UsageError:
            return self._of_key(task_id, Selection(), exactly=True)

    def _some(self, selection: Selection) -> Iterator[StoredRow]:
        """All that are selected, at least one."""
        sought = SoughtFields(condition.field for condition in selection.where)
        count = 0
        for stored in self._selected(selection, sought):
            count += 1
            yield stored
        if not count:
            for field in sought.missing:
                raise UsageError(
                    f"no rollout of {self.path} has a value for the field `{field}`", hint=sought.hint(field)
                )
            raise UsageError(
                f"{self.path} has no rollout for {selection}", hint="" if selection.failed else HINT_TO_FIELDS
            )

    def _selected(self, selection: Selection, sought: SoughtFields | None = None) -> Iterator[StoredRow]:
        found = self._filtered(selection, sought)
        count = selection.lowest or selection.highest
        if count is None:
            yield from found
            return
        sign = 1 if selection.lowest else -1
        # of each only its reward and its place is kept: rows may be large, and there may be many
        ranked = ((sign * stored.row["reward"], n, stored.path, stored.number, stored.offset) for n, stored in
                  enumerate(found) if stored.row.get("reward") is not None)  # fmt: skip
        for _, _, path, number, offset in heapq.nsmallest(count, ranked):
            yield self._rows.at(path, number, offset)

    def _filtered(self, selection: Selection, sought: SoughtFields | None) -> Iterator[StoredRow]:
        for stored in self._rows.standing(failed=selection.failed):
            if sought is not None:
                sought.look(stored.row)
            if all(condition.holds(stored.row) for condition in selection.where):
                yield stored

    def _at(self, wanted: int, selection: Selection) -> StoredRow:
        if selection:
            found = self._selected(selection)
            stored = next(islice(found, wanted - 1, None), None) if wanted else None
            if stored is None:
                count = sum(1 for _ in self._selected(selection))
                raise UsageError(f"{self.path} has {count} rollouts for {selection}, and no number {wanted}")
            return stored
        count = 0
        for count, line in enumerate(self._rows.lines(self.path), 1):  # a million rows are not parsed to be counted
            if count == wanted:
                return self._rows.parsed(self.path, *line)
        for stored in self._rows.standing(failed=True) if self._rows.failures is not None else ():
            count += 1
            if count == wanted:
                return stored
        if not count:
            raise UsageError(f"{self.path} holds no rollout", hint="give what `gym run --output` wrote")
        raise UsageError(f"{self.path} has no rollout {wanted}", hint=f"they are 1 to {count}")

    def _of_key(self, wanted: str, selection: Selection, *, exactly: bool = False) -> StoredRow:
        task_id, mark, repeat = wanted.rpartition("#")
        number = _number(repeat) if mark else None
        with_repeat = (task_id, number) if number is not None else None
        # A line without these bytes cannot be the one: it need not be parsed. Others may be written in several ways.
        plain = _PLAIN.fullmatch(task_id if with_repeat else wanted)
        needle = plain[0].encode() if plain else b""
        rows = self._selected(selection) if selection else self._rows.standing(needle)
        found: StoredRow | None = None
        for stored in rows:
            if (found is None and (stored.key[0] == wanted or stored.key == with_repeat)) or (
                found is not None and stored.key == found.key
            ):
                found = stored
                if stored.path is self.path and self._rows.failures is not None:  # a row stands once
                    break
        if found is None:
            raise UsageError(
                f"{self.path} has no rollout of the task {wanted!r}" + (f" for {selection}" if selection else ""),
                hint="" if exactly else "give its place instead, such as 1",
            )
        return found


def _number(text: str) -> int | None:
    """A place or a repeat; None for what is none, such as a task id of many digits."""
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None
