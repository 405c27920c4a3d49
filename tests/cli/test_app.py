from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import gym_core
from gym_core import ModelError, UsageError
from gym_core.cli import app as commands
from gym_core.cli import boundary
from gym_core.domain.blame import Interrupted
from gym_core.spi import LazyGroup, Terminal, debug_option
from gym_core.wiring.known import COMMANDS

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

ROOT = Path(gym_core.__file__).parents[1]
_OF_SOURCES = {"pluggy", "importlib.metadata"}
"""What calling the hook of a source of plugins takes."""
HEAVY = {"pydantic", "httpx", "openai", "aiohttp", "rich", "orjson", "pluggy", "asyncio", "importlib.metadata"}


def table() -> list[tuple[LazyGroup, str]]:
    return [(group, name) for group in (commands.app, commands.plugins) for name in group.table]


def python(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environ}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=variables, timeout=60)


@pytest.mark.parametrize(("group", "name"), table(), ids=lambda value: value if isinstance(value, str) else "")
def test_the_help_of_the_table_is_the_commands_own(group: LazyGroup, name: str) -> None:
    target, line = group.table[name]
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert command.name == name
    assert command.get_short_help_str(limit=200) == line


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["plugins", "--help"], ["plugins", "list"]])
def test_what_must_be_fast_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = HEAVY - _OF_SOURCES if "list" in arguments else HEAVY
    code = f"""
import sys
from gym_core.spi import run_command
status = run_command({arguments!r})
print("imported:", *(name for name in {sorted(heavy)!r} if name in sys.modules))
sys.exit(status)
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


def test_the_module_does_what_the_script_does() -> None:
    done = python("-m", "gym_core", "--version")
    assert done.stdout == f"gym, version {gym_core.__version__}\n"
    assert "Usage: gym [OPTIONS]" in python("-m", "gym_core", "--help").stdout


def test_help_lists_every_command(gym: Gym) -> None:
    shown = gym("--help")
    assert shown.status == 0
    assert all(f"\n  {name} " in shown.out for name in [*commands.app.table, *COMMANDS])


def test_without_a_command_help_is_shown(gym: Gym) -> None:
    shown = gym()
    assert shown.status == 2
    assert "Usage: gym" in shown.err


@pytest.mark.parametrize("group", [(), ("plugins",)])
def test_an_unknown_command_is_answered_with_the_nearest(gym: Gym, group: tuple[str, ...]) -> None:
    near = {(): ("shwo", "show"), ("plugins",): ("lst", "list")}[group]
    result = gym(*group, near[0])
    assert result.status == 2
    assert f"has no command {near[0]!r}; did you mean {near[1]!r}?" in result.err
    assert "hint: " in result.err


@pytest.mark.parametrize(
    "arguments",
    [("tasks",), ("plugins", "list", "--knd"), ("plugins", "list", "--kind", "x"), ("plugins", "show"), ("stats",)],
)
def test_a_wrong_option_is_one_error_and_one_hint(gym: Gym, arguments: tuple[str, ...]) -> None:
    result = gym(*arguments)
    assert result.status == 2
    assert result.out == ""
    error, hint = result.err.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("hint: `gym ")


# Errors of a command


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseException]:
    """A command `fail` that raises what stands under `error`."""
    raised: dict[str, BaseException] = {}

    @click.command()
    @debug_option
    def fail() -> None:
        raise raised["error"]

    module = type(sys)("failing_command")
    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "failing_command", module)
    monkeypatch.setattr(commands.app, "table", {"fail": ("failing_command:fail", "Fail.")})
    return raised


def test_an_error_has_its_own_status(gym: Gym, failing: dict[str, BaseException]) -> None:
    failing["error"] = UsageError("no such thing", hint="try another")
    assert gym("fail") == type(gym("fail"))(2, "", "error: no such thing\nhint: try another\n")
    failing["error"] = ModelError("the endpoint said no")
    assert gym("fail").status == 3


def test_an_unexpected_error_is_one_line_until_debugged(gym: Gym, failing: dict[str, BaseException]) -> None:
    failing["error"] = ZeroDivisionError("a\nb")
    result = gym("fail")
    assert result.status == 2
    assert result.err.splitlines() == [
        "error: internal error: ZeroDivisionError: a b",
        "hint: run again with --debug for the traceback",
    ]
    debugged = gym("fail", "--debug")
    assert debugged.err.startswith("Traceback")
    assert debugged.status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--env", "simple_weather", "--model", "openai:m", "--output"),
        ("run", "--env", "simple_weather", "--model", "openai:m", "--output", "o.jsonl", "--input"),
        ("show",),
        ("stats",),
    ],
    ids=["output", "input", "show", "stats"],
)
def test_a_file_name_that_is_too_long_is_said_to_be(gym: Gym, arguments: tuple[str, ...]) -> None:
    name = "x" * 300 + ".jsonl"
    result = gym(*arguments, name)
    assert result.status == 2
    assert result.err.startswith("error: xxx")
    assert "File name too long" in result.err.splitlines()[0]


def test_an_interruption_is_quiet(gym: Gym, failing: dict[str, BaseException]) -> None:
    failing["error"] = Interrupted()
    assert gym("fail") == type(gym("fail"))(130, "", "")


def test_an_interruption_that_nobody_asked_for_is_an_error(gym: Gym, failing: dict[str, BaseException]) -> None:
    failing["error"] = KeyboardInterrupt()
    assert (gym("fail").status, gym("fail").err.splitlines()[0]) == (2, "error: internal error: KeyboardInterrupt")


def test_secrets_stay_out_of_errors_and_tracebacks(
    failing: dict[str, BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    terminal.redactor.add("sk-secret")
    failing["error"] = RuntimeError("refused sk-secret")
    boundary.run_command(["fail", "--debug"], terminal)
    written = capsys.readouterr()
    assert "sk-secret" not in written.out + written.err
    assert "refused ***" in written.err


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    code = """
import os, sys
from gym_core.cli import boundary
read, write = os.pipe()
os.close(read)
os.dup2(write, 1)
sys.exit(boundary.run_command(["--help"]))
"""
    done = python("-c", code)
    assert done.stderr == ""
    assert done.returncode == boundary.BROKEN_PIPE


def test_colours_are_for_terminals(gym: Gym) -> None:
    assert "\x1b" not in gym("nothing").err


def test_listing_is_the_same_from_a_subprocess(site: Site) -> None:
    site.add("gym-a", "raise RuntimeError", name="a")
    done = python("-m", "gym_core", "plugins", "list", PYTHONPATH=os.pathsep.join([str(ROOT), str(site.path)]))
    assert done.returncode == 0
    assert "gym-a" in done.stdout
