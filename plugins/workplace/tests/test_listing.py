"""How `gym tasks` shows an environment with many tools."""

from __future__ import annotations

from gym_testing import GymCommand


def test_many_tools_are_shown_by_two_and_their_number(gym_cli: GymCommand) -> None:
    listed = gym_cli("tasks", "--env", "workplace", "--limit", "1")
    assert listed.exit_code == 0
    assert " and 22 more " in listed.out
