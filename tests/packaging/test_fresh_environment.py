"""Installed from wheels into an environment of its own: the core alone, and everything together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.conftest import FreshEnv


@pytest.fixture(scope="module")
def core(fresh_env: Callable[..., FreshEnv]) -> FreshEnv:
    return fresh_env("gym-core")


def test_script_tells_the_installed_version(core: FreshEnv) -> None:
    installed = core.run("python", "-c", "import importlib.metadata as m; print(m.version('gym-core'))")
    assert installed.stdout.strip() in core.run("gym", "--version").stdout


def test_module_does_what_the_script_does(core: FreshEnv) -> None:
    script = core.run("gym", "--help").stdout
    assert core.run("python", "-m", "gym_core", "--help").stdout == script
    assert all(command in script for command in ("run", "plugins", "tasks", "show"))


def test_core_alone_lists_only_what_it_ships(core: FreshEnv) -> None:
    listed = json.loads(core.run("gym", "plugins", "list", "--json").stdout)
    assert listed == []
    core.run("gym", "plugins", "check")


def test_core_alone_says_what_a_url_needs(core: FreshEnv) -> None:
    error = core.run("gym", "tasks", "--env", "http://127.0.0.1:1", exit_code=2).stderr
    assert "pip install gym-http" in error


def test_core_alone_says_what_to_install(core: FreshEnv) -> None:
    error = core.run("gym", "tasks", "--env", "simple_weather", exit_code=2).stderr
    assert "simple_weather" in error
    assert "pip install gym-simple-weather" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_all_distributions_install_side_by_side(fresh_env: Callable[..., FreshEnv]) -> None:
    plugins = (
        *("local-model", "openai-model", "otel", "simple-agent", "simple-weather"),
        *("stateful-counter", "workplace"),
    )
    env = fresh_env(*(f"gym-{name}" for name in plugins))
    listed = json.loads(env.run("gym", "plugins", "list", "--json").stdout)
    assert {(row["kind"], row["name"], row["distribution"]) for row in listed} == {
        ("model", "local", "gym-local-model"),
        ("model", "openai", "gym-openai-model"),
        ("agent", "simple_agent", "gym-simple-agent"),
        ("resource_server", "simple_weather", "gym-simple-weather"),
        ("resource_server", "stateful_counter", "gym-stateful-counter"),
        ("resource_server", "workplace", "gym-workplace"),
        ("extension", "otel", "gym-otel"),
    }
    told = {"kind", "name", "distribution", "version", "python", "summary", "state"}
    assert all(set(row) == told for row in listed)
    env.run("gym", "plugins", "check")
