"""Verifying stored rollouts again: the same verdict for the same world, a failure for any other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_core import Done, Item, Response, Session, Task, Trajectory, UsageError, Verdict, tool, user_message
from gym_results.reading import ResultsFile
from gym_results.rescoring import open_rescore
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call, say
from tests.support.rescoring import again, rescore
from tests.support.running import read_jsonl, run


class Counter(Session[Any]):
    """A seeded start, a tool with state, a user who wants one more turn, and a verdict on the state."""

    step = 1
    greeting = "Count."
    wanted = 2
    last_word = "And now?"

    def setup(self) -> Sequence[Item]:
        self.count = self.rng.randrange(1000)
        self.start = self.count
        self.turns = 0
        return [user_message(f"{self.greeting} You are at {self.count}.")]

    @tool
    async def add(self, by: int) -> str:
        """Add to the counter."""
        self.count += by * self.step
        return str(self.count)

    def reply(self, response: Response) -> Sequence[Item] | Done:
        self.turns += 1
        return [user_message(self.last_word)] if self.turns == 1 else Done()

    def verify(self, trajectory: Trajectory) -> float | Verdict:
        right = self.count - self.start == self.wanted and self.turns == 2
        return Verdict(float(right), {"turns": float(self.turns)}, {"calls": len(trajectory.model_calls)})


COUNTING = (
    call("add", {"by": 1}, "same"),
    call("add", {"by": 1}, "same"),
    call("add", "{", "same"),
    "Is it?",
    "It is.",
)


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A file of six rollouts with tools, replies and state."""
    path = tmp_path / "x.jsonl"
    run(ScriptedModel(*COUNTING), env(Counter, 3), output=path, repeats=2, seed=5)
    return path


def failures(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path.with_name("x.rescored.failures.jsonl"))


def changed(**attributes: Any) -> type[Session[Any]]:
    return type("Counter", (Counter,), attributes)


def test_the_same_environment_gives_the_same_rewards_and_keeps_all_else(counted: Path) -> None:
    summary = rescore(counted, Counter)
    before = {(row["task_id"], row["rollout"]["repeat"]): row for row in read_jsonl(counted)}
    assert len(before) == 6
    assert all(row["reward"] == 1.0 for row in before.values())
    for row in again(counted):
        about = row["rollout"]
        rescored = about.pop("rescored")
        assert rescored["from"] == 1.0
        assert row == before[row["task_id"], about["repeat"]]
    assert summary["rescored"]["rollouts"] == 6
    assert summary["rescored"]["changed"] == summary["rescored"]["failed"] == 0
    assert summary["reward"]["mean"] == 1.0
    assert not failures(counted)


def test_another_verifier_gives_another_reward(counted: Path) -> None:
    summary = rescore(counted, changed(wanted=3))
    assert [row["reward"] for row in again(counted)] == [0.0] * 6
    assert {row["rollout"]["rescored"]["from"] for row in again(counted)} == {1.0}
    assert summary["rescored"]["changed"] == 6
    assert summary["rescored"]["before"]["mean"] == 1.0
    assert summary["rescored"]["after"]["mean"] == 0.0
    assert summary["rescored"]["change"]["mean"] == -1.0


@pytest.mark.parametrize(
    ("attributes", "phase", "words"),
    [
        ({"step": 2}, "tool", "tool call 1 (same) answered otherwise than recorded"),
        ({"greeting": "Count!"}, "setup", "`setup` answered otherwise than recorded: from character 5 on"),
        ({"last_word": "What now?"}, "reply", "`reply` answered otherwise"),
        ({"reply": lambda self, response: Done()}, "reply", "`reply` ended the episode where the recording goes on"),
        ({"reply": lambda self, response: [user_message("And now?")]}, "reply", "goes on where the recording ends"),
        ({"setup": lambda self: None}, "setup", "`setup` returned fewer items than recorded"),
        ({"setup": lambda self: 1 / 0}, "setup", "division by zero"),
    ],
)
def test_an_answer_that_differs_makes_a_failure(
    counted: Path, attributes: dict[str, Any], phase: str, words: str
) -> None:
    summary = rescore(counted, changed(**attributes))
    assert not again(counted)
    for row in failures(counted):
        about = row["rollout"]
        assert row["reward"] is None
        assert row["reward_components"] == {}
        assert (about["status"], about["error"]["phase"]) == ("env_error", phase)
        assert words in about["error"]["message"]
        assert about["error"]["class"] == ("ZeroDivisionError" if "zero" in words else "ReplayDiffers")
        assert about["rescored"]["from"] == 1.0
    assert summary["rescored"]["failed"] == 6
    assert summary["reward"]["mean"] is None


