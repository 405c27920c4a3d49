"""A broken, a slow and a duplicate plugin are installed, and everything else still works."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.conftest import Endpoint, FreshEnv

BROKEN = 'raise RuntimeError("the sensor is on fire")\n'

SLOW = '''
"""Leaves a mark when somebody imports it, and takes its time."""
import os
import pathlib
import time

if "SLOW_PLUGIN_MARK" in os.environ:
    pathlib.Path(os.environ["SLOW_PLUGIN_MARK"]).touch()
time.sleep(float(os.environ.get("SLOW_PLUGIN_SECONDS", "5")))

from gym_core import ResourceServer, Session, Task, hookimpl


class SlowSession(Session):
    def verify(self, trajectory):
        return 1.0


class Slow(ResourceServer):
    """Takes its time."""

    session_type = SlowSession

    def tasks(self):
        yield Task.ask("Wait.")


@hookimpl(contract=1)
def gym_resource_servers():
    return {"slow": Slow}
'''

DUPLICATE = SLOW.replace('"slow"', '"simple_weather"').replace("SLOW_PLUGIN_", "DUPLICATE_PLUGIN_")


@pytest.fixture(scope="module")
def env(fresh_env: Callable[..., FreshEnv], make_plugin: Callable[[str, str, str], Path]) -> FreshEnv:
    bad = {
        "gym-broken": make_plugin("gym-broken", "broken", BROKEN),
        "gym-slow": make_plugin("gym-slow", "slow", SLOW),
        "gym-other-weather": make_plugin("gym-other-weather", "simple_weather", DUPLICATE),
    }
    good = ("gym-counter", "gym-simple-agent", "gym-openai-model", "gym-simple-weather")
    return fresh_env(*good, *bad, find_links=tuple(bad.values()))


def test_all_are_listed_and_none_is_imported(env: FreshEnv, tmp_path: Path) -> None:
    marks = {"SLOW_PLUGIN_MARK": tmp_path / "slow", "DUPLICATE_PLUGIN_MARK": tmp_path / "duplicate"}
    done = env.run(*("gym", "plugins", "list", "--json"), env={name: str(mark) for name, mark in marks.items()})
    assert {(row["name"], row["distribution"]) for row in json.loads(done.stdout)} == {
        ("broken", "gym-broken"),
        ("counter", "gym-counter"),
        ("openai", "gym-openai-model"),
        ("simple_agent", "gym-simple-agent"),
        ("simple_weather", "gym-other-weather"),
        ("simple_weather", "gym-simple-weather"),
        ("slow", "gym-slow"),
    }
    assert not list(tmp_path.iterdir())


def test_check_names_the_broken_one_and_why(env: FreshEnv) -> None:
    at_once = {"SLOW_PLUGIN_SECONDS": "0", "DUPLICATE_PLUGIN_SECONDS": "0"}
    done = env.run("gym", "plugins", "check", exit_code=1, env=at_once)
    report = done.stdout + done.stderr
    assert "gym-broken" in report
    assert "the sensor is on fire" in report
    assert "Traceback" not in report


def test_naming_the_broken_one_blames_it(env: FreshEnv) -> None:
    error = env.run("gym", "tasks", "--env", "broken", exit_code=2).stderr
    assert "gym-broken" in error
    assert "the sensor is on fire" in error
    assert "Traceback" not in error
    assert "Traceback" in env.run("gym", "tasks", "--env", "broken", "--debug", exit_code=2).stderr


def test_another_environment_runs_and_imports_no_neighbour(env: FreshEnv, endpoint: Endpoint, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    mark = tmp_path / "imported"
    env.run(
        *("gym", "run", "--model", "openai:fake", "--env", "counter"),
        *("-M", f"base_url={endpoint.base_url}", "-M", "api=responses", "--output", output),
        env={"OPENAI_API_KEY": "x", "SLOW_PLUGIN_MARK": str(mark), "DUPLICATE_PLUGIN_MARK": str(mark)},
    )
    assert json.loads(output.read_text())["reward"] == 1.0
    assert not mark.exists()


def test_a_name_with_two_owners_is_refused_with_both(env: FreshEnv) -> None:
    error = env.run("gym", "tasks", "--env", "simple_weather", exit_code=2).stderr
    assert "gym-simple-weather/simple_weather" in error
    assert "gym-other-weather/simple_weather" in error


def test_a_name_with_two_owners_works_with_its_distribution(env: FreshEnv) -> None:
    at_once = {"DUPLICATE_PLUGIN_SECONDS": "0"}
    mine = env.run("gym", "tasks", "--env", "gym-simple-weather/simple_weather", "--json").stdout
    assert len(mine.splitlines()) >= 20
    other = env.run("gym", "tasks", "--env", "gym-other-weather/simple_weather", "--json", env=at_once).stdout
    assert len(other.splitlines()) == 1
