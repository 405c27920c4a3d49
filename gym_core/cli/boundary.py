"""Where every error of a command becomes one line and an exit status."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

import click

from gym_core.cli.terminal import Terminal
from gym_core.domain.blame import Interrupted, described
from gym_core.domain.errors import GymError, UsageError
from gym_core.engine.standard_streams import OutputLost

_COMPLETION = "_GYM_COMPLETE"
INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports for a command that SIGPIPE ended."""


def run_command(arguments: Sequence[str], terminal: Terminal | None = None) -> int:
    """Run `gym` with these arguments; returns the exit status.

    A command returns its own status, or None for 0. `terminal`: what the command is given, for a look at it afterwards.
    """
    terminal = terminal or Terminal()
    with terminal.attached():
        try:
            status = _guarded(arguments, terminal)
            terminal.flush()
        except KeyboardInterrupt:
            status = INTERRUPTED
        except OutputLost as lost:
            status = _lost(terminal, lost)
    return status


def _guarded(arguments: Sequence[str], terminal: Terminal) -> int:
    try:
        with _interrupts():
            return _invoke(arguments, terminal)
    except Interrupted as error:
        terminal.interrupted = True
        return error.status
    except OutputLost:
        raise
    except BaseException as error:
        return _report(terminal, error)


def _lost(terminal: Terminal, lost: OutputLost) -> int:
    closed = isinstance(lost.error, BrokenPipeError)  # whoever read it has enough
    if not closed:
        terminal.error(f"standard output cannot be written: {lost}")
    with contextlib.suppress(OutputLost):
        terminal.flush()
    return BROKEN_PIPE if closed else UsageError.exit_code


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """Have a person's interrupt told apart from a plugin's `KeyboardInterrupt`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _invoke(arguments: Sequence[str], terminal: Terminal) -> int:
    from gym_core.cli.app import app

    if _COMPLETION in os.environ:
        try:
            app.main(prog_name="gym", complete_var=_COMPLETION)
        except SystemExit as done:
            return int(done.code or 0)
    try:
        # not `app.main`, which would decide about interruptions and closed pipes by itself
        with app.make_context("gym", list(arguments), obj=terminal) as context:
            status = app.invoke(context)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.ClickException as error:
        # of click 8.2 and newer; older ones print the help themselves
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            terminal.note(error.format_message())
            return UsageError.exit_code
        raise _as_gym_error(error) from error
    except (click.Abort, EOFError):
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _as_gym_error(error: click.ClickException) -> GymError:
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows how to use it" if context is not None else ""
    message = error.format_message().rstrip(".")
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _report(terminal: Terminal, error: BaseException) -> int:
    terminal.trace(error)
    if isinstance(error, GymError):
        terminal.error(error.message, error.hint)
        return error.exit_code
    terminal.error(_named(error), "" if terminal.debug else "run again with --debug for the traceback")
    return UsageError.exit_code


def _named(error: BaseException) -> str:
    if isinstance(error, OSError) and isinstance(error.filename, str):  # a file's name is mostly a user's
        return f"{error.filename}: {error.strerror}"
    message = " ".join(described(error).split())
    return f"internal error: {message:.500}"
