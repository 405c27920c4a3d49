"""Files on disk: lines as they are read, and what is safe against a kill at any moment. `store` appends them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import orjson

from gym_core.domain.errors import StoreError, UsageError
from gym_core.domain.json_text import JsonError, encode_json, parse_json

BLOCK = 1 << 16
"""Bytes that are read at once from the end of a file."""
_BUFFER = 1 << 18
"""Bytes that are read at once: a row of tokens is longer than what is usual, and was put together of pieces."""
_ACCOUNT = {"task_id", "reward", "reward_components", "rollout"}
_ABOUT = {"repeat", "status", "error", "usage", "cost", "timing", "tools"}


def refuse_irregular(path: Path) -> None:
    """Raise `UsageError` where results cannot be kept: in a pipe, a device or a folder, under no possible name."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{path}: {getattr(error, 'strerror', error)}", hint="--output takes another path"
            ) from error
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
        raise UsageError(
            f"{path} is {kind}; results need a regular file, which `--resume` can read again",
            hint="--output FILE.jsonl; `--json` prints the summary to standard output",
        )


def sync_directory(path: Path) -> None:
    """Have the system put the names of new files on the disk, where it can."""
    with contextlib.suppress(OSError):  # not on every platform and file system
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def parse_row(line: bytes) -> dict[str, Any]:
    """A line of a results file. Raises `ValueError` for one that gym did not write."""
    try:
        row: dict[str, Any] = parse_json(line)
        row["task_id"], row["rollout"]["status"]
        refuse_odd(row["reward"], row["rollout"]["repeat"])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a row that gym wrote ({type(error).__name__}: {error})") from None
    except JsonError as error:
        raise ValueError(f"not a row that gym wrote ({error})") from None
    return row


def refuse_odd(reward: Any, repeat: Any) -> None:
    """Raise `ValueError` for what gym writes into no row: everybody computes with these two."""
    if reward is not None and (type(reward) not in (int, float) or not math.isfinite(reward)):
        raise ValueError(f"the reward {reward!r} is no number that gym writes")
    if type(repeat) is not int or repeat < 0:
        raise ValueError(f"the repeat {repeat!r} is no number that gym writes")


def parse_account(line: bytes) -> dict[str, Any]:
    """The same without `response` and the conversations of `rollout`, most of the line, unread where that is safe.

    The response lies between `,"response":` and the last `,"reward":`; the model calls, the tool calls, the replies and
    all other items between the next `,"model_calls":[` and the last `,"tools":{"calls":`, unless one of them belongs to
    something nested. All are keys in any case: a quote within a string is escaped. Two that are not nested equally deep
    leave brackets without a partner when what lies between is cut out; and with both cuts in the wrong place the row
    would lack a reward of its own.
    """
    start, end = line.find(b',"response":'), line.rfind(b',"reward":')
    calls, tools = line.find(b',"model_calls":[', end), line.rfind(b',"tools":{"calls":')
    if 0 < start < end < calls < tools:
        try:
            row: dict[str, Any] = parse_json(line[:start] + line[end:calls] + line[tools:])
        except JsonError:
            return parse_row(line)
        about = row.get("rollout")
        if type(about) is dict and row.keys() >= _ACCOUNT and about.keys() >= _ABOUT:
            refuse_odd(row["reward"], about["repeat"])
            return row
    return parse_row(line)


def read_rows(
    path: Path, parse: Callable[[bytes], dict[str, Any]] = parse_row
) -> Generator[dict[str, Any], None, None]:
    """The rows of a results file. Raises `UsageError` with file name and line number for a line that is none."""
    for number, _, line in numbered_lines(path):
        try:
            row = parse(line)
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {error}") from None
        yield row


def numbered_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Each line that is not blank: its number, from 1, the bytes before it, and itself. Raises `UsageError`."""
    offset = 0
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield number, offset, line
                offset += len(line)
    except OSError as error:
        raise _unreadable(path, error) from error


def line_at(path: Path, offset: int) -> bytes:
    """The line that so many bytes stand before. Raises `UsageError` where the file cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.readline()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    hint = "" if path.exists() else "`gym run` names the file it writes; `gym runs` lists those of a folder"
    return UsageError(f"{path} cannot be read: {error.strerror or error}", hint=hint)


def lines_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """The bytes before each line that is not blank, and itself without its end, the last one first."""
    with path.open("rb") as file:
        start = file.seek(0, os.SEEK_END)
        held: list[bytes] = []  # the end of a line whose start is still to come, in reverse order
        while start > 0:
            size = min(BLOCK, start)
            start -= size
            file.seek(start)
            block = file.read(size)
            stop = size
            while (newline := block.rfind(b"\n", 0, stop)) >= 0:
                line = b"".join([block[newline + 1 : stop], *reversed(held)])
                held.clear()
                if line and not line.isspace():
                    yield start + newline + 1, line
                stop = newline
            held.append(block[:stop])
        first = b"".join(reversed(held))
        if first and not first.isspace():
            yield 0, first


def line_number(path: Path, offset: int) -> int:
    """The number of the line that so many bytes stand before, from 1."""
    number = 1
    with path.open("rb") as file:
        while offset > 0 and (block := file.read(min(BLOCK, offset))):
            number += block.count(b"\n")
            offset -= len(block)
    return number


def partial(path: Path) -> Path:
    """Where a file is written before it takes the place of `path`."""
    return path.with_name(f"{path.name}.partial")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step, so that nobody ever sees half of it. Raises `StoreError`."""
    unfinished = partial(path)
    try:
        with unfinished.open("wb") as file:
            file.write(encode_json(value, orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror or error}") from error
    sync_directory(path.parent)
