"""Fixtures for executors of several processes: components that workers find, and no `.env`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gym_testing.isolation import IsolatedPlugins
from tests.support import spread


@pytest.fixture(autouse=True)
def empty_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads a `.env` or writes into the directory it was started in."""
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    monkeypatch.setenv(spread.PARENT, str(os.getpid()))
    return folder


@pytest.fixture
def spread_plugins(isolated_plugins: IsolatedPlugins) -> IsolatedPlugins:
    """`spread_model`, `spread_env` and `spread_agent`, for this process and its workers."""
    spread.install(isolated_plugins)
    return isolated_plugins
