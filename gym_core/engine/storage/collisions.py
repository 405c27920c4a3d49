"""What a command reads is never written to, nor is what belongs to another run: refused before anything is opened."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import JsonError, parse_json
from gym_core.engine.standard_streams import standard_output
from gym_core.engine.storage.files import partial
from gym_core.engine.storage.groups import is_group_line
from gym_core.engine.storage.outputs import SIBLINGS, Mode, Outputs, rows_beside
from gym_core.engine.storage.requests import is_line

Named: TypeAlias = tuple[str, str | Path]
"""What a file is to the command, such as `the input`, and its path. `-` is standard input."""
LOG = "the log"
_ELSEWHERE = "name another file"
_LOG_BEGINS = b'{"time":"'


def refuse_collisions(read: Iterable[Named], written: Iterable[Named]) -> None:
    """Raise `UsageError` where a file that is written is one that is read, or is written as something else, too.

    Links and other spellings are the same file. Standard output and error count as written where they go to files.
    """
    taken: dict[Any, str] = {}
    for what, path in read:
        taken.setdefault(_identity(path), f"{what} ({path})")
    for what, path in written:
        identity = _identity(path)
        if identity is not None and identity in taken:
            raise UsageError(f"{path}, {what}, is {taken[identity]}: it would be destroyed", hint=_ELSEWHERE)
        taken[identity] = f"{what} ({path})"
    for identity, name in ((_identity_of(standard_output()), "standard output"), (_identity_of(2), "standard error")):
        if identity is not None and identity in taken and not taken[identity].startswith(LOG):
            raise UsageError(f"{name} goes to {taken[identity]}: it would be destroyed", hint="send it elsewhere")


def refuse_of_a_run(what: str, path: Path) -> None:
    """Raise `UsageError` for a path by which a run keeps, or would keep, one of the files beside its rows."""
    if (rows := rows_beside(path)) is not None:
        raise UsageError(f"{path}, {what}, is a name for a file of the run {rows}", hint=_ELSEWHERE)
    if Outputs.beside(path).manifest.exists():
        raise UsageError(f"{path}, {what}, is the results of a run", hint=_ELSEWHERE)


def refuse_outputs(outputs: Outputs | None, mode: Mode, read: Iterable[Named], log_file: str | Path | None) -> None:
    """Raise `UsageError` where a run would write to what it reads, or to what is not its own."""
    written = [*_written(outputs)] if outputs is not None else []
    if log_file is not None:
        written.append((LOG, log_file))
        _refuse_as_log(Path(log_file))
    if mode == "resume" and outputs is not None:  # a run may be continued by its own manifest
        read = [(what, path) for what, path in read if not _same(path, outputs.manifest)]
    refuse_collisions(read, written)
    if outputs is not None and mode != "new":
        _refuse_links(outputs)
        kinds = {
            outputs.rows: _is_row,
            outputs.failures: _is_row,
            outputs.tools: is_line,
            outputs.groups: is_group_line,
        }
        for path, is_ours in kinds.items():
            _refuse_shared(path)
            _refuse_no_results(path, is_ours, torn=outputs.manifest.exists() and not path.is_symlink())


def _written(outputs: Outputs) -> Iterator[Named]:
    """All files of a run, and what they are replaced through."""
    yield "the output", outputs.rows
    yield "the failures of the output", outputs.failures
    yield "the tools of the output", outputs.tools
    yield "the groups of the output", outputs.groups
    for path in (outputs.manifest, partial(outputs.manifest)):
        yield "the manifest of the output", path
    for path in (outputs.summary, partial(outputs.summary)):
        yield "the summary of the output", path


def _refuse_as_log(path: Path) -> None:
    """Raise `UsageError` for a file that is no log: nothing is to be mixed into data."""
    refuse_of_a_run(LOG, path)
    if _identity(path) in (_identity_of(standard_output()), _identity_of(2)):  # such as /dev/stderr
        return
    beginning = _first_line(path)
    if beginning and not beginning.startswith(_LOG_BEGINS):
        raise UsageError(f"{path} is no log that gym wrote", hint="--log-file takes another path")


def _refuse_links(outputs: Outputs) -> None:
    """Raise `UsageError` for links to the files of another run."""
    for path in (outputs.rows, outputs.failures, outputs.tools, outputs.groups):
        real = Path(os.path.realpath(path))
        if real == Path(os.path.abspath(path)):
            continue
        manifest = Outputs.beside(real).manifest
        others = tuple(suffix for suffix in SIBLINGS if not path.name.endswith(suffix))
        if real.name.endswith(others) or (manifest.exists() and not _same(manifest, outputs.manifest)):
            raise UsageError(f"{path} is a link to a file of another run, {real}", hint="--output takes another path")


def _refuse_shared(path: Path) -> None:
    """Raise `UsageError` for a file that has another name: what is done to it would be done there, too."""
    with contextlib.suppress(OSError):
        if path.stat().st_nlink > 1:
            raise UsageError(
                f"{path} has another name (a hard link), and would change there, too",
                hint="--output takes another path; a copy in its place is a file of its own",
            )


def _is_row(line: bytes) -> bool:
    row = None
    with contextlib.suppress(JsonError):
        row = parse_json(line)
    return isinstance(row, dict) and isinstance(row.get("rollout"), dict)


def _refuse_no_results(path: Path, is_ours: Callable[[bytes], bool], *, torn: bool) -> None:
    """Raise `UsageError` for what is no output of a run. `torn`: whether its first line may be an unfinished one."""
    line = _first_line(path)
    if not line.strip() or (torn and not line.endswith(b"\n")):
        return
    if not is_ours(line):
        raise UsageError(
            f"{path} holds no results of a run: only those are replaced or continued",
            hint="--output takes another path; remove the file if it is no longer needed",
        )


def _first_line(path: Path) -> bytes:
    """The first line of a regular file, empty where there is none."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.readline()
    except OSError:
        return b""


def _same(one: str | Path, other: Path) -> bool:
    identity = _identity(one)
    return identity is not None and bool(identity == _identity(other))


def _identity(path: str | Path) -> Any:
    """What a file is known by: its number, or its real path while there is none. None for pipes and devices."""
    if str(path) == "-":
        return _identity_of(0)
    try:
        return _of(os.stat(path))
    except OSError:
        return os.path.realpath(path)


def _identity_of(descriptor: int) -> Any:
    try:
        return _of(os.fstat(descriptor))
    except OSError:
        return None


def _of(found: os.stat_result) -> tuple[int, int] | None:
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None
