"""Standard input, output and error of a process: always there, never in the way, and nothing on them but text.

A launcher may have closed them; whoever reads may have gone, or read nothing while the pipe fills up; the disk behind
them may be full. None of that may end a process, or hold its event loop and with it the signals. So a pipe or a
terminal is written by a thread, out of a queue: lines for people are dropped when it is full, and counted; data waits.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO, cast

from gym_core.domain.quoting import quote

QUEUED = 1 << 20
"""Bytes that wait for a reader before lines are dropped, and data is waited with."""
PATIENCE = 5.0
"""Seconds that a process which is to end waits for a reader who takes nothing."""
_CHUNK = 4096  # what a pipe takes in one piece


def open_missing() -> None:
    """Open the null device for each of descriptors 0 to 2 that was closed.

    A file that is opened gets the lowest free number: what is printed would end up in it, and uvloop aborts the process
    when it closes one of these. So this comes before anything is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads the stream, or types into it."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it has been closed
        return False


class OutputLost(Exception):
    """Data could not be written. `error`: why."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.error = error


class Sink(Protocol):
    """Where bytes go. What is `required` counts as data, all else as lines for people."""

    @property
    def is_full(self) -> bool:
        """Whether data would be waited with."""
        return False

    def put(self, data: bytes, required: bool) -> None:
        """Write, or leave it to be written. Raises `OutputLost` for what is required."""

    def flush(self, patience: float | None, for_data: float | None = None) -> None:
        """Wait until all is written, at most so many seconds without any progress. Raises `OutputLost` for data."""
        return


class Output:
    """Standard output or standard error, once Python has it as `stream`; None where there is none.

    `beside`: the other one; where both are the same pipe or terminal, lines keep their order. `waits`: a reader is
    waited for, in a process that has no event loop.
    """

    def __init__(self, stream: TextIO | None, *, beside: Output | None = None, waits: bool = False) -> None:
        self.is_terminal = is_terminal(stream)
        self.number = _number(stream)
        self.encoding = getattr(stream, "encoding", None) or "utf-8" if self.number is not None else "utf-8"
        self.sink: Sink
        if self.number is None:
            self.sink = _Nothing() if stream is None else _TextSink(stream)
        elif waits or not _can_block(self.number):
            self.sink = _FileSink(os.dup(self.number))
        elif beside is not None and beside.number is not None and os.path.sameopenfile(self.number, beside.number):
            self.sink = beside.sink
        else:
            self.sink = _Queue(os.dup(self.number))

    @property
    def columns(self) -> int | None:
        """The width of the terminal; None where it is none."""
        if not self.is_terminal:
            return None
        with contextlib.suppress(ValueError, OSError):
            return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(self.number or 0).columns or 80
        return 80

    def write(self, text: str, *, required: bool = False) -> None:
        """Write text; characters that the terminal lacks become question marks."""
        self.sink.put(text.encode(self.encoding, "replace"), required)

    @contextlib.contextmanager
    def kept_apart(self) -> Iterator[None]:
        """Let descriptor 1, where this is it, be standard error: what anybody else writes there is no output."""
        if self.number != 1:
            yield
            return
        own = os.dup(1)
        os.dup2(2, 1)
        _apart.append(own)
        try:
            yield
        finally:
            _apart.remove(own)
            os.dup2(own, 1)
            os.close(own)


_apart: list[int] = []


def standard_output() -> int:
    """The descriptor of what the process was given as its standard output, kept apart or not."""
    return _apart[0] if _apart else 1


def end_redrawn(stream: TextIO) -> None:
    """Write what a stream for `print` keeps back, because it might be written again."""
    stream.flush()
    cast(Any, stream).buffer.end_redrawn()


def queue_of(descriptor: int) -> _Queue | None:
    """A queue for a file that makes its writers wait, such as a pipe; None for any other."""
    return _Queue(descriptor) if _can_block(descriptor) else None


def printing(output: Output, write: Callable[[str], None], redraw: Callable[[str], None] | None = None) -> TextIO:
    """A stream for `print` and whatever else writes text.

    `redraw` is told what a line looks like that is written again and again, as bars are, and of its end by "". `write`
    is given it only once it has ended.
    """
    buffer = cast(Any, _Printed(output, write, redraw))
    return io.TextIOWrapper(buffer, "utf-8", errors="backslashreplace", newline="\n", line_buffering=True)


def say_at_once(text: str) -> None:
    """Write to standard error what is said just before the end, where its reader takes it without a wait."""
    with contextlib.suppress(OSError):
        if not _can_block(2) or _takes_more(2, 0):
            os.write(2, quote(text).encode())


def print_plainly(*, waits: bool = False) -> None:
    """In a child process: let what is printed, to either stream, be quoted on standard error."""
    error = Output(sys.stderr, waits=waits)
    stream = sys.stdout = sys.stderr = printing(error, lambda text: error.write(quote(text)))
    atexit.register(error.sink.flush, PATIENCE)
    atexit.register(end_redrawn, stream)  # comes before that


class _Printed(io.RawIOBase):
    """Not a terminal to those who ask, so that they print no bars and no colours, which would be quoted."""

    def __init__(
        self, output: Output, write: Callable[[str], None], redraw: Callable[[str], None] | None = None
    ) -> None:
        self._number = output.number
        self._write = write
        self._redraw = redraw
        self._redrawn = ""  # a carriage return and what came after it
        self._begun = False  # whether the line before that is written in part

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._number is None:
            raise io.UnsupportedOperation("fileno")
        return self._number

    def write(self, data: Any) -> int:
        text = (self._redrawn + bytes(data).decode("utf-8", "backslashreplace")).replace("\r\n", "\n")
        if "\r" in text or self._redrawn:
            text = self._settle(text)
        if text:
            self._begun = not text.endswith("\n")
            self._write(text)
        return len(data)

    def end_redrawn(self) -> None:
        if self._redrawn:
            self.write(b"\n")

    def _settle(self, text: str) -> str:
        """What stays of the text; the last line is kept back while it may be written again."""
        if self._begun and text[0] == "\r":
            self._write("\n")
            self._begun = False
        *ended, rest = text.split("\n")
        before, self._redrawn = self._redrawn, ""
        settled = ""
        for line in ended:
            start, returned, again = line.partition("\r")
            last = _last_drawn(again)
            settled += "".join(f"{part}\n" for part in (start, last) if part.strip()) if returned else f"{line}\n"
        start, returned, again = rest.partition("\r")
        if returned:
            self._redrawn = f"\r{_last_drawn(again)}" + ("\r" if again.endswith("\r") else "")
        if self._redraw is not None and self._redrawn != before:
            self._redraw(self._redrawn.strip("\r"))
        return settled + start


def _last_drawn(line: str) -> str:
    return next((part for part in reversed(line.split("\r")) if part), "")


class _Nothing(Sink):
    """There is no stream."""

    def put(self, data: bytes, required: bool) -> None:
        pass


class _TextSink(Sink):
    """An object that stands for a stream, in a test or a notebook."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def put(self, data: bytes, required: bool) -> None:
        try:
            self._stream.write(data.decode())
            self._stream.flush()
        except (OSError, ValueError) as error:
            if required:
                raise OutputLost(error if isinstance(error, OSError) else OSError(str(error))) from error


