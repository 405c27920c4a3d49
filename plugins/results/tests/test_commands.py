"""The commands as `gym` lists them, with the distribution and without."""

from __future__ import annotations

import pytest

from gym_core import UsageError
from gym_results import gym_commands
from gym_testing import IsolatedPlugins
from tests.support.exports import Gym

commands = pytest.mark.parametrize("name", ["show", "stats", "runs", "export", "import", "rescore"])


@commands
def test_it_is_listed_by_the_first_line_of_its_own_help(gym: Gym, name: str) -> None:
    line = gym_commands()[name].get_short_help_str(limit=200)
    assert line in " ".join(gym("--help").out.split())


@commands
def test_where_it_is_missing_it_is_listed_and_says_what_to_install(
    gym: Gym, name: str, isolated_plugins: IsolatedPlugins
) -> None:
    isolated_plugins.alone()
    assert f"\n  {name} " in gym("--help").out
    said = gym(name, "x.jsonl")
    assert said.status == UsageError.exit_code
    assert f"`gym {name}` comes with gym-results, which is not installed" in said.err
    assert "`gym install gym-results`" in said.err
