"""`gym rescore` over installed plugins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gym_testing import IsolatedPlugins
from tests.support.exports import Gym
from tests.support.guessing import add_guessing, collect
from tests.support.running import read_jsonl


@pytest.fixture(autouse=True)
def plugins(isolated_plugins: IsolatedPlugins) -> None:
    add_guessing(isolated_plugins)


def test_the_environment_and_its_options_come_from_the_manifest(gym: Gym) -> None:
    assert collect(gym, "-E", "reward=0.5", "-E", "number=3").status == 0
    result = gym("rescore", "x.jsonl")
    assert (result.status, result.out) == (0, "")
    assert "4 rollouts, 0 rewards changed" in result.err
    assert sorted(row["reward"] for row in read_jsonl(Path("x.rescored.jsonl"))) == [0.0, 0.0, 0.5, 0.5]


def test_an_option_given_goes_over_the_manifest(gym: Gym) -> None:
    collect(gym, "-E", "reward=0.5")
    result = gym("rescore", "x.jsonl", "-E", "reward=1", "--output", "new.jsonl", "--json", "--quiet")
    assert result.err == ""
    summary = json.loads(result.out)
    assert summary["rescored"]["changed"] == 2
    assert (summary["rescored"]["before"]["mean"], summary["reward"]["mean"]) == (0.25, 0.5)
    comparison = gym("stats", "x.jsonl", "new.jsonl").out
    assert "reward of new minus x: +0.2500" in comparison


def test_an_option_that_was_hidden_is_given_again(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://bob:pass-word-1@host/"
    assert collect(gym, "-E", f"url={url}").status == 0
    refused = gym("rescore", "x.jsonl")
    assert refused.status == 2
    assert "x.run.json: env_options.url: its value held a secret and was hidden" in refused.err
    assert "-E url=" in refused.err
    assert gym("rescore", "x.jsonl", "-E", f"url={url}").status == 0
    monkeypatch.setenv("GYM_GUESS_URL", url)
    assert gym("rescore", "x.jsonl", "--overwrite").status == 0
    assert "pass-word-1" not in Path("x.rescored.run.json").read_text()


def test_another_world_is_a_failure_and_status_1(gym: Gym) -> None:
    collect(gym)
    result = gym("rescore", "x.jsonl", "-E", "number=8")
    assert result.status == 1
    assert "tool call 1 (c) answered otherwise than recorded: from character 0 on, recorded '7', now '8'" in result.err
    assert "4 could not be verified again" in result.err
    assert not read_jsonl(Path("x.rescored.jsonl"))


def test_a_judge_of_the_command_line_is_asked(gym: Gym) -> None:
    collect(gym)
    result = gym("rescore", "x.jsonl", "--model", "judge=looking", "-M", "judge.answer=0.75", "--json", "--quiet")
    assert json.loads(result.out)["reward"]["mean"] == 0.75


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.jsonl"], "no.jsonl cannot be read"),
        (["x.jsonl", "--output", "x.jsonl", "--overwrite"], "is the file to verify again"),
        (["x.jsonl", "--model", "looking"], "without its policy"),
        (["x.jsonl", "-M", "answer=1"], "-M answer: it names no role"),
        (["x.jsonl", "--env", "gess"], "no environment named 'gess' is installed"),
        (["x.jsonl", "--output", "y.txt"], "ends in `.jsonl`"),
    ],
)
def test_a_wrong_command_is_said_in_a_line(gym: Gym, arguments: list[str], words: str) -> None:
    collect(gym)
    result = gym("rescore", *arguments)
    assert (result.status, result.out) == (2, "")
    assert words in result.err


def test_an_existing_output_is_kept(gym: Gym) -> None:
    collect(gym)
    assert gym("rescore", "x.jsonl").status == 0
    again = gym("rescore", "x.jsonl")
    assert again.status == 2
    assert "--overwrite replaces it" in again.err
    assert gym("rescore", "x.jsonl", "--overwrite").status == 0
