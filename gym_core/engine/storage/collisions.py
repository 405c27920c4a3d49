"""What a command reads is never written to, nor is what belongs to another run: refused before anything is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gym_core.domain.errors import UsageError

if TYPE_CHECKING:
    from gym_core.engine.storage.store import Mode, Outputs

Named: TypeAlias = tuple[str, str | Path]
"""What a file is to the command, such as `the input`, and its path. `-` is standard input."""
LOG = "the log"
SIBLINGS = (".failures.jsonl", ".run.json", ".summary.json")
"""How the other files of a run end, beside `x.jsonl`."""
_ELSEWHERE = "name another file"
_LOG_BEGINS = b'{"time":"'
_STREAMS = ((1, "standard output"), (2, "standard error"))


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
    for descriptor, name in _STREAMS:
        identity = _identity_of(descriptor)
        if identity is not None and identity in taken and not taken[identity].startswith(LOG):
            raise UsageError(f"{name} goes to {taken[identity]}: it would be destroyed", hint="send it elsewhere")


def refuse_of_a_run(what: str, path: Path) -> None:
    """Raise `UsageError` for a path by which a run keeps, or would keep, its failures, manifest or summary."""
    for suffix in SIBLINGS:
        if path.name.endswith(suffix):
            rows = path.with_name(path.name.removesuffix(suffix) + ".jsonl")
            raise UsageError(f"{path}, {what}, is a name for a file of the run {rows}", hint=_ELSEWHERE)
    if path.with_name(path.name.removesuffix(".jsonl") + ".run.json").exists():
        raise UsageError(f"{path}, {what}, is the results of a run", hint=_ELSEWHERE)


def refuse_outputs(outputs: Outputs | None, mode: Mode, read: Iterable[Named], log_file: str | Path | None) -> None:
    """Raise `UsageError` where a run would write to what it reads, or to what is not its own."""
    written: list[Named] = [*outputs.named()] if outputs is not None else []
    if log_file is not None:
        written.append((LOG, log_file))
        _refuse_as_log(Path(log_file))
    if mode == "resume" and outputs is not None:  # a run may be continued by its own manifest
        read = [(what, path) for what, path in read if not _same(path, outputs.manifest)]
    refuse_collisions(read, written)
    if outputs is not None:
        _refuse_link(outputs)
        if mode == "overwrite":
            _refuse_foreign(outputs)


def _refuse_as_log(path: Path) -> None:
    """Raise `UsageError` for a file that is no log: nothing is to be mixed into data."""
    refuse_of_a_run(LOG, path)
    if any(_identity(path) == _identity_of(descriptor) for descriptor, _ in _STREAMS):  # such as /dev/stderr
        return
    beginning = _first_line(path)
    if beginning and not beginning.startswith(_LOG_BEGINS):
        raise UsageError(f"{path} is no log that gym wrote", hint="--log-file takes another path")


def _refuse_link(outputs: Outputs) -> None:
    """Raise `UsageError` for a link to the results of another run."""
    real = Path(os.path.realpath(outputs.rows))
    if real == Path(os.path.abspath(outputs.rows)):
        return
    manifest = real.with_name(real.name.removesuffix(".jsonl") + ".run.json")
    if real.name.endswith(SIBLINGS) or (manifest.exists() and not _same(manifest, outputs.manifest)):
        raise UsageError(
            f"{outputs.rows} is a link to a file of another run, {real}", hint="--output takes another path"
        )


def _refuse_foreign(outputs: Outputs) -> None:
    """Raise `UsageError` for what is no output of a run, so that `--overwrite` empties nothing else."""
    from gym_core.engine.storage.files import parse_row

    hint = "--output takes another path; remove the file if it is no longer needed"
    for path in (outputs.rows, outputs.failures):
        try:
            if path.stat().st_nlink > 1:
                raise UsageError(f"{path} has another name (a hard link), and would be emptied there, too", hint=hint)
        except OSError:
            continue
        line = _first_line(path)
        if not line or outputs.manifest.exists():
            continue
        try:
            parse_row(line)
        except ValueError:
            raise UsageError(f"{path} holds no results of a run: --overwrite replaces only those", hint=hint) from None


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
