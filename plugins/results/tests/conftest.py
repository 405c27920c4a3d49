"""`gym` as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from gym_core.spi import run_command
from tests.support.exports import Gym, Said


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads a `.env` or writes into the directory it was started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def gym(capsys: pytest.CaptureFixture[str]) -> Gym:
    """Runs `gym` in this process."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        status = run_command(arguments)
        return Said(status, *capsys.readouterr())

    return run
