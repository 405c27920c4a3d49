"""Groups on the command line: `--group`, and what `gym stats`, `gym show` and `gym export` make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym

ENV = '''
import gym_core
from gym_core import Agent, ModelBackend, ResourceServer, Response, Session, Stop, Task


class Counts(ModelBackend):
    """Says as many words as the repeat."""

    async def respond(self, request, context):
        text = " ".join(["word"] * (context.key[1] + 1))
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return Response({"id": "r", "output": [message], "usage": {"input_tokens": 1, "output_tokens": 1}})


class Words(Session):
    def verify(self, trajectory):
        return len(trajectory.output_text.split()) / 10


class Env(ResourceServer):
    """Scores groups."""

    session_type = Words

    def tasks(self):
        return [Task.ask("x", task_id=f"t{number}") for number in range(3)]

    def score_group(self, rollouts):
        if rollouts[0].task_id == "t2":
            raise ValueError("these cannot be compared")
        return [rollout.reward - rollouts[0].reward for rollout in rollouts]


class Once(Agent):
    """Asks once."""

    async def run(self, episode):
        return Stop((await episode.respond(episode.request.input)).stop_reason)
'''


@pytest.fixture
def done(gym: Gym) -> Any:
    """A run of which one group could not be scored."""
    Path("env.py").write_text(ENV)
    parts = ("--model", "./env.py:Counts", "--env", "./env.py:Env", "--agent", "./env.py:Once")
    return gym("run", *parts, "--repeats", "2", "--output", "x.jsonl")


def test_the_closing_table_and_the_exit_status_say_what_groups_came_to(gym: Gym, done: Any) -> None:
    assert done.status == 1
    assert "in groups" in done.err
    assert "0.0500 ± 0.0000 over 2 groups" in done.err
    assert "1, ValueError: these cannot be compared" in done.err
    assert "its rollouts keep their own rewards: ValueError: these cannot be compared" in done.err
    assert json.loads(Path("x.summary.json").read_text())["groups"]["failed"] == 1


def test_stats_count_them(gym: Gym, done: Any) -> None:
    told = gym("stats", "x.jsonl").out
    for words in ("in groups", "0.0500", "groups scored", "groups failed: ValueError"):
        assert words in told
    groups = json.loads(gym("stats", "x.jsonl", "--json").out)["files"][0]["groups"]
    assert (groups["scored"], groups["failed"], groups["reward"]["mean"]) == (2, 1, 0.05)
    several = gym("stats", "x.jsonl", "x.groups.jsonl")
    assert "left out: x.groups.jsonl, which belongs to x.jsonl" in several.err
    assert "holds what groups came to" in gym("stats", "x.groups.jsonl").err


def test_show_has_the_groups_verdict_beside_the_rollouts_own(gym: Gym, done: Any) -> None:
    told = gym("show", "x.jsonl", "t0#1").out.splitlines()
    assert [line.split()[:3] for line in told if line.startswith(("reward", "in group"))] == [
        ["reward", "0.2"],
        ["in", "group", "0.1"],
    ]
    failed = gym("show", "x.jsonl", "t2#0").out
    assert "not scored: ValueError: these cannot be compared" in failed
    row = json.loads(gym("show", "x.jsonl", "t0#1", "--json").out)
    assert (row["reward"], row["rollout"]["group"]["reward"]) == (0.2, 0.1)
    found = gym("show", "x.jsonl", "--where", "rollout.group.reward>0", "--json").out.splitlines()
    assert sorted(json.loads(line)["task_id"] for line in found) == ["t0", "t1"]
    assert "0.1" in gym("show", "x.jsonl", "--highest", "1").out


def test_export_has_the_groups_reward_where_there_is_one(gym: Gym, done: Any) -> None:
    told = gym("export", "--format", "nemo", "x.jsonl")
    assert told.status == 0
    rewards = sorted(round(json.loads(line)["reward"], 6) for line in told.out.splitlines())
    assert rewards == [0.0, 0.0, 0.1, 0.1, 0.1, 0.2]
    assert "groups that could not be scored, whose rollouts have their own rewards: 1" in told.err


def test_a_rescore_scores_groups_again(gym: Gym, done: Any) -> None:
    text = Path("env.py").read_text().replace('"t2"', '"none"')
    Path("env.py").write_text(text)
    again = gym("rescore", "x.jsonl")
    assert again.status == 0, again.err
    assert "over 3 groups" in again.err
    assert len(Path("x.rescored.groups.jsonl").read_text().splitlines()) == 3


def test_a_run_file_and_a_manifest_know_the_option(gym: Gym, done: Any) -> None:
    Path("run.toml").write_text(
        'model = "./env.py:Counts"\nenv = "./env.py:Env"\nagent = "./env.py:Once"\ngroup = false\n'
    )
    plain = gym("run", "--config", "run.toml", "--repeats", "2", "--output", "y.jsonl")
    assert plain.status == 0, plain.err
    assert not Path("y.groups.jsonl").exists()
    again = gym("run", "--config", "y.run.json", "--output", "z.jsonl")
    assert again.status == 0, again.err
    assert not Path("z.groups.jsonl").exists()
    order = [json.loads(line)["task_id"] for line in Path("z.jsonl").read_text().splitlines()]
    assert sorted(order) == ["t0", "t0", "t1", "t1", "t2", "t2"]
    refused = gym("run", "--config", "run.toml", "--output", "y.groups.jsonl")
    assert refused.status == 2
