"""Carrying a run out for a person: signals, progress, the closing account, the exit status."""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from gym_core.cli.header import print_header
from gym_core.cli.interrupts import SIGNALS, Interrupts
from gym_core.cli.progress import show_progress
from gym_core.cli.tables import print_summary
from gym_core.cli.terminal import Terminal
from gym_core.domain.blame import hint_of, message_of
from gym_core.domain.errors import (
    BudgetExceeded,
    EndpointError,
    ModelNotFoundError,
    RunStopped,
    error_chain,
)
from gym_core.engine.config import RunConfig
from gym_core.engine.events.logs import at_least_info
from gym_core.engine.open_files import allow_open_files
from gym_core.engine.run.early_stop import AllRefused
from gym_core.engine.run.opening import open_run
from gym_core.engine.run.run import Run

BELOW = 4
"""The exit status of a run whose mean reward is below `--fail-under`."""


def execute(
    terminal: Terminal,
    config: RunConfig,
    *,
    quiet: bool,
    as_json: bool,
    fail_under: float | None = None,
    verbose: bool = False,
) -> int:
    """Carry out a run; returns the exit status."""
    warning = allow_open_files(config.execution.concurrency)
    if warning is not None:
        terminal.note(f"warning: {warning}")
    report = (lambda message: None) if quiet else terminal.note
    opened = open_run(config, redactor=terminal.redactor, report=report)

    def way_on(error: BaseException | None, summary: Mapping[str, Any]) -> str:
        return _way_on(error, summary, terminal.redactor.arguments(config.invocation.argv), config)

    return run_in_terminal(
        terminal, opened, way_on, quiet=quiet, as_json=as_json, fail_under=fail_under, verbose=verbose
    )


def run_in_terminal(
    terminal: Terminal,
    opened: AbstractAsyncContextManager[Run[Any]],
    way_on: Callable[[BaseException | None, Mapping[str, Any]], str],
    *,
    quiet: bool,
    as_json: bool,
    subject: str = "the run",
    header: bool = True,
    fail_under: float | None = None,
    verbose: bool = False,
) -> int:
    """Open a run, collect, and account for it; returns the exit status.

    `way_on`: what to do about a run that was not finished, by its error and its summary. `subject`: what messages call
    it, and `header`: whether it is said what it is. `fail_under`: the mean reward below which it fails. `verbose`:
    whether all that is logged is shown.
    """
    interrupts = Interrupts(terminal)
    with logged(terminal, verbose=verbose):
        return interrupts.run(
            _carry_out(
                terminal,
                interrupts,
                opened,
                way_on,
                quiet=quiet,
                as_json=as_json,
                subject=subject,
                header=header,
                fail_under=fail_under,
            )
        )


async def _carry_out(
    terminal: Terminal,
    interrupts: Interrupts,
    opened: AbstractAsyncContextManager[Run[Any]],
    way_on: Callable[[BaseException | None, Mapping[str, Any]], str],
    *,
    quiet: bool,
    as_json: bool,
    subject: str,
    header: bool,
    fail_under: float | None,
) -> int:
    async with opened as run:
        if run.source.info.read_as:
            terminal.note(run.source.info.read_as)
        for notice in run.notices:
            terminal.note(f"warning: {notice}")
        if header and not quiet:
            print_header(terminal, run)
        interrupts.words = "ending what is under way"
        interrupts.stop = lambda number: run.stop(f"interrupted by {number.name}")
        async with show_progress(terminal, run, quiet=quiet):
            summary = await run.execute()
    if not quiet:
        print_summary(terminal, summary)
    if as_json:
        terminal.out_json(summary)
    error = run.error
    if error is not None:
        if terminal.debug:
            terminal.note("\n".join(error_chain(error)))
        terminal.error(f"{subject} stopped: {message_of(error)}", hint_of(error))
    if summary["state"] != "finished":
        terminal.note(way_on(error, summary))
    if interrupts.received is not None:
        return SIGNALS[interrupts.received]
    return RunStopped.exit_code if error is not None else _status(terminal, summary, fail_under)


def _status(terminal: Terminal, summary: Mapping[str, Any], fail_under: float | None) -> int:
    """The exit status of what came to its end."""
    mean = summary["reward"]["mean"]
    if fail_under is not None and (mean is None or mean < fail_under):
        found = "there is no reward at all" if mean is None else f"the mean reward {mean:g} is too low"
        terminal.error(f"{found}: --fail-under {fail_under:g}")
        return BELOW
    failed = (summary.get("rescored") or summary["rollouts"])["failed"]  # what had failed before fails no rescore
    return 1 if failed or (summary["groups"] or {}).get("failed") else 0


_REFUSED = (ModelNotFoundError, EndpointError, AllRefused)
"""What stops a run that must stop again as long as its settings are what they are."""


def _way_on(
    error: BaseException | None, summary: Mapping[str, Any], arguments: Sequence[str], config: RunConfig
) -> str:
    """What to do about a run that was not finished; never a command that must fail again."""
    output = config.destination.output
    if isinstance(error, _REFUSED) and not summary["rollouts"]["with_verdict"]:
        replaced = "; --overwrite replaces its files" if _given(arguments, "--output") else ""
        return f"nothing was collected, so there is nothing to continue{replaced}"
    if isinstance(error, BudgetExceeded):
        limit = next(name for name in ("--max-tokens", "--max-cost") if name in error.message)
        command = resume_command([*_without(arguments, limit), limit, "N"], output)
        return f"continue it with a larger {limit}:\n  {command}"
    return f"continue it with:\n  {resume_command(arguments, output)}"


def resume_command(arguments: Sequence[str], output: object) -> str:
    """The command that continues a run."""
    arguments = [argument for argument in arguments if argument not in ("--overwrite", "--resume")]
    if not _given(arguments, "--output"):
        arguments += ["--output", str(output)]
    return shlex.join(["gym", *arguments, "--resume"])


def _given(arguments: Sequence[str], option: str) -> bool:
    return any(argument == option or argument.startswith(f"{option}=") for argument in arguments)


def _without(arguments: Sequence[str], option: str) -> list[str]:
    """The arguments without an option and its value."""
    left = [argument for argument in arguments if not argument.startswith(f"{option}=")]
    while option in left:
        at = left.index(option)
        del left[at : at + 2]
    return left


@contextlib.contextmanager
def logged(terminal: Terminal, *, verbose: bool = False) -> Iterator[None]:
    """The warnings of gym and of plugins, a line each, on standard error; `verbose`: all that is logged."""
    logger = logging.getLogger("gym")
    handler = _TerminalHandler(terminal, logging.INFO if verbose else logging.WARNING)
    with at_least_info() if verbose else contextlib.nullcontext():
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = True


class _TerminalHandler(logging.Handler):
    def __init__(self, terminal: Terminal, level: int) -> None:
        super().__init__(level)
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno > logging.INFO and getattr(record, "told", False):
            return  # shown in its own place
        try:
            message = record.getMessage()
        except Exception:
            self.handleError(record)
        else:
            self._terminal.note(f"{record.levelname.lower()}: {message}".replace("\n", "\n  "))
