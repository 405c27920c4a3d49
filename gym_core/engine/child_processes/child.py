"""What every child process of gym starts with: `child.py MODULE:FUNCTION GRACE`. It imports the standard library alone.

The first message on standard input is the parent's `sys.path`, empty where the child has one of its own. Then
`FUNCTION(requests, replies, GRACE)` is called with what was standard input and output; what anybody prints goes to
standard error. A message is its length, eight bytes, and its bytes.

What may be lost, and when. A parent that wants a child to end, or that is killed, lets go of the child's standard
input: that cannot be missed, however the parent dies. The child may close then what it has open, and after its grace it
is killed, with all that it has started where it leads a group. Code that holds the interpreter, such as a regular
expression gone wild, holds up every thread: only a guard, a process forked before anything else happens, ends it then.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, NoReturn

LENGTH = struct.Struct(">Q")
_LOOK_SECONDS = 0.05
_NEAR = 8
"""A child has opened no more than a few descriptors when it forks its guard."""


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Write one message. Raises `OSError` where nobody reads."""
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes:
    """Read one message and no byte more. Raises `EOFError` where the other side has gone."""
    return _exactly(stream, int(LENGTH.unpack(_exactly(stream, LENGTH.size))[0]))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError("the other side has gone")
        data += part
    return bytes(data)


def leave(status: int = 1) -> NoReturn:
    """End at once, with all that was started here where this process leads a group."""
    if _leads():
        os.killpg(0, signal.SIGKILL)
    os._exit(status)


def _leads() -> bool:
    return hasattr(os, "killpg") and os.getpgrp() == os.getpid()


def when_let_go(channel: int, grace: float, ended: Callable[[], Any]) -> None:
    """Once the parent has let go of a channel call `ended`, in a thread, and `leave` so many seconds later.

    Nothing is read, since others may do that; but where there is no `poll` nobody else must.
    """

    def wait() -> None:
        _wait_for_hangup(channel)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            ended()
        time.sleep(grace)
        leave()

    threading.Thread(target=wait, name="gym-lifeline", daemon=True).start()


def _guard(channel: int, grace: float) -> None:
    """Fork a process that kills the group: once the parent has let go, and this one has ended or `grace` is over."""
    guarded = os.getpid()
    if not (hasattr(os, "fork") and hasattr(select, "poll") and _leads()) or os.fork():
        return
    try:
        for descriptor in range(3, channel + _NEAR):
            if descriptor != channel:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        _wait_for_hangup(channel)
        late = time.monotonic() + grace
        while os.getppid() == guarded and time.monotonic() < late:
            time.sleep(_LOOK_SECONDS)
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(1)


def _wait_for_hangup(channel: int) -> None:
    if not hasattr(select, "poll"):
        while os.read(channel, 1):
            pass
        return
    end = select.poll()
    end.register(channel, 0)  # that the other side hung up is always told
    end.poll()


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The two ends that talk to the parent, out of reach of whatever reads standard input or prints."""
    # unbuffered: whoever goes on reading must not miss what was read ahead
    requests, replies = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def main() -> None:
    """Do what this process was started for."""
    # the parent ends it otherwise; a `KeyboardInterrupt` is a plugin's own then
    signal.signal(signal.SIGINT, lambda *_: None)
    requests, replies = _own_streams()
    performs, grace = sys.argv[1], float(sys.argv[2])
    _guard(requests.fileno(), grace)
    try:
        path = read_message(requests)
    except (EOFError, OSError):
        return
    if path:
        sys.path[:] = pickle.loads(path)
    module, _, name = performs.partition(":")
    perform: Callable[[Any, Any, float], None] = getattr(importlib.import_module(module), name)
    perform(requests, replies, grace)


if __name__ == "__main__":
    main()
