"""What all commands share of the terminal: where they write, that it is text, and that no secret is written."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from gym_core.domain.quoting import one_line, quote, quote_json
from gym_core.engine.standard_streams import PATIENCE, Output, Sink, end_redrawn, printing, standard_output
from gym_core.wiring.secrets import Redactor

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")
Result = TypeVar("Result")

PLAIN_WIDTH = 200
_ROOM_SECONDS = 0.05
_PATIENCE_INTERRUPTED = 1.0


class Styled(str):
    """Text with our own escape sequences, whose words are quoted already."""

    __slots__ = ()


class Terminal:
    """One invocation of `gym`: its streams, its secrets, and whether tracebacks are wanted.

    Whatever is written is redacted and, unless it is `Styled`, quoted. `stdout` and `stderr`: streams for `print`.
    `interrupted`: somebody wants an end, and no reader is waited for longer than a moment.
    """

    def __init__(self) -> None:
        self.debug = False
        self.interrupted = False
        self.redactor = Redactor()
        self._out = Output(sys.stdout)
        self._err = Output(sys.stderr, beside=self._out)
        self._status = ""
        self._has_own_status = False
        self._line_begun = False
        self._in_command = False
        # what click prints, help and completions, is data; what is printed in a command comes from plugins
        self.stdout = printing(self._out, lambda text: self._write(self._out, text, required=not self._in_command))
        self.stderr = printing(self._err, lambda text: self._write(self._err, text), self._redraw)

    def out(self, *parts: str, required: bool = True) -> None:
        """Write a line to standard output. Raises `OutputLost` where that fails, unless it is not `required`."""
        self._write(self._out, *parts, "\n", required=required)

    def out_json(self, value: Any) -> None:
        """Write a value to standard output, as indented JSON."""
        import orjson

        from gym_core.domain.json_text import encode_json

        self.out_json_line(encode_json(value, orjson.OPT_INDENT_2, fallback=str))

    def out_json_line(self, line: bytes) -> None:
        """Write what is JSON already to standard output."""
        self._out.sink.put(quote_json(self.redactor.redact_bytes(line)) + b"\n", True)

    async def room(self) -> None:
        """Wait until standard output takes more, for as long as its reader is behind."""
        import asyncio

        while self._out.sink.is_full:  # noqa: ASYNC110  # what empties it is a thread
            await asyncio.sleep(_ROOM_SECONDS)

    def note(self, *parts: str) -> None:
        """Write a line to standard error, if anybody reads it."""
        self._write(self._err, *parts, "\n")

    def error(self, message: str, hint: str = "") -> None:
        """Write an error and what to do about it to standard error."""
        self.note(styled("error: ", fg="red", bold=True), message)
        if hint:
            self.note(styled("hint: ", fg="cyan"), hint)

    def trace(self, error: BaseException) -> None:
        """Write the traceback of an error to standard error, where it is wanted."""
        if self.debug:
            self.note("".join(traceback.format_exception(error)).rstrip())

    def status(self, *parts: str) -> None:
        """Show a line below all others, until there is none. It must fit on the terminal that standard error is."""
        self._has_own_status = bool(parts)
        self._set_status("".join(self._shown(self._err, part) for part in parts))

    def bar(self, share: float, columns: int) -> str:
        """A bar for standard error that is filled by a share from 0 to 1."""
        done = round(columns * min(share, 1.0))
        try:
            drawn = "\u2501".encode(self._err.encoding).decode(self._err.encoding)
        except UnicodeEncodeError:
            drawn = "#"
        if not _has_colours(self._err):
            return drawn * done + " " * (columns - done)
        full = styled(drawn * done, fg="green" if done == columns else "magenta")
        return Styled(full + styled(drawn * (columns - done), fg="bright_black"))

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns to standard output; the last is cut where a terminal ends."""
        cells = [[one_line(self.redactor.redact(cell)) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
        for number, row in enumerate([titles, *cells]):
            line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
            if self.width is not None:
                line = shorten(line, self.width)
            self.out(styled(line, bold=True) if number == 0 else line)

    @property
    def width(self) -> int | None:
        """The columns of the terminal that standard output is; None where it is none."""
        return self._out.columns

    @property
    def error_width(self) -> int | None:
        """The same of standard error."""
        return self._err.columns

    @contextlib.contextmanager
    def through(self, opened: Callable[[int], AbstractContextManager[Sink | None]]) -> Iterator[None]:
        """Send what is written to standard output through something else, such as a pager, where it is a terminal.

        `opened`: makes that of the descriptor of the terminal; None leaves it as it is.
        """
        if not self._out.is_terminal:
            yield
            return
        self.flush()
        with opened(standard_output()) as other:
            sink = self._out.sink
            self._out.sink = other or sink
            try:
                yield
            finally:
                self._out.sink = sink

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        """Let what is printed by Python's streams go the way of all lines."""
        with contextlib.redirect_stdout(self.stdout), contextlib.redirect_stderr(self.stderr):
            yield

    @contextlib.contextmanager
    def command(self, *, apart: bool) -> Iterator[None]:
        """While a command works. `apart`: what plugins print to standard output goes to standard error."""
        self._in_command = True
        try:
            with contextlib.ExitStack() as stack:
                if apart:
                    stack.enter_context(contextlib.redirect_stdout(self.stderr))
                    stack.enter_context(self._out.kept_apart())
                yield
        finally:
            self._in_command = False

    def flush(self) -> None:
        """Wait for those who read: for data without end, for lines a while. Raises `OutputLost`."""
        end_redrawn(self.stderr)
        end_redrawn(self.stdout)
        lines = _PATIENCE_INTERRUPTED if self.interrupted else None if self._err.is_terminal else PATIENCE
        data = _PATIENCE_INTERRUPTED if self.interrupted else None
        try:
            self._out.sink.flush(lines, data)
        finally:
            self._err.sink.flush(lines, data)

    def _redraw(self, line: str) -> None:
        if self._err.is_terminal and not self._has_own_status:
            self._set_status(shorten(quote(self.redactor.redact(line)), (self.error_width or 2) - 1))

    def _set_status(self, line: str) -> None:
        start = "\n" if self._line_begun else "\r"
        self._line_begun = False
        # The cursor waits at its start: where a narrower window breaks the line, what is below it is the rest of it.
        self._status = f"{line}\r" if line else ""
        self._err.write(f"{start}{line}\x1b[J\r" if line else f"{start}\x1b[J")

    def _write(self, output: Output, *parts: str, required: bool = False) -> None:
        text = "".join(self._shown(output, part) for part in parts)
        if self._status and output.is_terminal:
            text = f"\r\x1b[J{text}" + ("" if text.endswith("\n") else "\n") + self._status
        elif output.is_terminal:
            self._line_begun = not text.endswith("\n")
        output.write(text, required=required)

    def _shown(self, output: Output, part: str) -> str:
        text = self.redactor.redact(part)
        if isinstance(part, Styled):
            return text if _has_colours(output) else click.unstyle(text)
        return quote(text)


def _has_colours(output: Output) -> bool:
    return output.is_terminal and not os.environ.get("NO_COLOR")


def pass_terminal(command: Callable[Concatenate[Terminal, P], Result]) -> Callable[P, Result]:
    """Pass the terminal to a command; nobody else gets anything to standard output while it works."""
    return _passed(command, apart=True)


def pass_shared_terminal(command: Callable[Concatenate[Terminal, P], Result]) -> Callable[P, Result]:
    """Pass the terminal to a command whose standard output belongs to plugins, too."""
    return _passed(command, apart=False)


def _passed(command: Callable[Concatenate[Terminal, P], Result], *, apart: bool) -> Callable[P, Result]:
    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        terminal = click.get_current_context().ensure_object(Terminal)
        with terminal.command(apart=apart):
            return command(terminal, *args, **kwargs)

    return call


def styled(text: str, **style: Any) -> Styled:
    """Text in colours; see `click.style`."""
    return Styled(click.style(quote(text), **style))


def open_console(width: int | None) -> Console:
    """A console of rich that writes to memory and takes all text for text. `width`: None for no terminal."""
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        force_terminal=width is not None,
        width=width or PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def written(console: Console) -> Styled:
    """What a console has written."""
    assert isinstance(console.file, io.StringIO)
    return Styled(console.file.getvalue().rstrip("\n"))


def shorten(text: str, width: int) -> str:
    """The text on at most `width` columns."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
