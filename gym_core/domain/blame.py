"""Whose an error is: somebody's who wants the end, or the code's that was called.

A library may raise what is no `Exception`: a parser of arguments calls `sys.exit`, a panic of native code and a test's
`fail` are `BaseException`s, a framework cancels its own task. All of that is the failure of whoever called it, and only
two errors are more: the cancellation of a task that somebody asked for, and a person's interrupt.
"""

from __future__ import annotations

import signal
from types import TracebackType

from gym_core.domain.errors import GymError, PluginError, error_text


class Interrupted(KeyboardInterrupt):
    """A person's interrupt, as gym's commands raise it: what they call may raise a plain `KeyboardInterrupt` itself.

    `status`: the exit status that it means.
    """

    def __init__(self, status: int = 130) -> None:
        super().__init__()
        self.status = status


def asked_to_end(error: BaseException) -> bool:
    """Whether somebody asked for the end; if not, the error was raised by the code that was called."""
    if isinstance(error, Exception):
        return False
    if isinstance(error, KeyboardInterrupt):
        # Where Python's own handler is in place an interrupt and a `raise` look the same.
        return isinstance(error, Interrupted) or signal.getsignal(signal.SIGINT) is signal.default_int_handler
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs here
        return False
    return task is not None and task.cancelling() > 0


class Raised(RuntimeError):
    """Stands for an error that is no `Exception`, which is its cause."""


def as_exception(error: BaseException) -> Exception:
    """An error of called code as one that stays in its task: of some others the event loop ends."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):  # which no future can hold
        return error
    raised = Raised(f"it raised {described(error)}")
    raised.__cause__ = error
    return raised


def unwrapped(error: BaseException) -> BaseException:
    """What an error stands for, mostly itself."""
    return error.__cause__ if isinstance(error, Raised) and error.__cause__ is not None else error


def described(error: BaseException) -> str:
    """An error's class and what it says."""
    error = unwrapped(error)
    text = error_text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def message_of(error: BaseException) -> str:
    """What an error tells people: one of gym's own its message, any other its class and what it says."""
    return error.message if isinstance(error, GymError) else described(error)


def hint_of(error: BaseException) -> str:
    """What to do about an error, where it is one of gym's own."""
    return error.hint if isinstance(error, GymError) else ""


class blaming:  # read as a phrase: `with blaming(owner, "cannot be made"):`
    """A block of a plugin's code: what it raises becomes `PluginError(owner, "problem: class: words")`.

    gym's own errors pass, and so does the end that somebody asked for.
    """

    __slots__ = ("_owner", "_problem")

    def __init__(self, owner: str, problem: str) -> None:
        self._owner = owner
        self._problem = problem

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, GymError) and not asked_to_end(error):
            raise PluginError(self._owner, f"{self._problem}: {described(error)}") from error
