"""Results on disk: rows and failures, appended one whole line at a time by one writer.

A line is written with one system call; a file that could not take all of it is cut back to its last whole line. A
kill at any moment therefore leaves at most one torn line, which `--resume` cuts away before it reads on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from gym_core.domain.errors import StoreError, UsageError
from gym_core.domain.group import Group
from gym_core.domain.json_text import encode_json
from gym_core.domain.rollout import Rollout
from gym_core.domain.task import RESULT_FIELDS
from gym_core.engine.storage.files import BLOCK, refuse_irregular, sync_directory, write_json
from gym_core.engine.storage.groups import encode_group
from gym_core.engine.storage.outputs import Mode, Outputs
from gym_core.engine.storage.requests import Cited, request_lines
from gym_core.engine.tasks.keys import KeyTable
from gym_core.wiring.secrets import Redactor

SYNC_SECONDS = 1.0
"""How long after a row was written the system is told to put it on the disk; a power cut takes what came later."""

EXISTS = "--resume continues it, --overwrite starts again, --output writes elsewhere"
"""What to do about an output that exists."""


class FreshRollout(Rollout):
    """A rollout of this run.

    `source`: the line its task was read from, if it came from a file. `names_task`: whether the row says a `task_id`
    that the task's line does not. `cited`: what is to be written before the row is.
    """

    __slots__ = ("cited", "names_task", "source")

    def __init__(
        self, row: dict[str, Any], *, source: bytes | None = None, names_task: bool = False, cited: Cited = ()
    ) -> None:
        self.row = row
        self.source = source
        self.names_task = names_task
        self.cited = cited

    def with_row(self, row: dict[str, Any]) -> FreshRollout:
        """The same with another row, which may be changed."""
        return FreshRollout(row, source=self.source, names_task=self.names_task, cited=self.cited)

    def line(self, redactor: Redactor) -> bytes:
        """The row as it goes to disk. The fields of its task stand as they were read, byte for byte, but for secrets.

        Raises `JsonError` for what has no JSON form.
        """
        row, source = self.row, self.source
        if source is None or (self.names_task and b'"task_id"' in source):  # something in it has the name
            return redactor.redact_bytes(encode_json(row, orjson.OPT_APPEND_NEWLINE))
        added = {name: row[name] for name in RESULT_FIELDS}
        if self.names_task:
            added = {"task_id": row["task_id"], **added}
        rest = encode_json(added, orjson.OPT_APPEND_NEWLINE)[1:]
        return redactor.redact_bytes(source.rstrip()[:-1].rstrip() + b"," + rest)

    @property
    def counted(self) -> dict[str, Any]:
        """The row, or as much of it as `Progress.add` reads."""
        return self.row

    @property
    def changeable(self) -> FreshRollout:
        """It, or one like it, whose row may be changed."""
        return self


def as_fresh(rollout: Rollout) -> FreshRollout:
    """A rollout as one of this run, which it is unless it was read or made elsewhere."""
    return rollout if isinstance(rollout, FreshRollout) else FreshRollout(rollout.row)


class ResultStore:
    """The writer of a run. A rollout is finished when `write` returned.

    Opening it takes the files for this run alone, before anything in them is changed: `new` refuses what exists,
    `resume` cuts torn last lines away (`torn`: the bytes cut), `overwrite` empties the files. `groups`: whether groups
    are written, too. Raises `UsageError`.
    """

    def __init__(
        self, outputs: Outputs, redactor: Redactor | None = None, mode: Mode = "resume", *, groups: bool = False
    ) -> None:
        self.outputs = outputs
        self.torn = 0
        self._known = KeyTable()
        self._cited: Cited = ()
        self._redactor = redactor if redactor is not None else Redactor()
        if mode == "new":
            outputs.refuse_existing(EXISTS)
        try:
            outputs.rows.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{outputs.rows}: {error.strerror or error}", hint="--output takes another path"
            ) from error
        with contextlib.ExitStack() as opened:

            def open_file(path: Path) -> LineFile:
                return opened.enter_context(contextlib.closing(LineFile(path)))

            self._rows = open_file(outputs.rows)
            self._rows.lock()
            if mode == "overwrite":
                self._clear()
            self._failures, self._tools = open_file(outputs.failures), open_file(outputs.tools)
            self._groups = open_file(outputs.groups) if groups else None
            # what is cited goes to the disk first, and what is said of rows last
            self._files = [file for file in (self._tools, self._failures, self._rows, self._groups) if file is not None]
            if mode == "resume":
                self.torn = self._rows.cut_torn() + self._failures.cut_torn()
                for file in self._files:  # others: what they held is written again
                    file.cut_torn()
                for digest, _, _ in request_lines(outputs.tools):
                    self._known.add(digest)
            opened.pop_all()
        self._spare = SpareDescriptor()
        self._folder = Path(os.path.abspath(outputs.rows.parent))  # a plugin may change the working directory
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._failed: StoreError | None = None
        self._told = False  # whether the one who writes has heard of it

    def _clear(self) -> None:
        try:
            files = self.outputs
            for path in (files.manifest, files.summary, files.failures, files.tools, files.groups):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{error.filename}: {error.strerror}", hint="--output takes another path") from error
        self._rows.clear()

    def write(self, rollout: FreshRollout) -> None:
        """Append a rollout to the rows, or to the failures. Raises `StoreError`.

        Raises `JsonError` for a rollout that cannot be written as JSON; nothing is written then.
        """
        self._append(self._rows if rollout.reward is not None else self._failures, rollout.line(self._redactor))

    def write_group(self, group: Group) -> None:
        """Append what a group came to. Raises `StoreError`, and `JsonError` for what cannot be written as JSON."""
        assert self._groups is not None
        self._append(self._groups, self._redactor.redact_bytes(encode_group(group)))

    def _append(self, file: LineFile, line: bytes) -> None:
        if self._failed is not None:
            self._told = True
            raise self._failed
        file.append(line)
        if self._timer is None:
            self._sync_later()

    def cite(self, cited: Cited) -> None:
        """Append the tools and the sampling that a row is going to cite, where they are new. Raises `StoreError`.

        A kill before the row leaves a line that nothing cites.
        """
        if cited is self._cited:  # of most rows
            return
        for request in cited:
            digest = bytes.fromhex(request.hash)
            if digest not in self._known:
                line = encode_json(request.to_wire(), orjson.OPT_APPEND_NEWLINE)
                self._tools.append(self._redactor.redact_bytes(line))
                self._known.add(digest)
        self._cited = cited

    def cite_all(self, path: Path) -> None:
        """Take over what the rows of another run cite. Raises `StoreError`."""
        for digest, _, line in request_lines(path):
            if self._known.add(digest):
                self._tools.append(line)

    def write_json(self, path: Path, value: Any) -> None:
        """Replace the manifest or the summary, for which a file descriptor is kept. Raises `StoreError`."""
        with self._spare:
            write_json(self._folder / path.name, value)

    def _sync_later(self) -> None:
        with contextlib.suppress(RuntimeError):  # outside of an event loop: `flush` and closing do it
            self._timer = asyncio.get_running_loop().call_later(SYNC_SECONDS, self._sync_now)

    def _sync_now(self) -> None:
        loop = asyncio.get_running_loop()
        self._syncing = loop.run_in_executor(None, self._sync)
        self._syncing.add_done_callback(self._synced)

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._timer = None
        if self._failed is None and any(file.dirty for file in self._files):
            self._sync_later()

    def _sync(self, *, last: bool = False) -> None:
        try:
            for file in self._files:
                if file.dirty or last:
                    file.check(last=last)
                if file.dirty:
                    file.sync()
        except StoreError as error:
            self._failed = error

    async def flush(self) -> None:
        """Have everything on the disk. Raises `StoreError` for this and any earlier attempt that failed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._syncing is not None:
            await self._syncing
        if self._failed is None:
            await asyncio.to_thread(self._sync, last=True)
        self._timer = None
        if self._failed is not None:
            self._told = True
            raise self._failed

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        told = self._told
        try:
            await self.flush()
        except StoreError:
            if not told and error is None:
                raise
        finally:
            self._spare.close()
            for file in self._files:
                if file is self._rows:
                    continue
                file.close()
                with contextlib.suppress(OSError):
                    empty = self._folder / file.path.name
                    if empty.stat().st_size == 0:
                        empty.unlink()
            self._rows.close()  # last: this is what holds the lock


