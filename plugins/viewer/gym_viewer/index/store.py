"""The index of a run on disk: a table of SQLite with a line for each rollout, continued as rows come.

It is a cache, and never asked in place of the files: what it says of a rollout is found there at its offset. Which part
of a file it covers is known by its bytes: as long as what it has read begins and ends as it did, only what has been
appended is read. Anything else, a file that was cut, replaced or touched, is read anew from its beginning. So does an
index that another version wrote, or that the system has damaged. Two viewers may write to one: each batch of rows is a
transaction, which begins where the last one, whoever's it was, has ended.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from gym_core import UsageError, encode_json
from gym_core.spi import Outputs, data_folder
from gym_viewer.index.row import COLUMNS, columns_of

FAILURES = 1 << 40
"""Failures have the ids from here on: their lines are counted beside those of the rows."""
_VERSION = 3
_ENDS = 4096
"""Bytes at the beginning and at the end of what was read by which a file is known again."""
_BUFFER = 1 << 20
_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 5_000
_SHOWN_ODD = 20
STANDING = "standing = 1"
"""What lists ask for, and orders are kept of. What sums up all rollouts says `standing`: it is read in the order of the
file, since to look each row up in another order takes many times as long.
"""
_MANY = 50_000
"""From so many rollouts on an order is kept."""
_ORDERS_KEPT = 16
_HOPELESS = 1_000
"""So many lines that are no rollouts, and no rollout among them, and it is read no further."""
_PATIENCE = 10
_LONG = 10_000
"""Of so many rollouts an answer may be older than the rows: of fewer it is soon made, however slow the machine is."""
_KEPT_SECONDS = 30 * 24 * 3600
"""An index that nobody has opened for so long is removed."""
_SCHEMA = f"""
CREATE TABLE file (part INTEGER PRIMARY KEY, done INTEGER, lines INTEGER, changed INTEGER, head BLOB, tail BLOB);
CREATE TABLE odd (part INTEGER, line INTEGER, problem TEXT);
CREATE TABLE answer (name TEXT PRIMARY KEY, generation TEXT, json BLOB);
CREATE TABLE rollout (id INTEGER PRIMARY KEY, {", ".join(COLUMNS[1:])});
INSERT INTO file VALUES (0, 0, 0, 0, x'', x''), (1, 0, 0, 0, x'', x'');
PRAGMA user_version = {_VERSION};
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS by_task ON rollout (task, repeat, id, standing, reward, status);
"""
_INSERT = f"INSERT OR REPLACE INTO rollout VALUES ({', '.join('?' * len(COLUMNS))})"
_SUPERSEDE = f"""
UPDATE rollout SET standing = 0 WHERE id >= {FAILURES} AND standing AND EXISTS (
    SELECT 1 FROM rollout AS other WHERE other.task = rollout.task AND other.repeat = rollout.repeat
    AND (other.id > rollout.id OR other.id < {FAILURES}))
