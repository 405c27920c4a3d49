"""Plugins as they lie on disk once installed, made for a test, and `gym` as a command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gym_core.cli import boundary
from gym_testing import IsolatedPlugins
from gym_testing.site import Site

__all__ = ["Gym", "Result", "Site", "gym", "site"]


@pytest.fixture
def site(isolated_plugins: IsolatedPlugins) -> Site:
    """An installation in which nothing but what the test adds offers plugins."""
    return isolated_plugins


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


Gym = Callable[..., Result]


@pytest.fixture
def gym(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gym:
    """Runs `gym` in this process, in an empty working directory."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        status = boundary.run_command(arguments)
        return Result(status, *capsys.readouterr())

    return run
