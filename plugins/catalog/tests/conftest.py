from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def empty_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads a `.env` or writes into the directory it was started in."""
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    return folder
