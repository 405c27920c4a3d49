"""The options of an isolated component are refused in the same words as those of one that is installed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gym_testing import IsolatedPlugins
from tests.cli.conftest import Gym
from tests.support.isolation import LIBRARY, PLUGIN

WRONG = [
    ("-E", "mood=glad"),
    ("-E", "tasks=0"),
    ("-E", "size=3m"),
    ("-E", 'weights={"a": "x"}'),
    ("-E", "weights.a=x"),
    ("-E", "wait=soon", "-E", "mood=glad"),
    ("-E", "no_such=1"),
    ("-E", "tasks=13"),
    ("-E", "start=refused"),
    ("-E", "start=raised"),
]


@pytest.mark.slow
@pytest.mark.parametrize("settings", WRONG, ids=lambda settings: " ".join(settings[1::2]))
def test_a_wrong_option(
    gym: Gym,
    built_home: Path,
    isolated_plugins: IsolatedPlugins,
    monkeypatch: pytest.MonkeyPatch,
    settings: Sequence[str],
) -> None:
    monkeypatch.setenv("GYM_HOME", str(built_home))
    apart = gym("tasks", "--env", "old", *settings)
    monkeypatch.delenv("GYM_HOME")
    (isolated_plugins.path / "quarrel.py").write_text(LIBRARY.format(version="1.0"))
    monkeypatch.setenv("GYM_HOME", str(isolated_plugins.path))
    isolated_plugins.add("gym-old", PLUGIN.format(name="old"), group="gym.resource_servers", name="old")
    here = gym("tasks", "--env", "old", *settings)
    assert apart.status == here.status == 2
    said = [line for line in here.err.splitlines() if not line.startswith("what a plugin prints")]
    if "start=raised" in settings:
        assert "RuntimeError: the talk has failed" in apart.err
    else:
        assert apart.err.splitlines() == said


@pytest.mark.parametrize("variable", ["TALK_KEY", ""])
def test_the_value_of_a_secret_is_not_told(
    gym: Gym, home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    if variable:
        monkeypatch.setenv(variable, "sk-not-told")
    refused = gym("tasks", "--env", "old:14", *(() if variable else ("-E", "api_key=sk-not-told")))
    assert refused.status == 2
    assert "no talk with ***" in refused.err
    assert "sk-not-told" not in refused.err


GIVEN = [
    ("-E", "size=2k", "-E", "wait=1.5", "-E", "mood=wild"),
    ("-E", 'weights={"a": 1}', "-E", "weights.b=2", "-E", "api_key=sk-not-told"),
    ("-E", "environment=7", "-E", "request=null", "-E", "farewell=null"),
    ("--config", "run.toml", "-E", "weights.c=0.5"),
]
FILE = """
env = "old:3"

[env_options]
folder = "here"
size = 4
weights = {a = 1}
"""


@pytest.mark.parametrize("settings", GIVEN, ids=lambda settings: " ".join(settings[1::2]))
def test_options_are_read_as_those_of_one_that_is_installed(
    gym: Gym,
    built_home: Path,
    isolated_plugins: IsolatedPlugins,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Sequence[str],
) -> None:
    """Values and origins: of typed text, of a file, and of variables."""
    isolated_plugins.keep("simple_agent")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(FILE)
    monkeypatch.setenv("TALK_KEY", "sk-from-a-variable")
    monkeypatch.setenv("GYM_OLD_REQUEST", "1")
    monkeypatch.setenv("GYM_HOME", str(built_home))
    env = () if "--config" in settings else ("--env", "old:4")
    apart = gym("config", *env, *settings, "--json")
    (isolated_plugins.path / "quarrel.py").write_text(LIBRARY.format(version="1.0"))
    monkeypatch.setenv("GYM_HOME", str(isolated_plugins.path))
    isolated_plugins.add("gym-old", PLUGIN.format(name="old"), group="gym.resource_servers", name="old")
    here = gym("config", *env, *settings, "--json")
    assert apart.status == here.status == 0, apart.err
    rows = [row for row in json.loads(here.out) if row["key"].startswith("env_options.")]
    assert [row for row in json.loads(apart.out) if row["key"].startswith("env_options.")] == rows
    assert len(rows) == 11
    assert "sk-" not in apart.out
