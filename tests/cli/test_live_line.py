"""The line that stays below all others on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest

from gym_core.spi import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals are POSIX")


@contextlib.contextmanager
def on_a_terminal(encoding: str = "utf-8") -> Iterator[tuple[Terminal, int]]:
    """Where standard error is a terminal; and the other end of that."""
    controller, other = os.openpty()
    os.set_blocking(controller, False)
    with pytest.MonkeyPatch.context() as patch, os.fdopen(other, "w", encoding=encoding) as stream:
        patch.setattr(sys, "stderr", stream)
        yield Terminal(), controller
    os.close(controller)


def read(controller: int) -> str:
    shown = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(controller, 65536):
            shown += chunk
    return shown.decode()


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_lines_come_above_it_and_nothing_of_it_is_left() -> None:
    with on_a_terminal() as (terminal, controller):
        terminal.status("one")
        terminal.status("two")
        terminal.note("a line")
        terminal.status()
        terminal.note("the end")
        terminal.flush()
        shown = read(controller)
    assert shown == "\rone\x1b[J\r\rtwo\x1b[J\r\r\x1b[Ja line\r\ntwo\r\r\x1b[Jthe end\r\n"


def test_a_bar_is_filled_by_its_share() -> None:
    with on_a_terminal() as (terminal, _):
        assert terminal.bar(0.5, 4) == "\x1b[35m━━\x1b[0m\x1b[90m━━\x1b[0m"
        assert terminal.bar(1.5, 2) == "\x1b[32m━━\x1b[0m\x1b[90m\x1b[0m"


@pytest.mark.parametrize(("encoding", "drawn"), [("utf-8", "━━  "), ("ascii", "##  ")])
def test_a_bar_without_colours_shows_what_is_done(encoding: str, drawn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with on_a_terminal(encoding) as (terminal, _):
        assert terminal.bar(0.5, 4) == drawn


def test_a_bar_of_a_plugin_is_one_line_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    print("Fetching", end="", file=terminal.stderr)
    for share in (0, 50, 100):
        print(f"\r{share:3}%", end="", file=terminal.stderr, flush=True)
    print(file=terminal.stderr)
    print("\r50%", end="\r    \r", file=terminal.stderr, flush=True)
    print("gone", file=terminal.stderr)
    for number in (1, 2, 3):
        print(number, end="\r", file=terminal.stderr, flush=True)
    print("a\rb\r\nc\n\rend", end="", file=terminal.stderr)
    terminal.flush()
    assert capsys.readouterr().err == "Fetching\n100%\ngone\n1\nb\nc\nend\n"


def test_a_bar_of_a_plugin_is_live_on_a_terminal() -> None:
    with on_a_terminal() as (terminal, controller):
        print("\r 50%\x1b[A", end="", file=terminal.stderr, flush=True)
        print("a line", file=terminal.stdout)
        print("\r100%\n", end="", file=terminal.stderr)
        terminal.flush()
        shown = read(controller)
    assert shown == "\r 50%\\u001b[A\x1b[J\r\r\x1b[J100%\r\n"


def test_words_without_a_line_end_are_not_overwritten() -> None:
    with on_a_terminal() as (terminal, controller):
        print("dots..", end="", file=terminal.stderr, flush=True)
        terminal.status("one")
        print("more", end="", file=terminal.stderr, flush=True)
        terminal.status()
        terminal.flush()
        shown = read(controller)
    assert shown == "dots..\r\none\x1b[J\r\r\x1b[Jmore\r\none\r\r\x1b[J"
