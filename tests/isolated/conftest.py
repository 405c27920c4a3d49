"""Two isolated environments, built once for all tests, and `gym` as a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Gym, gym
from tests.support.isolation import WHEELHOUSE, build, write_plugins
from tests.support.uv_cache import cache_folder, share_compiled, shared_folder

__all__ = ["Gym", "gym"]


@pytest.fixture(scope="session")
def plugin_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of `gym-old`, `gym-new` and what they need, besides those of the wheelhouse."""
    if not WHEELHOUSE.is_dir():
        pytest.fail("there is no .wheelhouse to install from: run `make install`")
    return write_plugins(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """uv's cache, which is this session's own, without a network."""
    cache = cache_folder(tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(cache))
        patch.setenv("UV_OFFLINE", "1")
        yield cache


@pytest.fixture(scope="session")
def built_home(tmp_path_factory: pytest.TempPathFactory, plugin_wheels: Path, uv_cache: Path) -> Path:
    """A `GYM_HOME` with the environments of `gym-old` and `gym-new`. All workers of a test session share it."""
    home = shared_folder(tmp_path_factory) / "isolated-home"
    build(home, plugin_wheels, "gym-old")
    share_compiled(home, uv_cache)
    build(home, plugin_wheels, "gym-new")
    return home


@pytest.fixture
def home(built_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`GYM_HOME`, where `old` and `new` are. Nobody changes it."""
    monkeypatch.setenv("GYM_HOME", str(built_home))
    return built_home