"""
"""Of several failed attempts the last stands, unless a later one left a row."""


@dataclass(frozen=True, slots=True)
class Covered:
    """How far the files are read, in bytes. `whole`: whether all is that can be; what is missing then is torn."""

    done: int
    total: int
    whole: bool

    @property
    def torn(self) -> bool:
        """Whether the last line of one of the files is unfinished."""
        return self.whole and self.done < self.total


@dataclass(slots=True)
class _Answer:
    """An answer that was made, when, and how long it took; seconds."""

    generation: str
    value: Any
    made: float
    took: float


class RunIndex:
    """The rollouts of a run, by what is known of each in few bytes. All methods may be called from any thread.

    `rows`: the results; failures are those beside it. `replaced`: how often the files turned out to be others.
    """

    def __init__(self, rows: Path, folder: Path | None = None) -> None:
        self.paths = (rows, Outputs.beside(rows).failures)
        self.replaced = 0
        self._lock = threading.RLock()
        self._path = _place(rows, folder)
        self._connection = _open(self._path)
        self._connection.execute("CREATE TEMP TABLE found (search INTEGER, id INTEGER, PRIMARY KEY (search, id))")
        self._whole = False
        self._answers: dict[str, _Answer] = {}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def advance(self, seconds: float) -> Covered:
        """Read on for about so many seconds; raises `UsageError` for a file that cannot be read, or is no run."""
        until = time.monotonic() + seconds
        before = self.replaced
        read = [self._part(part, until) for part in (0, 1)]
        if self.replaced != before:  # a file that turned out to be another takes both from the index
            read = [self._part(part, until) for part in (0, 1)]
        whole = all(all_of_it for _, all_of_it in read)
        if whole and (not self._whole or any(new for new, _ in read)):
            self._finish()
        self._whole = whole
        return self.covered

    def _part(self, part: int, until: float) -> tuple[bool, bool]:
        """Read on in a file; returns whether there was anything, and whether all is read."""
        new, more = False, True
        while more:
            read, more = self._batch(part)
            new = new or read
            if more and time.monotonic() >= until:
                return new, False
        return new, True

    @property
    def covered(self) -> Covered:
        """How far it has come."""
        done = self.read("SELECT SUM(done) FROM file")[0][0]
        return Covered(done, max(done, sum(map(_size, self.paths))), self._whole)

    def read(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def iterate(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The same a thousand at a time, for what may be long."""
        with self._lock:
            cursor = self._connection.cursor()
            cursor.execute(query, values)
        while True:
            with self._lock:
                found = cursor.fetchmany(1_000)
            if not found:
                return
            yield from found

    def order_by(self, order: str) -> None:
        """Keep an order, such as `reward DESC`, so that it is sorted by once and not for each page of it.

        The rows that come later are put in their places. Of very many orders the ones made first are forgotten.
        """
        if not self._whole or self.last_ids()[0] < _MANY:
            return
        name = "order_" + blake2b(order.encode(), digest_size=8).hexdigest()
        with self._lock, contextlib.suppress(sqlite3.Error):  # another viewer is writing: it is sorted each time then
            # asked each time: another viewer may have forgotten it
            kept = self.read("SELECT name FROM sqlite_master WHERE name GLOB 'order_*' ORDER BY rowid")
            if (name,) not in kept:
                for (old,) in kept[: max(0, len(kept) + 1 - _ORDERS_KEPT)]:
                    self._connection.execute(f"DROP INDEX IF EXISTS {old}")
                self._connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON rollout ({order}) WHERE {STANDING}")

    def last_ids(self) -> tuple[int, int]:
        """The ids of the last row and of the last failure."""
        rows, failures = (row[0] for row in self.read("SELECT lines FROM file ORDER BY part"))
        return rows, FAILURES + failures

    @property
    def generation(self) -> str:
        """Changes whenever there is something new."""
        return ":".join(
            str(value) for row in self.read("SELECT done, changed FROM file ORDER BY part") for value in row
        )

    def remembered(self, name: str, make: Callable[[], Any], *, older: bool = False) -> Any:
        """An answer as JSON that holds as long as nothing is new, made where there is none.

        One of many rollouts may be older: it is made anew only after ten times as long as it took, so that a run that
        goes on does not keep the machine busy. `older`: one that is not up to date will do.
        """
        generation = self.generation
        known = self._answers.get(name)
        if known is not None and (
            older
            or known.generation == generation
            or (time.monotonic() < known.made + _PATIENCE * known.took and self.last_ids()[0] >= _LONG)
        ):
            return known.value
        found = self.read("SELECT json FROM answer WHERE name = ? AND generation = ?", (name, generation))
        began = time.monotonic()
        if found:
            value = orjson.loads(found[0][0])
        else:
            content = encode_json(make())
            value = orjson.loads(content)
            with self._lock, contextlib.suppress(sqlite3.Error):
                self._connection.execute("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)", (name, generation, content))
        ended = time.monotonic()
        self._answers[name] = _Answer(generation, value, ended, ended - began)
        return value

    def last(self, name: str) -> Any:
        """The answer that was made last, None where there is none; it may be older than the rows."""
        known = self._answers.get(name)
        if known is not None:
            return known.value
        found = self.read("SELECT json FROM answer WHERE name = ?", (name,))
        return orjson.loads(found[0][0]) if found else None

    def line(self, number: int) -> bytes:
        """The row of a rollout, by its id, as it stands in its file. Raises `UsageError` where it is not there."""
        for _, line in self.lines([number]):
            return line
        raise UsageError(f"{self.paths[number >= FAILURES]} has no such rollout")

    def lines(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The rows of some rollouts, by their ids, in the order in which they stand. Raises `UsageError`."""
        places = self.read(
            f"SELECT id, offset, length FROM rollout WHERE id IN ({', '.join('?' * len(numbers))}) ORDER BY id", numbers
        )
        for part, path in enumerate(self.paths):
            mine = [place for place in places if (place[0] >= FAILURES) == part]
            if not mine:
                continue
            try:
                with path.open("rb") as file:
                    for number, offset, length in mine:
                        file.seek(offset)
                        line = file.read(length)
                        if len(line) != length:
                            raise UsageError(f"{path} was cut or replaced meanwhile", hint="load the page again")
                        yield number, line
            except OSError as error:
                raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error

    def note_found(self, search: int, numbers: Sequence[int]) -> None:
        """Keep what a search has found, for as long as this index is open."""
        with self._lock:
            self._connection.executemany("INSERT INTO temp.found VALUES (?, ?)", [(search, one) for one in numbers])

    def forget_found(self, search: int) -> None:
        """Keep it no longer."""
        with self._lock:
            self._connection.execute("DELETE FROM temp.found WHERE search = ?", (search,))

    def problems(self) -> list[str]:
        """What stands in the files and is no rollout, in sentences."""
        shown = self.read("SELECT part, line, problem FROM odd ORDER BY part, line LIMIT ?", (_SHOWN_ODD,))
        notes = [f"{self.paths[part].name}:{line}: {problem}" for part, line, problem in shown]
        count = self.read("SELECT COUNT(*) FROM odd")[0][0]
        return notes + ([f"and {count - len(notes)} further lines"] if count > len(notes) else [])

    def _batch(self, part: int) -> tuple[bool, bool]:
        """Read some rows; returns whether there were any, and whether there may be more."""
        path = self.paths[part]
        try:
            with self._lock, path.open("rb", buffering=_BUFFER) as file:
                return self._read_some(part, path, file)
        except FileNotFoundError:
            if part:
                with self._lock:
                    return self._forget_if_known(part), False
            raise UsageError(f"{path} is no longer there") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error

    def _read_some(self, part: int, path: Path, file: BinaryIO) -> tuple[bool, bool]:
        with self._transaction():
            state = os.fstat(file.fileno())
            done, lines, changed, head, tail = self._connection.execute(
                "SELECT done, lines, changed, head, tail FROM file WHERE part = ?", (part,)
            ).fetchone()
            if state.st_size == done and state.st_mtime_ns == changed:
                return False, False
            if done and (state.st_size <= done or not _begins_so(file, done, head, tail)):
                self._forget()
                done = lines = 0
            # no further than it was long then: what is appended meanwhile is seen by the length
            rows, odd, done, lines = self._rows(part, file, done, lines, state.st_size)
            self._connection.executemany(_INSERT, rows)
            self._connection.executemany("INSERT INTO odd VALUES (?, ?, ?)", odd)
            head, tail = _ends(file, done)
            self._connection.execute(
                "UPDATE file SET done = ?, lines = ?, changed = ?, head = ?, tail = ? WHERE part = ?",
                (done, lines, state.st_mtime_ns, head, tail, part),
            )
            if odd and not part and self._hopeless():
                raise UsageError(f"{path}:{odd[-1][1]}: {odd[-1][2]}", hint="give what `gym run --output` wrote")
        return bool(rows or odd), bool(rows or odd) and done < state.st_size

    def _rows(
        self, part: int, file: BinaryIO, done: int, lines: int, size: int
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], int, int]:
        rows: list[tuple[Any, ...]] = []
        odd: list[tuple[Any, ...]] = []
        first = FAILURES * part
        end = min(size, done + _BATCH_BYTES)
        file.seek(done)
        for line in file:
            whole = line.endswith(b"\n")
            if done + len(line) > size or not line:
                break
            if not line.isspace():
                try:
                    rows.append(columns_of(line, first + lines + 1, done))
                except ValueError as error:
                    if not whole:  # a run that was killed, or one that is writing just now
                        break
                    odd.append((part, lines + 1, str(error)[:300]))
            lines += 1
            done += len(line)
            if done >= end or len(rows) >= _BATCH_ROWS:
                break
        return rows, odd, done, lines

    def _hopeless(self) -> bool:
        odd = self._connection.execute("SELECT COUNT(*) FROM odd").fetchone()[0]
        return odd >= _HOPELESS and not self._connection.execute("SELECT 1 FROM rollout LIMIT 1").fetchone()

    def _forget_if_known(self, part: int) -> bool:
        with self._transaction():
            known = bool(self._connection.execute("SELECT done FROM file WHERE part = ?", (part,)).fetchone()[0])
            if known:
                self._forget()
            return known

    def _forget(self) -> None:
        """All of both files: which failures stand depends on the rows."""
        self.replaced += 1
        self._answers.clear()
        self._connection.execute("DELETE FROM rollout")
        self._connection.execute("DELETE FROM odd")
        self._connection.execute("DELETE FROM answer")
        self._connection.execute("UPDATE file SET done = 0, lines = 0, changed = 0, head = x'', tail = x''")

    def _finish(self) -> None:
        with self._lock:
            self._connection.executescript(_INDEXES)
            with self._transaction():
                self._connection.execute(_SUPERSEDE)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _place(rows: Path, folder: Path | None) -> Path:
    """Where the index of a run lies: by its path, among what belongs to this user."""
    name = blake2b(os.fsencode(os.path.realpath(rows)), digest_size=12).hexdigest() + ".sqlite"
    folder = folder or data_folder() / "viewer"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_old(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:  # nothing can be kept there: it lasts as long as this process
        folder = _temporary_folder()
    return folder / name


_temporary: list[tempfile.TemporaryDirectory[str]] = []


def _temporary_folder() -> Path:
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="gym-viewer-"))
    return Path(_temporary[0].name)


def _remove_old(folder: Path) -> None:
    before = time.time() - _KEPT_SECONDS
    for path in folder.glob("*.sqlite"):
        if path.stat().st_mtime < before:
            _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _open(path: Path) -> sqlite3.Connection:
    """The index at a path, empty where there was none that this version reads."""
    for _ in range(2):
        connection = sqlite3.connect(path, timeout=30.0, check_same_thread=False, isolation_level=None)
        try:
            # a power cut may take it: it is made again then
            connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -32000")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION and connection.execute("SELECT COUNT(*) FROM file").fetchone()[0] == 2:
                connection.execute("COMMIT")
                os.utime(path)
                return connection
            if version == 0 and not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute("COMMIT")
                return connection
        except sqlite3.DatabaseError:
            pass
        connection.close()
        _remove(path)
    raise UsageError(f"{path}: SQLite cannot keep an index there")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _ends(file: BinaryIO, done: int) -> tuple[bytes, bytes]:
    found = []
    for start in (0, max(0, done - _ENDS)):
        file.seek(start)
        found.append(blake2b(file.read(min(_ENDS, done)), digest_size=16).digest())
    return found[0], found[1]


def _begins_so(file: BinaryIO, done: int, head: bytes, tail: bytes) -> bool:
    return not done or _ends(file, done) == (head, tail)
