"""The process that isolated functions run in: reads calls from standard input, writes what came of them.

A message is its length, eight bytes, and a pickle. The first one is the parent's `sys.path`; every other is a function
with its arguments. This module imports the standard library alone before: it is what every such process starts with.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import IO, Any

LENGTH = struct.Struct(">Q")
READY = b"ready"


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Write one message. Raises `OSError` where nobody reads."""
    stream.write(LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes:
    """Read one message. Raises `EOFError` where the other side has gone."""
    return _exactly(stream, int(LENGTH.unpack(_exactly(stream, LENGTH.size))[0]))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other side has gone")
    return data


def _perform(message: bytes) -> bytes:
    """The answer to a call: `(True, result)` or `(False, error, its class and text, its traceback)`."""
    try:
        function, arguments, keywords = pickle.loads(message)
        return _result(function(*arguments, **keywords))
    except BaseException as error:
        from gym_core.domain.blame import described

        shown = described(error)
        trace = "".join(traceback.format_exception(error))
        kept: BaseException | None = error
        try:
            pickle.loads(pickle.dumps(kept))  # some errors can be written but not read
        except BaseException:
            kept = None
        return pickle.dumps((False, kept, shown, trace))


def _result(value: Any) -> bytes:
    try:
        return pickle.dumps((True, value))
    except Exception:  # a generator, say, has a JSON form all the same
        from gym_core.domain.json_text import plain_json
        from gym_core.domain.rollout import Verdict

        if isinstance(value, Verdict):
            return pickle.dumps((True, Verdict(value.reward, value.components, plain_json(value.info))))
        return pickle.dumps((True, plain_json(value)))


def _leave() -> None:
    """End at once, and with it what the functions have started."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def main() -> None:
    """Serve calls until the parent has gone."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # What a function prints, or a program that it starts, must not get between the replies.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.path[:] = pickle.loads(read_message(requests))
    # not before: this file needs nothing but the standard library until it knows where the rest is
    from gym_core.engine.standard_streams import print_plainly

    print_plainly(waits=True)
    write_message(replies, READY)
    calls: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                calls.put(read_message(requests))
        except (EOFError, OSError):
            _leave()  # also in the middle of a function: nobody is left to read its result

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answer: Any = _perform(calls.get())
        write_message(replies, answer)


if __name__ == "__main__":
    main()
