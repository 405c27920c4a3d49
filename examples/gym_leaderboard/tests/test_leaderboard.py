from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from gym_leaderboard import gym_commands, leaderboard, mean_reward

from gym_core import UsageError


def run_of(folder: Path, name: str, *rewards: float) -> Path:
    file = folder / name
    file.write_text("".join(f'{{"reward": {reward}}}\n' for reward in rewards))
    return file


def test_the_best_comes_first(tmp_path: Path) -> None:
    low, high = run_of(tmp_path, "low.jsonl", 0.0, 0.5), run_of(tmp_path, "high.jsonl", 1.0, 0.5)
    shown = CliRunner().invoke(leaderboard, [str(low), str(high)])
    assert shown.output == f"1. 0.750  {high}\n2. 0.250  {low}\n"


@pytest.mark.parametrize("content", ["", "no JSON\n", "{}\n", "[]\n"])
def test_what_is_no_run_is_said(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"x\.jsonl"):
        mean_reward(file)


def test_it_is_offered_by_name() -> None:
    assert gym_commands() == {"leaderboard": leaderboard}
