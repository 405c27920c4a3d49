"""`gym rescore` and `gym run --by, --fail-under` over installed plugins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.running import read_jsonl

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

ENVIRONMENT = """
from pydantic import Field
import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl, tool

class GuessSession(Session):
    @tool
    def look(self) -> str:
        "Look at the number."
        return str(self.server.options.number)

    async def verify(self, trajectory):
        if "judge" in list(self.models):
            return float((await self.models["judge"].respond("Well?")).output_text)
        return self.server.options.reward if self.task["side"] == "left" else 0.0

class GuessOptions(gym_core.Options):
    reward: float = Field(1.0, description="What is earned.")
    number: int = Field(7, description="What is seen.")
    url: str = Field("", description="Where it is.")


class Guess(ResourceServer[GuessOptions]):
    "A test's environment."

    session_type = GuessSession

    def tasks(self):
        for number in range(4):
            yield Task.ask("?", task_id=f"t{number}", side="left" if number % 2 else "right")

@hookimpl(contract=1)
def gym_resource_servers():
    return {"guess": Guess}
"""
MODEL = """
from pydantic import Field
import gym_core
from gym_core import ModelBackend, Response, hookimpl

class LookingOptions(gym_core.Options):
    answer: str = Field("done", description="What it says in the end.")


class Looking(ModelBackend[LookingOptions]):
    "A test's model."

    async def respond(self, request, context):
        if request.input[-1].get("role") == "user" and request.tools:
            item = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
        else:
            item = {"type": "message", "role": "assistant", "content": self.options.answer}
        return Response({"output": [item]})

@hookimpl(contract=1)
def gym_model_backends():
    return {"looking": Looking}
"""
AGENT = """
from gym_core import Agent, Stop, hookimpl

class Simple(Agent):
    "A test's agent."
    async def run(self, episode):
        items = list(episode.request.input)
        while True:
            response = await episode.respond(items)
            answers = await episode.call_tools(response.function_calls)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *answers]

@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Simple}
"""


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    site.add("gym-guess", ENVIRONMENT, group="gym.resource_servers", name="guess")
    site.add("gym-looking", MODEL, group="gym.models", name="looking")
    site.add("gym-simple", AGENT, group="gym.agents", name="simple_agent")


def collect(gym: Gym, *arguments: str) -> Any:
    return gym("run", "--model", "looking", "--env", "guess", "--output", "x.jsonl", *arguments)


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
