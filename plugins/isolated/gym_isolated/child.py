"""What runs in an isolated environment: `python -m gym_isolated.child`.

Standard input begins with one line, a JSON object that says what is wanted; options stand in it, secrets among them,
so that no other user of the machine can read them. Standard output gets one line, the answer: an object, with `error`
where it failed. What a plugin prints goes to standard error.

A child that serves ends when its input does, which is when its parent wants that or is gone: it closes its component,
and after `linger` seconds it is killed with all that it has started. A guard sees to that, a process forked before
anything else happens, because code that never returns, such as a regular expression gone wild, holds up every thread.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

LEVEL_MARK = "\x1e"
"""Begins a line on standard error that is a record of the logger `gym`: the mark, its level, a space, its message."""
_LOOK_SECONDS = 0.05
_NEAR = 8
"""A child has opened no more than a few descriptors when it forks its guard."""


def main() -> None:
    """Answer one request."""
    requests, answers = _own_streams()
    line = requests.readline()
    if not line:
        return
    request: dict[str, Any] = json.loads(line)
    if "linger" in request:
        _guard(requests, request["linger"])
    _log_to_stderr()
    # The parent ends it otherwise; a `KeyboardInterrupt` is the plugin's own then.
    signal.signal(signal.SIGINT, lambda *_: None)
    from gym_core import encode_json

    def answer(value: Mapping[str, Any]) -> None:
        answers.write(encode_json(value, fallback=str) + b"\n")
        answers.flush()

    try:
        _TASKS[request["do"]](request, requests, answer)
    except BaseException as error:  # a plugin may call `sys.exit`
        answer({"error": _described(error)})
        sys.exit(1)


def _describe(request: dict[str, Any], requests: IO[bytes], answer: Callable[[Mapping[str, Any]], None]) -> None:
    from gym_isolated.describing import describe_distribution

    answer(describe_distribution(request.get("distribution")))


def _validate(request: dict[str, Any], requests: IO[bytes], answer: Callable[[Mapping[str, Any]], None]) -> None:
    from gym_isolated.offering import validate

    answer(validate(request))


def _serve(request: dict[str, Any], requests: IO[bytes], answer: Callable[[Mapping[str, Any]], None]) -> None:
    from gym_core.spi import run_loop
    from gym_isolated.offering import serve

    run_loop(serve(request, answer, lambda ended: _when_input_ends(requests, request["linger"], ended)))


_TASKS: Mapping[str, Callable[[dict[str, Any], IO[bytes], Callable[[Mapping[str, Any]], None]], None]] = {
    "describe": _describe,
    "validate": _validate,
    "serve": _serve,
}


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The two ends that talk to the parent, out of reach of whatever reads standard input or prints."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _guard(requests: IO[bytes], linger: float) -> None:
    """Fork a process that kills the group: once the parent has let go, and this one has ended or `linger` is over."""
    guarded = os.getpid()
    if not (hasattr(os, "fork") and hasattr(select, "poll")) or os.getpgrp() != guarded or os.fork():
        return
    try:
        for descriptor in range(3, requests.fileno() + _NEAR):
            if descriptor != requests.fileno():
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        end = select.poll()
        end.register(requests.fileno(), 0)  # that the other side hung up is always told
        end.poll()
        late = time.monotonic() + linger
        while os.getppid() == guarded and time.monotonic() < late:
            time.sleep(_LOOK_SECONDS)
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(1)


def _when_input_ends(requests: IO[bytes], linger: float, ended: Callable[[], None]) -> None:
    """Call `ended` when the parent lets go; where there is no guard, see to the rest, too."""

    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            requests.read()
        late = threading.Timer(linger, os._exit, [1])
        late.daemon = True
        late.start()
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            ended()

    threading.Thread(target=wait, daemon=True).start()


class _ToParent(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = " ".join(record.getMessage().split())
            sys.stderr.write(f"{LEVEL_MARK}{record.levelno} {text}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def _log_to_stderr() -> None:
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    logger = logging.getLogger("gym")
    logger.addHandler(_ToParent())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _described(error: BaseException) -> dict[str, Any]:
    """An error as the parent raises it again."""
    from gym_core import GymError, UsageError
    from gym_core.errors import PluginError
    from gym_core.spi import described

    if not isinstance(error, GymError):
        import traceback

        traceback.print_exception(error)
        return {"kind": "crash", "message": described(error), "hint": ""}
    kind = "usage" if isinstance(error, UsageError) else "plugin" if isinstance(error, PluginError) else "other"
    message = error.message
    if isinstance(error, PluginError):
        message = message.removeprefix(f"{error.distribution}: ")
    return {"kind": kind, "message": message, "hint": error.hint}


if __name__ == "__main__":
    main()
