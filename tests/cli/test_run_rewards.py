"""What `gym run` makes of rewards: `--by` and `--fail-under`, over installed plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.guessing import add_guessing, collect

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    add_guessing(site)


def test_a_run_breaks_its_reward_down_by_a_field(gym: Gym) -> None:
    result = collect(gym, "--by", "side", "--by", "rollout.status")
    by = json.loads(Path("x.summary.json").read_text(encoding="utf-8"))["reward"]["by"]
    assert by["side"]["values"]["left"] == {"mean": 1.0, "standard_error": 0.0, "rollouts": 2, "left_out": 0}
    assert by["side"]["others"] is None
    assert list(by["rollout.status"]["values"]) == ["completed"]
    assert "by side" in result.err
    assert "1.0000 ± 0.0000 over 2" in result.err


@pytest.mark.parametrize(("bar", "status"), [("0.5", 0), ("0.51", 4), ("-1", 0), ("2", 4)])
def test_a_mean_below_the_bar_is_status_4(gym: Gym, bar: str, status: int) -> None:
    result = collect(gym, "--fail-under", bar)
    assert result.status == status
    assert ("the mean reward 0.5 is too low" in result.err) is (status == 4)


def test_a_run_without_any_reward_is_below_every_bar(gym: Gym) -> None:
    result = collect(gym, "--limit", "0", "--fail-under", "0")
    assert result.status == 4
    assert "there is no reward at all" in result.err


def test_below_the_bar_comes_before_some_failed(gym: Gym) -> None:
    arguments = ["-E", "reward=nan"]
    assert collect(gym, *arguments).status == 1
    assert collect(gym, *arguments, "--overwrite", "--fail-under", "0.5").status == 4
    assert collect(gym, *arguments, "--overwrite", "--fail-under", "0").status == 1
