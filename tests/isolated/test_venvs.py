"""Venvs that a component has to live in: making, making again, using and removing them. None is really built."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gym_core
import gym_isolated.store
from gym_core import Runner, UsageError, Venv
from gym_core.spi import Kind, Plugin, Terminal, VenvMissing
from gym_isolated.install import Isolation
from gym_isolated.records import Environment
from gym_isolated.source import IsolatedPlugins
from gym_isolated.store import Wanted

NAME = "player:game"
VENV = Venv(name=NAME, packages=("engine", "game"))
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
            venv=wanted.venv.name if wanted.venv else "",
            instead=wanted.instead,
            interpreter=wanted.python,
        )

    monkeypatch.setattr(gym_isolated.store, "_build", build)
    return made


@pytest.fixture
def isolation(installs: Installs) -> Isolation:
    return Isolation(Terminal(), yes=True, dry_run=False)


def test_a_venv_is_removed_by_its_name(isolation: Isolation) -> None:
    isolation.make_venv(PLUGIN, VENV)
    assert isolation.uninstall([NAME]) is None
    assert isolation.store.find(NAME) is None
    with pytest.raises(VenvMissing):
        IsolatedPlugins().in_venv(PLUGIN, VENV)


def test_packages_instead_build_it_again_and_stay(isolation: Isolation, installs: Installs) -> None:
    isolation.make_venv(PLUGIN, VENV)
    isolation.make_venv(PLUGIN, VENV)
    assert installs == [(["engine", "game"], "")]
    isolation.make_venv(PLUGIN, VENV, instead=["./mine"], python=sys.executable)
    isolation.make_venv(PLUGIN, VENV, again=True)
    assert installs[1:] == [(["engine", "./mine"], sys.executable)] * 2
    isolation.make_venv(PLUGIN, replace(VENV, packages=("engine>=2", "game")), again=True, instead=["other"])
    assert installs[3:] == [(["engine>=2", "other"], sys.executable)]


def test_a_venv_with_another_version_of_its_plugin_is_refused(isolation: Isolation) -> None:
    isolation.make_venv(PLUGIN, VENV)
    assert IsolatedPlugins().in_venv(PLUGIN, VENV)
    with pytest.raises(UsageError, match=r"gym-player 1\.0, and 1\.1 is installed") as refused:
        IsolatedPlugins().in_venv(replace(PLUGIN, version="1.1"), VENV)
    assert f"--upgrade {NAME}" in refused.value.hint


def test_what_is_called_much_alike_is_no_bar_and_is_named() -> None:
    missing = VenvMissing(PLUGIN, replace(VENV, near=lambda: ["player:games"]))
    assert "not made yet; did you mean player:games?" in missing.message
    assert "`gym install --isolated player:game` makes it" in missing.hint


def test_a_runner_of_the_same_distribution_works_in_the_venv_of_its_environment(isolation: Isolation) -> None:
    isolation.make_venv(PLUGIN, VENV)
    source = IsolatedPlugins()
    environment = source.in_venv(PLUGIN, VENV)
    loop = source.beside(replace(PLUGIN, kind=Kind.RUNNER, name="loop"), environment)
    assert issubclass(loop, Runner)
    assert loop.origin.environment == environment.origin.environment
    assert source.beside(replace(PLUGIN, kind=Kind.RUNNER, name="other"), environment) is None
