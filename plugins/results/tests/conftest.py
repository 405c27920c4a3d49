"""`gym` as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.exports import gym as gym


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads a `.env` or writes into the directory it was started in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
