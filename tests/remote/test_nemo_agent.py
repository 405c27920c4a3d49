"""Agents that bring their own model and environment: those of NeMo Gym, and ours by the same route."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from gym_core import Session, Trajectory, UsageError, Verdict
from gym_core.errors import AuthenticationError, BadRequestError, ContextLengthError
from gym_core.spi import Deadlines, RunConfig, run_config
from tests.serve.serving import served_agent
from tests.support.envs import env, row
from tests.support.models import ScriptedModel
from tests.support.nemo_agent import nemo_agent, result
from tests.support.running import execute, read_jsonl
from tests.support.served_agents import remote

Result = TypeVar("Result")


def go(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(main, 60))


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    file = tmp_path / "tasks.jsonl"
    rows = [{**row(number), "expected": number, "agent_ref": {"name": "theirs"}} for number in range(3)]
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return file


def wanted(url: str, tasks: Any, /, **settings: Any) -> RunConfig:
    options = settings.pop("options", {})
    return run_config(agent=remote(url, **options), input=tasks, **settings)


def test_a_row_goes_out_whole_and_comes_back_with_a_verdict(tasks: Path, tmp_path: Path) -> None:
    async def main() -> None:
        def judged(row: dict[str, Any]) -> Any:
            extra = {"reward_components": {"right": 0.5}, "judge_says": "fine", "expected": "changed"}
            return result(row, 0.5, **extra)

        output = tmp_path / "x.jsonl"
        async with nemo_agent(judged) as agent:
            ended = await execute(wanted(agent.url, tasks, output=output, repeats=2))
            assert ended.statuses() == ["completed"] * 6
            sent = agent.received
        assert sorted((each["_ng_task_index"], each["_ng_rollout_index"]) for each in sent) == [
            (task, repeat) for task in range(3) for repeat in range(2)
        ]
        assert all(each["agent_ref"] == {"name": "theirs"} for each in sent)
        rows = read_jsonl(output)
        assert len(rows) == 6
        first = next(each for each in rows if each["task_id"] == "t0")
        about = first["rollout"]
        assert first["reward"] == 0.5
        assert first["reward_components"] == {"right": 0.5}
        assert about["info"] == {"judge_says": "fine", "expected": "changed"}
        assert first["expected"] == 0  # the row itself stays as it was
        assert "_ng_task_index" not in first
        assert [item["type"] for item in first["response"]["output"]] == [
            "function_call",
            "function_call_output",
            "message",
        ]
        assert about["usage"]["input_tokens"] == first["response"]["usage"]["input_tokens"] == 20
        assert (about["model"], about["env"], about["model_calls"]) == ("their-model", None, [])
        assert ended.summary["reward"]["mean"] == 0.5
        assert ended.summary["usage"]["output_tokens"] == 24
        manifest = orjson.loads((tmp_path / "x.run.json").read_bytes())
        assert "models" not in manifest["settings"]
        assert "env" not in manifest["settings"]
        assert manifest["settings"]["agent"]["component"] == {"protocol": "nemo"}

    go(main())


def test_failures_are_told_by_what_came_back(tasks: Path) -> None:
    answers: dict[str, Any] = {
        "t0": PlainTextResponse("Internal Server Error", 500),
        "t1": JSONResponse({"response": {"output": []}}),
        "t2": JSONResponse({"detail": [{"loc": ["body", "verifier_metadata"], "msg": "Field required"}]}, 422),
    }

    async def main() -> None:
        async with nemo_agent(lambda row: answers[row["task_id"]]) as agent:
            ended = await execute(wanted(agent.url, tasks))
        assert ended.statuses() == ["agent_error"] * 3
        said = {rollout.task_id: (rollout.error or {})["message"] for rollout in ended.rollouts}
        assert "answered 500: Internal Server Error" in said["t0"]
        assert "without a number as `reward`" in said["t1"]
        assert "verifier_metadata" in said["t2"]
        assert ended.error is None

    go(main())


@pytest.mark.parametrize("reward", ["1", True, None])
def test_a_reward_that_is_no_number_is_no_verdict(tasks: Path, reward: Any) -> None:
    async def main() -> None:
        async with nemo_agent(lambda row: JSONResponse(result(row, reward))) as agent:
            ended = await execute(wanted(agent.url, tasks, limit=1))
        assert ended.statuses() == ["agent_error"]

    go(main())


def test_components_that_are_no_numbers_are_the_verifiers_failure(tasks: Path) -> None:
    async def main() -> None:
        async with nemo_agent(lambda row: result(row, reward_components={"right": "yes"})) as agent:
            ended = await execute(wanted(agent.url, tasks, limit=1))
        assert ended.statuses() == ["verifier_error"]

    go(main())


def test_one_that_hangs_is_bounded(tasks: Path) -> None:
    async def main() -> None:
        async def hang(row: dict[str, Any]) -> Any:
            await asyncio.Event().wait()

        async with nemo_agent(hang) as agent:
            ended = await execute(wanted(agent.url, tasks, deadlines=Deadlines(rollout=0.2)))
        assert ended.statuses() == ["timed_out"] * 3

    go(main())


def test_a_run_resumes_and_repeats_itself_from_its_manifest(tasks: Path, tmp_path: Path) -> None:
    async def main() -> None:
        output = tmp_path / "x.jsonl"
        broken = {"t1"}

        def sometimes(row: dict[str, Any]) -> Any:
            return PlainTextResponse("no", 500) if row["task_id"] in broken else result(row)

        async with nemo_agent(sometimes) as agent:
            assert (await execute(wanted(agent.url, tasks, output=output))).statuses().count("agent_error") == 1
            broken.clear()
            ended = await execute(wanted(agent.url, tasks, output=output, mode="resume", retry_failed=True))
            assert ended.statuses() == ["completed"]
            assert ended.summary["rollouts"]["with_verdict"] == 3
            from gym_core.engine.storage.repeating import read_manifest

            read = read_manifest(tmp_path / "x.run.json")
            assert dict(read.models) == {}
            assert "env" not in read.options
            assert read.options["input"] == str(tasks)

    go(main())


def test_what_it_brings_itself_is_refused(tasks: Path) -> None:
    async def main() -> None:
        async with nemo_agent() as agent:
            both = {"models": {"policy": ScriptedModel()}, "env": env()}
            for settings, problem in (
                (both, "--model means nothing"),
                ({"models": both["models"]}, "--model means nothing"),
                ({"env": both["env"]}, "--env means nothing"),
                ({"env_options": {"size": 1}}, "-E is for an environment"),
                ({"max_tokens": 5}, "not limited"),
                ({"max_cost": 5.0}, "not limited"),
            ):
                with pytest.raises(UsageError, match=problem):
                    await execute(wanted(agent.url, tasks, **settings))
            with pytest.raises(UsageError, match="no tasks of its own"):
                await execute(wanted(agent.url, None))
            with pytest.raises(UsageError, match="takes no episodes"):
                await execute(wanted(agent.url, tasks, options={"api": "episodes"}))
            assert agent.received == []

    go(main())


def test_one_that_does_not_describe_itself_is_named_by_an_option(tasks: Path) -> None:
    async def main() -> None:
        async with nemo_agent(openapi=False) as agent:
            ended = await execute(wanted(agent.url, tasks, options={"api": "run"}))
        assert ended.statuses() == ["completed"] * 3

    go(main())


def test_nobody_there_is_said_before_the_run(tasks: Path) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and does not listen
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(UsageError, match="nobody answers"):
                await execute(wanted(url, tasks, options={"api": "run"}))

    go(main())


class Failing(Session[Any]):
    def setup(self) -> None:
        if self.task["expected"] == 1:
            raise KeyError("no world")

    def verify(self, trajectory: Trajectory) -> Verdict:
        if self.task["expected"] == 2:
            raise ValueError("cannot judge")
        return Verdict(0.25, {"part": 0.5}, {"why": "so"})


def test_one_of_ours_can_be_asked_the_same_way_and_says_more(tasks: Path) -> None:
    async def main() -> None:
        async with served_agent(ScriptedModel("done"), env(Failing)) as server:
            ended = await execute(wanted(server.url, tasks, options={"api": "run"}))
        by_task = {rollout.task_id: rollout for rollout in ended.rollouts}
        good = by_task["t0"]
        assert (good.reward, dict(good.reward_components), dict(good.info)) == (0.25, {"part": 0.5}, {"why": "so"})
        assert [each["role"] for each in good.model_calls] == ["policy"]
        assert good.usage.input_tokens == 10
        assert by_task["t1"].status.value == "env_error"
        assert by_task["t2"].status.value == "verifier_error"
        assert "no world" in str(by_task["t1"].error)

    go(main())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequestError("what?", status=400), "model_error"),
        (ContextLengthError("too long", status=400), "truncated"),
        (AuthenticationError("no key", status=401), "cancelled"),
    ],
)
def test_its_model_errors_keep_their_class(tasks: Path, error: Exception, status: str) -> None:
    async def main() -> None:
        async with served_agent(ScriptedModel(error), env()) as server:
            ended = await execute(wanted(server.url, tasks, options={"api": "run"}))
        assert set(ended.statuses()) == {status}
        assert (ended.error is not None) == (status == "cancelled")  # what hits them all stops the run

    go(main())


def test_its_time_limits_are_time_limits(tasks: Path) -> None:
    async def main() -> None:
        async def hang(request: Any, context: Any) -> str:
            await asyncio.Event().wait()
            return ""

        async with served_agent(ScriptedModel(hang), env(), deadlines=Deadlines(rollout=0.2)) as server:
            ended = await execute(wanted(server.url, tasks, limit=1, options={"api": "run"}))
        assert ended.statuses() == ["timed_out"]

    go(main())


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"mask_sample": True, "_ng_failure_class": "judge_failed"}, "verifier_error"),
        ({"_ng_failure_class": "transient", "_ng_failure_stage": "agent"}, "agent_error"),
        ({"instance_config": {"mask_sample": True}}, "verifier_error"),
        ({"error": {"message": "the sandbox is gone"}}, "agent_error"),
    ],
)
def test_a_failure_beside_a_reward_of_0_is_a_failure(tasks: Path, said: dict[str, Any], status: str) -> None:
    async def main() -> None:
        async with nemo_agent(lambda row: result(row, 0.0, **said)) as agent:
            ended = await execute(wanted(agent.url, tasks, limit=1))
        assert ended.statuses() == [status]
        assert ended.summary["reward"]["mean"] is None

    go(main())


def test_the_envelope_of_an_environment_server_is_opened(tasks: Path) -> None:
    async def main() -> None:
        def answer(row: dict[str, Any]) -> Any:
            if row["task_id"] == "t1":
                failure = {"failure_reason": "the container was lost", "terminal": True}
                return {"episode_id": {}, "task_id": {}, "failure": failure}
            made = result({}, 1.0, is_truncated=row["task_id"] == "t2")
            return {"episode_id": {}, "task_id": {}, "result": made}

        async with nemo_agent(answer) as agent:
            ended = await execute(wanted(agent.url, tasks, concurrency=1))
        found = {rollout.task_id: (rollout.status.value, rollout.reward) for rollout in ended.rollouts}
        assert found == {"t0": ("completed", 1.0), "t1": ("agent_error", None), "t2": ("truncated", 1.0)}
        errors = [(rollout.error or {})["message"] for rollout in ended.rollouts if rollout.task_id == "t1"]
        assert "the container was lost" in errors[0]

    go(main())


def test_a_failure_beside_the_result_in_an_envelope_is_one(tasks: Path) -> None:
    async def main() -> None:
        said = {"failure": {"failure_reason": "the container was lost"}}
        async with nemo_agent(lambda row: {"result": result({}, 0.0), **said}) as agent:
            ended = await execute(wanted(agent.url, tasks, limit=1))
        assert ended.statuses() == ["agent_error"]

    go(main())


def test_a_server_that_takes_episodes_is_given_those(tasks: Path) -> None:
    async def main() -> None:
        def answer(asked: dict[str, Any]) -> Any:
            task = asked["task"]
            made = result(task["task_input"], 1.0, n=task["task_input"]["expected"])
            return {"episode_id": asked["episode_id"], "task_id": task["task_id"], "result": made}

        async with nemo_agent(answer, episodes=True) as agent:
            ended = await execute(wanted(agent.url, tasks, repeats=2, concurrency=1))
            assert ended.statuses() == ["completed"] * 6
            last = agent.received[-1]
        assert last["episode_id"] == {"rollout_id": "2-1", "attempt": 0}
        assert last["task"]["task_id"] == {"taskset": "gym", "task_id": "t2"}
        assert set(last["task"]["task_input"]) == {"responses_create_params", "task_id", "expected"}

    go(main())