class LineFile:
    """A file of whole lines that is only ever appended to. Raises `UsageError` when it cannot be opened.

    `size`: its bytes. `dirty`: whether something was appended since the last `sync`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = os.path.abspath(path)
        refuse_irregular(path)
        fresh = not path.exists()
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}", hint="--output takes another path") from error
        if fresh:
            sync_directory(path.parent)
        self.size = os.fstat(self._descriptor).st_size
        self.dirty = False
        self._torn: StoreError | None = None

    def append(self, line: bytes) -> None:
        """Write one line whole, or not at all. Raises `StoreError`."""
        if self._torn is not None:
            raise self._torn
        try:
            written = os.write(self._descriptor, line)
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError as error:
            failed = StoreError(
                f"{self.path}: {error.strerror or error}; what is in it is whole", hint="make room, then `--resume`"
            )
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError:  # nothing may follow half a line: `--resume` cuts it away
                self._torn = failed
            raise failed from error
        self.size += len(line)
        self.dirty = True

    def lock(self) -> None:
        """Keep other runs away from this file for as long as it is open. Raises `UsageError` when one has it."""
        try:
            import fcntl
        except ImportError:  # no advisory locks on this platform
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.path}: another run is writing to it", hint="--output takes another path"
            ) from error
        except OSError:  # a file system without locks
            return

    def clear(self) -> None:
        """Remove everything that is in it. Raises `StoreError`."""
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from error
        self.size = 0

    def cut_torn(self) -> int:
        """Cut a torn last line away; returns the bytes cut. Raises `UsageError` when it cannot be changed."""
        # A row is one write of one line, so a kill or a full disk can tear the last line and no other. Its rollout was
        # not counted or announced, since that happens after the write: cutting the line loses nothing that anybody was
        # told of, and the rollout runs again. The cut is synced before anything is appended, or a power cut could join
        # the two.
        end = self.size
        try:
            with open(self._descriptor, "rb", closefd=False) as file:
                while end > 0:
                    start = max(0, end - BLOCK)
                    file.seek(start)
                    newline = file.read(end - start).rfind(b"\n")
                    if newline >= 0:
                        end = start + newline + 1
                        break
                    end = start
            if end < self.size:
                os.ftruncate(self._descriptor, end)
                os.fsync(self._descriptor)
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror or error}") from error
        torn, self.size = self.size - end, end
        return torn

    def check(self, *, last: bool = False) -> None:
        """Raise `StoreError` where what was written is no longer under its name; `last`: or anything else is in it."""
        written = self.size  # first: more may be written meanwhile
        try:
            named, ours = os.stat(self._place), os.fstat(self._descriptor)
        except FileNotFoundError:
            raise self._lost("was removed or renamed") from None
        except OSError as error:
            raise self._lost(f"can no longer be looked at ({error.strerror or error})") from error
        if not os.path.samestat(named, ours):
            raise self._lost("was replaced by another file")
        if ours.st_size < written:
            raise self._lost("was cut")
        if last and ours.st_size > written:  # before the last time this side may just have written itself
            raise StoreError(
                f"{self.path}: somebody else has written to it, too, perhaps into the middle of a row",
                hint="remove what is no row of this run, then `--resume`, which runs what it lacks",
            )

    def _lost(self, how: str) -> StoreError:
        return StoreError(
            f"{self.path} {how} while it was written to: what was counted may be lost",
            hint="put it back, then `--resume`, which runs what it lacks",
        )

    def sync(self) -> None:
        """Have the system put it on the disk. Raises `StoreError`: what was written may be lost then."""
        self.dirty = False
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(
                f"{self.path}: the system could not put it on the disk: {error.strerror or error}",
                hint="look after the disk, then `--resume`; the last rows may be missing and run again",
            ) from error

    def close(self) -> None:
        """Close it. What is `dirty` is left to the system."""
        os.close(self._descriptor)


class SpareDescriptor:
    """A file descriptor kept for the end of a run, when connections and plugins may have taken all others.

    Within `with` it is free for whoever opens a file.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._take()

    def _take(self) -> None:
        with contextlib.suppress(OSError):  # there may be none again already
            self._descriptor = os.open(os.devnull, os.O_RDONLY)

    def __enter__(self) -> None:
        self.close()

    def __exit__(self, *error: object) -> None:
        self._take()

    def close(self) -> None:
        """Give it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
