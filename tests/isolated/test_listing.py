"""Isolated plugins in the commands that list, show, check and configure: as any other."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest

from gym_isolated.store import Store
from gym_testing import IsolatedPlugins
from tests.cli.conftest import Gym


def test_they_are_listed_as_isolated(gym: Gym, home: Path) -> None:
    rows = {row["name"]: row for row in json.loads(gym("plugins", "list", "--json").out)}
    assert rows["old"] == {
        "kind": "resource_server",
        "name": "old",
        "distribution": "gym-old",
        "version": "1.0",
        "summary": "A plugin of old times",
        "python": platform.python_version(),
        "state": "isolated",
    }
    assert rows["simple_agent"]["state"] == "ready"
    off = json.loads(gym("plugins", "list", "--json", "--disable-plugin", "gym-old").out)
    assert {row["name"]: row["state"] for row in off}["old"] == "disabled"
    assert "is switched off" in gym("tasks", "--env", "old", "--disable-plugin", "old").err


def test_listing_starts_nothing_and_reads_records_only(
    gym: Gym, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare" / "isolated"
    bare.mkdir(parents=True)
    shutil.copy(home / "isolated" / "gym-old.json", bare)
    monkeypatch.setenv("GYM_HOME", str(bare.parent))
    assert "isolated" in gym("plugins", "list").out
    shown = gym("tasks", "--env", "old")
    assert shown.status == 2
    assert "has no interpreter any more" in shown.err
    assert "gym install --isolated --upgrade gym-old" in shown.err


def test_it_is_shown_as_if_it_were_here(gym: Gym, home: Path) -> None:
    shown = gym("plugins", "show", "old")
    assert shown.status == 0
    assert "from gym-old 1.0, in an environment of its own" in shown.out
    assert "It knows its version." in shown.out
    assert "usage: gym run --env old[:TASKS]" in shown.out
    assert "mood  (calm | wild; default calm)" in shown.out
    (described,) = json.loads(gym("plugins", "show", "old", "--json").out)
    assert described["choices"] == ["1", "2"]
    (key,) = [option for option in described["options"] if option["name"] == "api_key"]
    assert key == {
        "name": "api_key",
        "type": "secret | none",
        "default": "",
        "required": False,
        "secret": True,
        "environment": ["GYM_OLD_API_KEY", "TALK_KEY"],
        "description": "a key",
    }


@pytest.mark.slow
def test_its_tasks_are_listed(gym: Gym, home: Path) -> None:
    listed = gym("tasks", "--env", "old:3")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["TASK_ID", "t0", "t1", "t2"]
    assert "version, look and 3 more" in listed.out
    rows = [json.loads(line) for line in gym("tasks", "--env", "old:3", "--json", "--limit", "2").out.splitlines()]
    assert [row["task_id"] for row in rows] == ["t0", "t1"]


def test_its_options_have_their_origins(gym: Gym, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALK_KEY", "sk-from-a-variable")
    shown = gym("config", "--env", "old:4", "-E", "size=2k", "--json")
    rows = {row["key"]: (row["value"], row["origin"]) for row in json.loads(shown.out)}
    assert rows["env_options.tasks"] == (4, "reference")
    assert rows["env_options.size"] == (2000, "command line")
    assert rows["env_options.api_key"] == ("***", "environment TALK_KEY")
    assert rows["env_options.mood"] == ("calm", "default")
    assert rows["agent"] == ("simple_agent", "preference of old:4")
    assert "sk-from-a-variable" not in shown.out


@pytest.mark.slow
def test_it_is_checked_where_it_lives(gym: Gym, home: Path) -> None:
    rows = {row["name"]: row for row in json.loads(gym("plugins", "check", "--json").out)}
    assert (rows["old"]["state"], rows["old"]["problem"]) == ("isolated", "")


@pytest.mark.slow
def test_it_is_audited(gym: Gym, home: Path) -> None:
    report = json.loads(gym("check", "calm", "--json").out)
    assert report["tasks"] == 1
    assert set(report["tools"]) == {"version"}


class TestNames:
    """A name that several offer."""

    @pytest.mark.slow
    def test_of_two_distributions_must_be_called_whole(
        self, gym: Gym, home: Path, isolated_plugins: IsolatedPlugins, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GYM_HOME", str(home))
        isolated_plugins.add("other-old", "", group="gym.resource_servers", name="old")
        listed = json.loads(gym("plugins", "list", "--json", "--kind", "env").out)
        states = {row["distribution"]: row["state"] for row in listed}
        assert states == {"gym-old": "conflict", "gym-new": "isolated", "other-old": "conflict"}
        refused = gym("tasks", "--env", "old")
        assert refused.status == 2
        assert "name one: gym-old/old or other-old/old" in refused.err
        assert gym("tasks", "--env", "gym-old/old").status == 0

    def test_of_one_distribution_that_is_there_twice(
        self, gym: Gym, home: Path, isolated_plugins: IsolatedPlugins, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GYM_HOME", str(home))
        isolated_plugins.add("gym-old", "", group="gym.resource_servers", name="old")
        refused = gym("tasks", "--env", "gym-old/old")
        assert refused.status == 2
        assert "gym-old is there twice" in refused.err
        assert "`gym uninstall --isolated gym-old`" in refused.err
        twice = gym("install", "--isolated", "gym-old", "--yes")
        assert twice.status == 2
        assert "gym-old 1.0 is installed in the environment that gym runs in" in twice.err


def test_an_environment_of_another_contract_is_refused_and_one_of_another_version_is_not(
    gym: Gym, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Store(home / "isolated").find("gym-old")
    assert environment is not None
    other = tmp_path / "other" / "isolated"
    other.mkdir(parents=True)
    (other / environment.folder.name).symlink_to(environment.folder)
    wire = {**environment.to_wire(), "core": "0.0.1"}
    (other / "gym-old.json").write_text(json.dumps(wire))
    monkeypatch.setenv("GYM_HOME", str(other.parent))
    assert gym("tasks", "--env", "old").status == 0
    (other / "gym-old.json").write_text(json.dumps({**wire, "contract": 0}))
    refused = gym("tasks", "--env", "old")
    assert refused.status == 2
    assert "its isolated environment has gym-core 0.0.1, which keeps version 0 of the contract" in refused.err
