"""One row of a results file, found by its place or by its key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gym_core.domain.errors import InputError, UsageError
from gym_core.domain.json_text import JsonError, parse_json
from gym_core.domain.task import is_result, result_task_id
from gym_core.engine.storage.files import refuse_odd

_DIGITS = 19
_PLAIN = re.compile(r"[A-Za-z_][\w .:-]*", re.ASCII)


def find_row(path: Path, wanted: str | None) -> dict[str, Any]:
    """The row that `wanted` means: a number counted from 1, `TASK_ID` or `TASK_ID#REPEAT`; None is the first.

    The last of several attempts at one key wins. Raises `UsageError`, and `InputError` for a line that is no rollout.
    """
    try:
        with path.open("rb") as file:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            number = 1 if wanted is None else _number(wanted)
            if number is not None:
                return _by_number(path, lines, number)
            assert wanted is not None
            return _by_key(path, lines, wanted)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", hint=_siblings(path)) from error


def _number(text: str) -> int | None:
    """A place or a repeat; None for what is none, such as a task id of many digits."""
    return int(text) if text.isdecimal() and len(text) < _DIGITS else None


def _by_number(path: Path, lines: Iterator[tuple[int, bytes]], wanted: int) -> dict[str, Any]:
    count = 0
    for number, line in lines:
        count += 1
        if count == wanted:
            return _rollout(path, number, line)
    if not count:
        raise UsageError(f"{path} holds no rollout", hint=_siblings(path))
    raise UsageError(f"{path} has no row {wanted}", hint=f"its rows are 1 to {count}")


def _by_key(path: Path, lines: Iterator[tuple[int, bytes]], wanted: str) -> dict[str, Any]:
    task_id, mark, repeat = wanted.rpartition("#")
    number = _number(repeat) if mark else None
    with_repeat = (task_id, number) if number is not None else None
    # A line without these bytes cannot be the one: it need not be parsed. Others may be written in several ways.
    plain = _PLAIN.fullmatch(task_id if with_repeat else wanted)
    needle = plain[0].encode() if plain else b""
    found: dict[str, Any] | None = None
    for number, line in lines:
        if needle not in line and b"\\u" not in line:
            continue
        row = _rollout(path, number, line)
        key = _key(row)
        if (found is None and (key[0] == wanted or key == with_repeat)) or (found is not None and key == _key(found)):
            found = row
    if found is None:
        raise UsageError(f"{path} has no rollout of the task {wanted!r}", hint="give its place instead, such as 1")
    return found


def _key(row: dict[str, Any]) -> tuple[str, Any]:
    return result_task_id({"task_id": None, **row}), row["rollout"].get("repeat", 0)


def _rollout(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except JsonError as error:
        raise InputError(f"{path}:{number}: {error}") from error
    if not isinstance(row, dict) or not is_result(row):
        raise InputError(f"{path}:{number}: this is no rollout that gym wrote", hint="give the file after --output")
    try:
        refuse_odd(row.get("reward"), row["rollout"].get("repeat", 0))
    except ValueError as error:
        raise InputError(f"{path}:{number}: {error}") from None
    return row


def _siblings(path: Path) -> str:
    failures = path.parent / f"{path.stem}.failures.jsonl"
    if failures.is_file() and failures.stat().st_size:
        return f"its failures are in {failures}"
    return "" if path.exists() else "`gym run` names the file it writes"