def test_a_verifier_that_fails_is_to_blame_itself(counted: Path) -> None:
    rescore(counted, changed(verify=lambda self, trajectory: "good"))
    assert {row["rollout"]["status"] for row in failures(counted)} == {"verifier_error"}


def test_a_session_that_judges_the_trajectory_is_not_replayed(counted: Path) -> None:
    attributes = {"judges_trajectory": True, "setup": lambda self: 1 / 0, "verify": lambda self, trajectory: 0.25}
    assert rescore(counted, changed(**attributes))["reward"]["mean"] == 0.25


def test_the_verifier_sees_the_recorded_trajectory(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watching(Session[Any]):
        @tool
        def look(self) -> str:
            """Look."""
            return "nothing"

        def verify(self, trajectory: Trajectory) -> float:
            seen.append(
                (
                    trajectory.stop_reason,
                    trajectory.items,
                    trajectory.input,
                    [c.to_wire() for c in trajectory.model_calls],
                )
            )
            return 1.0

    run(ScriptedModel(call("look"), "done"), env(Watching), output=tmp_path / "x.jsonl")
    rescore(tmp_path / "x.jsonl", Watching)
    assert seen[0] == seen[1]


def test_what_an_agent_adds_by_itself_is_not_expected_of_the_environment(tmp_path: Path) -> None:
    async def nagging(episode: Any) -> str:
        items = [*episode.request.input, user_message("Think first.")]
        response = await episode.respond(items)
        items += [*response.output, user_message("Go on.")]
        response = await episode.respond(items)
        outputs = await episode.call_tools(response.function_calls)
        # a shortened copy of a tool's output is the agent's own item, and answers no call
        items += [*response.output, {**outputs[0], "output": "…"}]
        return str((await episode.respond(items)).stop_reason)

    class Quiet(Counter):
        def reply(self, response: Response) -> Done:
            return Done()

        def verify(self, trajectory: Trajectory) -> float:
            return float(self.count - self.start)

    path = tmp_path / "x.jsonl"
    run(ScriptedModel("Hm.", call("add", {"by": 4}), "Done."), env(Quiet), FunctionAgent(nagging), output=path)
    assert rescore(path, Quiet)["rescored"] | {"file": ""} == {
        "file": "",
        "rollouts": 1,
        "changed": 0,
        "failed": 0,
        "carried_over": 0,
        "before": {"mean": 4.0, "standard_error": None, "rollouts": 1},
        "after": {"mean": 4.0, "standard_error": None, "rollouts": 1},
        "change": {"mean": 0.0, "standard_error": None, "rollouts": 1},
    }


def test_a_tool_that_ends_the_episode_ends_it_again_or_fails(tmp_path: Path) -> None:
    class Ending(PlainSession):
        reason = "won"

        @tool
        def finish(self) -> Done:
            """End it."""
            return Done("over", self.reason)

    path = tmp_path / "x.jsonl"
    run(ScriptedModel(call("finish")), env(Ending), output=path)
    assert rescore(path, Ending)["reward"]["mean"] == 1.0
    summary = rescore(path, type("Ending", (Ending,), {"reason": "lost"}), mode="overwrite")
    assert "'lost', the recording ends with 'won'" in summary["errors"][0]["example"]


class Judged(Session[Any]):
    roles = ("user", "judge")

    async def setup(self) -> Sequence[Item]:
        return [user_message((await self.models["user"].respond("What do you want?", temperature=0.5)).output_text)]

    async def verify(self, trajectory: Trajectory) -> float:
        return float((await self.models["judge"].respond("How was it?")).output_text)


def test_a_judge_is_asked_again_and_a_simulated_user_is_not(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    models = {"policy": ScriptedModel(), "user": ScriptedModel("Soup."), "judge": ScriptedModel("0.5")}
    run(models, env(Judged), output=path)
    user, judge = ScriptedModel("Salad."), ScriptedModel("0.75")
    summary = rescore(path, Judged, models={"user": user, "judge": judge})
    assert summary["reward"]["mean"] == 0.75
    assert not user.requests
    (row,) = again(path)
    assert [call["role"] for call in row["rollout"]["rescored"]["model_calls"]] == ["judge"]
    assert row["rollout"]["rescored"]["usage"]["input_tokens"] == 10
    assert row["rollout"]["model_calls"] == read_jsonl(path)[0]["rollout"]["model_calls"]


def test_a_model_asked_something_else_on_the_way_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    models = {"policy": ScriptedModel(), "user": ScriptedModel("Soup."), "judge": ScriptedModel("0.5")}
    run(models, env(Judged), output=path)

    class Curious(Judged):
        async def setup(self) -> Sequence[Item]:
            return [user_message((await self.models["user"].respond("Well?")).output_text)]

    summary = rescore(path, Curious, models={"user": ScriptedModel(), "judge": ScriptedModel("1")})
    assert summary["errors"][0]["class"] == "ReplayDiffers"


def test_a_missing_judge_is_told_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    run({"policy": ScriptedModel(), "user": ScriptedModel(), "judge": ScriptedModel("1")}, env(Judged), output=path)
    with pytest.raises(UsageError, match="--model user=REF"):
        rescore(path, Judged)
    assert not path.with_name("x.rescored.jsonl").exists()


def test_failures_are_carried_over_and_the_summary_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    broken = ScriptedModel(lambda request, context: ValueError("no") if context.key[0] == "t1" else "fine")
    run(broken, env(tasks=3), output=path)
    summary = rescore(path, PlainSession)
    assert summary["rollouts"]["with_verdict"] == 2
    assert summary["rollouts"]["failed"] == summary["reward"]["left_out"] == 1
    assert summary["rescored"]["carried_over"] == 1
    assert summary["rescored"]["failed"] == 0
    assert failures(path) == read_jsonl(path.with_name("x.failures.jsonl"))
    assert sum(1 for _ in ResultsFile(path.with_name("x.rescored.jsonl")).rollouts()) == 3


def test_the_manifest_says_what_was_verified_again(counted: Path) -> None:
    import orjson

    summary = rescore(counted, Counter)
    manifest = orjson.loads(counted.with_name("x.rescored.run.json").read_bytes())
    earlier = orjson.loads(counted.with_name("x.run.json").read_bytes())
    assert manifest["settings"]["rescored"]["run_id"] == earlier["run_id"] != manifest["run_id"]
    assert manifest["settings"]["models"] == earlier["settings"]["models"]
    assert manifest["settings"]["agent"] == earlier["settings"]["agent"]
    assert manifest["extent"]["repeats"] == 2
    assert orjson.loads(counted.with_name("x.rescored.summary.json").read_bytes()) == summary


def test_the_file_itself_is_never_the_output(counted: Path) -> None:
    content = counted.read_bytes()
    with pytest.raises(UsageError, match="is the file to verify again"):
        rescore(counted, Counter, output=counted, mode="overwrite")
    assert counted.read_bytes() == content


def test_an_existing_output_is_kept_unless_asked(counted: Path) -> None:
    rescore(counted, Counter)
    content = counted.with_name("x.rescored.jsonl").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        rescore(counted, Counter)
    assert counted.with_name("x.rescored.jsonl").read_bytes() == content
    assert rescore(counted, Counter, mode="overwrite")["reward"]["rollouts"] == 6


def test_a_policy_is_refused(counted: Path) -> None:
    with pytest.raises(UsageError, match="without its policy"):
        rescore(counted, Counter, models={"policy": ScriptedModel()})


def test_rows_without_a_manifest_need_an_environment(counted: Path) -> None:
    counted.with_name("x.run.json").unlink()

    async def main() -> None:
        async with open_rescore(counted):
            """It is not opened."""

    with pytest.raises(UsageError, match="--env REF"):
        asyncio.run(main())
    assert rescore(counted, Counter)["reward"]["mean"] == 1.0


def test_a_truncated_rollout_stays_truncated(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"

    async def short(episode: Any) -> str:
        await episode.call_tools((await episode.respond(list(episode.request.input))).function_calls)
        return "max_turns"

    class Half(Counter):
        def verify(self, trajectory: Trajectory) -> float:
            return 0.5

    run(ScriptedModel([say("so"), call("add", {"by": 1})]), env(Half), FunctionAgent(short), output=path)
    assert rescore(path, Half)["statuses"] == {"truncated": 1}


def test_tasks_named_by_their_line_are_replayed_with_their_own_seed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    tasks = [Task(dict(ask(number).row)) for number in range(2)]
    for task in tasks:
        del task.row["task_id"]
    run(ScriptedModel(*COUNTING), env(Counter, tasks), output=path, seed=9)
    assert rescore(path, Counter)["reward"] | {"components": 0} == {
        "mean": 1.0,
        "standard_error": 0.0,
        "rollouts": 2,
        "left_out": 0,
        "tasks": 2,
        "interval_95": [0.342380228, 1.0],
        "mean_over_all": 1.0,
        "components": 0,
    }
