"""In a process for isolated functions: reads calls from its parent, writes what came of them.

A call is a pickle of a function with its arguments.
"""

from __future__ import annotations

import pickle
import threading
import traceback
from dataclasses import replace
from queue import SimpleQueue
from typing import IO, Any

from gym_core.domain.blame import described
from gym_core.domain.json_text import plain_json
from gym_core.domain.rollout import Verdict
from gym_core.engine.child_processes.child import leave, read_message, write_message
from gym_core.engine.standard_streams import print_plainly

READY = b"ready"


def perform_calls(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Serve calls until the parent has gone."""
    print_plainly(waits=True)
    write_message(replies, READY)
    calls: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        try:
            while True:
                calls.put(read_message(requests))
        except (EOFError, OSError):
            leave(0)  # also in the middle of a function: nobody is left to read its result

    threading.Thread(target=listen, daemon=True).start()
    while True:
        write_message(replies, _perform(calls.get()))


def _perform(message: bytes) -> bytes:
    """The answer to a call: `(True, result)` or `(False, error, its class and text, its traceback)`."""
    try:
        function, arguments, keywords = pickle.loads(message)
        return _result(function(*arguments, **keywords))
    except BaseException as error:
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
        if isinstance(value, Verdict):
            return pickle.dumps((True, replace(value, info=plain_json(value.info))))
        return pickle.dumps((True, plain_json(value)))