class _FileSink(Sink):
    """A descriptor that takes what it is given, or fails, without waiting for anybody."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def put(self, data: bytes, required: bool) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            if required:
                raise OutputLost(error) from error


class _Queue(Sink):
    """A descriptor that waits for a reader, and the thread that waits with it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._size = 0
        self._required = 0
        self._dropped = 0
        self._taken = 0
        self._error: OSError | None = None
        self._lost = False
        self._thread: threading.Thread | None = None
        self._direct = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def put(self, data: bytes, required: bool) -> None:
        if self._direct:
            _FileSink(self._descriptor).put(data, required)
            return
        with self._changed:
            while required and self._size > QUEUED and self._error is None:
                self._changed.wait()
            if self._error is not None:
                self._fail(required)
            elif self._size > QUEUED:
                self._dropped += 1
            else:
                self._add(data, required)

    def flush(self, patience: float | None, for_data: float | None = None) -> None:
        with self._changed:
            while self._size and self._error is None:
                taken = self._taken
                if not self._changed.wait(for_data if self._required else patience) and self._taken == taken:
                    return
            if self._lost:
                self._fail(True)

    @property
    def is_full(self) -> bool:
        """Whether data would be waited with."""
        return self._size > QUEUED and self._error is None

    def _fail(self, required: bool) -> None:
        if required and self._error is not None:
            self._lost = False
            raise OutputLost(self._error)

    def _add(self, data: bytes, required: bool) -> None:
        if self._dropped:
            data = b"(%d lines were left out here, since nobody read them)\n" % self._dropped + data
            self._dropped = 0
        self._waiting.append((data, required))
        self._size += len(data)
        self._required += required
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="gym-output", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                data, required = self._waiting.popleft()
            try:
                self._write(data)
            except OSError as error:
                with self._changed:
                    self._error, self._lost = error, self._required > 0
                    self._waiting.clear()
                    self._size = 0
                    self._changed.notify_all()
                return
            with self._changed:
                self._required -= required
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            while chunk:
                try:
                    written = os.write(self._descriptor, chunk)
                except BlockingIOError:  # whoever opened it does not want to wait, and shares that with us
                    _takes_more(self._descriptor)
                    continue
                chunk = chunk[written:]
                with self._changed:
                    self._taken += written
                    self._size -= written
                    self._changed.notify_all()

    def _forked(self) -> None:
        # the thread has stayed behind, and may have held the lock
        self._changed = threading.Condition()
        self._direct = True


def _takes_more(descriptor: int, milliseconds: int | None = None) -> bool:
    import select

    waiting = select.poll()
    waiting.register(descriptor, select.POLLOUT)
    return bool(waiting.poll(milliseconds))


def _number(stream: TextIO | None) -> int | None:
    try:
        number = stream.fileno() if stream is not None else None
        return number if number is not None and os.fstat(number) else None
    except (AttributeError, OSError, ValueError):
        return None


def _can_block(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
