"""Pythons by their version, or by their path."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from gym_core import UsageError
from gym_isolated.interpreters import find_interpreter

HERE = platform.python_version()


def test_a_version_that_is_here_is_found_and_so_is_a_path() -> None:
    assert find_interpreter(HERE)
    assert find_interpreter(sys.executable) == sys.executable
    assert find_interpreter("python" + ".".join(HERE.split(".")[:2]))


def test_pyenvs_are_looked_through_and_the_newest_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.99.1", "3.99.12", "3.98.0"):
        binary = tmp_path / "versions" / version / "bin" / "python"
        binary.parent.mkdir(parents=True)
        binary.write_text(f"#!/bin/sh\necho {version}\n")
        binary.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_interpreter("3.99") == str(tmp_path / "versions" / "3.99.12" / "bin" / "python")
    assert find_interpreter("3.99.1") == str(tmp_path / "versions" / "3.99.1" / "bin" / "python")


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ("3.77", "there is no Python 3.77 that uv, pyenv or PATH know", "`uv python install 3.77` or `pyenv install"),
        ("3.9", "gym runs on Python 3.11 and newer", "--python 3.11"),
        ("latest", "that is no version", "--python 3.12"),
        ("3.12; rm", "that is no version", "--python 3.12"),
        ("/bin/sh", "that is no Python", "a version"),
        ("./nothing", "that is no Python", "a version"),
    ],
)
def test_one_that_is_not_there_is_one_line(wanted: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_interpreter(wanted)
    assert message in refused.value.message
    assert hint in refused.value.hint
