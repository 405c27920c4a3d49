"""Venvs that a component has to live in: making, making again, using and removing them. None is really built."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gym_core
import gym_isolated.store
from gym_core import Home, Runner, UsageError
from gym_core.spi import HomeMissing, Kind, Plugin, Terminal
from gym_isolated.install import Isolation
from gym_isolated.records import Environment
from gym_isolated.source import IsolatedPlugins
from gym_isolated.store import Wanted

NAME = "player:game"
HOME = Home(name=NAME, packages=("engine", "game"))
PLUGIN = Plugin(Kind.RESOURCE_SERVER, "player", "gym_player:x", "gym-player", "1.0", "")
COMPONENT: dict[str, Any] = {
    "kind": Kind.RESOURCE_SERVER.value,
    "name": "player",
    "doc": "Games.",
    "choices": [],
    "preferred_agent": "simple_agent",
    "tools": None,
}
Installs = list[tuple[list[str], str]]


@pytest.fixture
def installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installs:
    """What each venv that is built gets, and of which Python it is."""
    monkeypatch.setenv("GYM_HOME", str(tmp_path))
    made: Installs = []

    def build(folder: Path, wanted: Wanted, *more: Any) -> Environment:
        assert wanted.plugin is not None
        made.append((wanted.packages, wanted.interpreter))
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        return Environment(
            folder,
            wanted.request,
            wanted.plugin.distribution,
            wanted.plugin.version,
            "",
            "",
            gym_core.CONTRACT_VERSION,
            "",
            (COMPONENT, {**COMPONENT, "kind": Kind.RUNNER.value, "name": "loop"}),
            home=wanted.home.name if wanted.home else "",
            instead=wanted.instead,
            interpreter=wanted.python,
        )

    monkeypatch.setattr(gym_isolated.store, "_build", build)
    return made


@pytest.fixture
def isolation(installs: Installs) -> Isolation:
    return Isolation(Terminal(), yes=True, dry_run=False)


def test_a_home_is_removed_by_its_name(isolation: Isolation) -> None:
    isolation.make_home(PLUGIN, HOME)
    assert isolation.uninstall([NAME]) is None
    assert isolation.store.find(NAME) is None
    with pytest.raises(HomeMissing):
        IsolatedPlugins().at_home(PLUGIN, HOME)


def test_packages_instead_build_it_again_and_stay(isolation: Isolation, installs: Installs) -> None:
    isolation.make_home(PLUGIN, HOME)
    isolation.make_home(PLUGIN, HOME)
    assert installs == [(["engine", "game"], "")]
    isolation.make_home(PLUGIN, HOME, instead=["./mine"], python=sys.executable)
    isolation.make_home(PLUGIN, HOME, again=True)
    assert installs[1:] == [(["engine", "./mine"], sys.executable)] * 2
    isolation.make_home(PLUGIN, replace(HOME, packages=("engine>=2", "game")), again=True, instead=["other"])
    assert installs[3:] == [(["engine>=2", "other"], sys.executable)]


def test_a_home_with_another_version_of_its_plugin_is_refused(isolation: Isolation) -> None:
    isolation.make_home(PLUGIN, HOME)
    assert IsolatedPlugins().at_home(PLUGIN, HOME)
    with pytest.raises(UsageError, match=r"gym-player 1\.0, and 1\.1 is installed") as refused:
        IsolatedPlugins().at_home(replace(PLUGIN, version="1.1"), HOME)
    assert f"--upgrade {NAME}" in refused.value.hint


def test_what_is_here_and_called_much_alike_is_no_bar_and_is_named() -> None:
    missing = HomeMissing(PLUGIN, replace(HOME, near=("player:games",)))
    assert "not made yet; did you mean player:games, which is here?" in missing.message
    assert "`gym install --isolated player:game` makes it" in missing.hint


def test_a_runner_of_the_same_distribution_works_in_the_home_of_its_environment(isolation: Isolation) -> None:
    isolation.make_home(PLUGIN, HOME)
    source = IsolatedPlugins()
    environment = source.at_home(PLUGIN, HOME)
    loop = source.beside(replace(PLUGIN, kind=Kind.RUNNER, name="loop"), environment)
    assert issubclass(loop, Runner)
    assert loop.origin.environment == environment.origin.environment
    assert source.beside(replace(PLUGIN, kind=Kind.RUNNER, name="other"), environment) is None
