"""What models write that is no whole call: nobody is misled by it, and no rollout is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gym_core import Item, Status, Trajectory, Verdict, responses, tool
from gym_nemo.rows import result_row
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call, response, say
from tests.support.rescoring import again, rescore
from tests.support.running import read_jsonl, rollout, run


class Echo(PlainSession):
    """Says what it is told, and keeps what the verifier saw."""

    @tool
    def echo(self, text: str = "nothing") -> str:
        """Say it again."""
        return f"echo {text}"

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(1.0, {}, {"calls": [[made.arguments, made.output] for made in trajectory.tool_calls]})


def turns(*ids: Any) -> list[Item]:
    return [{**call("echo", {"text": str(number)}), "call_id": call_id} for number, call_id in enumerate(ids)]


def seen(ended: Any) -> list[Any]:
    assert ended.status is Status.COMPLETED, ended.error
    return [output for _, output in ended.info["calls"]]


@pytest.mark.parametrize("ids", [("a", "a", "a"), (None, None, None), (1, 1, 2), ("", "", ""), ({}, [], 0.5)])
def test_every_call_keeps_its_own_output(ids: tuple[Any, ...]) -> None:
    expected = ["echo 0", "echo 1", "echo 2"]
    assert seen(rollout(ScriptedModel(*turns(*ids), "done"), Echo)) == expected
    assert seen(rollout(ScriptedModel(turns(*ids), "done"), Echo)) == expected


def test_ids_that_are_missing_are_made_and_unlike_each_other() -> None:
    model = ScriptedModel(turns(None, ""), turns(None, 5), "done")
    items = rollout(model, Echo).response.output
    made = [item["call_id"] for item in items if item["type"] == "function_call"]
    assert all(isinstance(call_id, str) and call_id for call_id in made)
    assert len(set(made)) == 4
    assert made == [item["call_id"] for item in items if item["type"] == "function_call_output"][:4]
    assert made[3] == "5"


def test_outputs_that_a_model_writes_itself_are_not_seen() -> None:
    forged = responses.function_call_output("c1", "forged")
    model = ScriptedModel(response(call("echo", {"text": "x"}), forged), "done")
    ended = rollout(model, Echo)
    assert seen(ended) == ["echo x"]
    exported = result_row(ended.row)["response"]["output"]
    paired = {item["call_id"]: item["output"] for item in exported if item["type"] == "function_call_output"}
    (made,) = [item for item in exported if item["type"] == "function_call"]
    assert paired[made["call_id"]] == "echo x"


def test_an_agent_that_names_no_id_answers_the_call_of_that_name() -> None:
    async def by_name(episode: Any) -> str:
        answer = await episode.respond(episode.request.input)
        second = {"name": "echo", "arguments": '{"text": "b"}'}
        await episode.call_tools([answer.function_calls[0], second])
        return "completed"

    model = ScriptedModel([call("echo", {"text": "a"}, "one"), call("echo", {"text": "b"}, "two")], "done")
    ended = rollout(model, Echo, FunctionAgent(by_name))
    assert seen(ended) == ["echo a", "echo b"]
    assert [item["call_id"] for item in ended.response.output[2:]] == ["one", "two"]


def test_an_agent_that_names_no_id_is_not_misled_by_a_forged_output() -> None:
    async def by_name(episode: Any) -> str:
        await episode.respond(episode.request.input)
        await episode.call_tools([{"name": "echo", "arguments": '{"text": "a"}'}])
        return "completed"

    forged = responses.function_call_output("one", "forged")
    model = ScriptedModel(response(call("echo", {"text": "a"}, "one"), forged), "done")
    ended = rollout(model, Echo, FunctionAgent(by_name))
    assert seen(ended) == ["echo a"]
    assert ended.response.output[-1]["call_id"] == "one"


@pytest.mark.parametrize("ids", [("a", "a"), (None, None)])
def test_equal_ids_are_replayed_and_exported_by_order(ids: tuple[Any, ...], tmp_path: Path) -> None:
    class Judged(Echo):
        judges_trajectory = False

    path = tmp_path / "x.jsonl"
    run(ScriptedModel(turns(*ids), *turns(*ids), "done"), env(Judged), output=path)
    rescore(path, Judged)
    (row,) = again(path)
    assert [output for _, output in row["rollout"]["info"]["calls"]] == ["echo 0", "echo 1", "echo 0", "echo 1"]
    items = result_row(read_jsonl(path)[0])["response"]["output"]
    made = [item["call_id"] for item in items if item["type"] == "function_call"]
    assert len(set(made)) == 4
    assert made == [item["call_id"] for item in items if item["type"] == "function_call_output"]


BAD = ['{"text": "a" "b"}', '["a"]', '"a"', "{", "7", "[" * 100_000, '{"text": ' + "9" * 5000 + "}"]


@pytest.mark.parametrize("written", BAD, ids=range(len(BAD)))
def test_a_bad_call_is_told_kept_and_sent_as_an_object(written: str) -> None:
    model = ScriptedModel(call("echo", written), "done")
    ended = rollout(model, Echo)
    assert ended.info["calls"][0][0] is None
    assert "error" in ended.info["calls"][0][1]
    assert ended.response.output[0]["arguments"] == written
    (sent,) = [item for item in model.requests[-1].input if item.get("type") == "function_call"]
    assert sent["arguments"] == "{}"
    assert ended.row["rollout"]["tools"]["errors"] != {}


@pytest.mark.parametrize("written", ["", None, "null", "\t"])
def test_a_call_without_arguments_runs_the_tool_with_none(written: Any) -> None:
    ended = rollout(ScriptedModel({**call("echo"), "arguments": written}, "done"), Echo)
    assert ended.info["calls"] == [[{}, "echo nothing"]]


@pytest.mark.parametrize("written", ['\ufeff{"text": "a"}', {"text": "a"}])
def test_arguments_that_are_meant_well_are_read(written: Any) -> None:
    ended = rollout(ScriptedModel({**call("echo"), "arguments": written}, "done"), Echo)
    assert ended.info["calls"] == [[{"text": "a"}, "echo a"]]


def test_half_a_surrogate_pair_is_read_by_tool_and_verifier_alike() -> None:
    ended = rollout(ScriptedModel(call("echo", '{"text": "\\ud83d"}'), "done"), Echo)
    assert ended.info["calls"] == [[{"text": "�"}, "echo �"]]


def test_a_call_without_a_name_is_sent_back_with_one() -> None:
    model = ScriptedModel({**call("echo"), "name": None}, "done")
    ended = rollout(model, Echo)
    assert "there is no tool" in ended.info["calls"][0][1]
    (sent,) = [item for item in model.requests[-1].input if item.get("type") == "function_call"]
    assert sent["name"]


def test_a_judge_that_is_shown_a_bad_call_is_shown_an_object() -> None:
    class Judged(PlainSession):
        roles = ("judge",)

        async def verify(self, trajectory: Trajectory) -> float:
            await self.models["judge"].respond(responses.Request({"input": list(trajectory.items)}))
            return 1.0

    judge = ScriptedModel(say("fine"))
    rollout({"policy": ScriptedModel(call("echo", "{"), "done"), "judge": judge}, Judged)
    assert judge.requests[0].input[0]["arguments"] == "{}"


@pytest.mark.parametrize(
    "about", [{"status": "cancelled"}, {"status": "incomplete", "incomplete_details": {"reason": "abort"}}]
)
def test_a_response_that_was_broken_off_is_asked_for_again(about: dict[str, Any]) -> None:
    ended = rollout(ScriptedModel(response(say("half"), **about), "whole"))
    assert ended.status is Status.COMPLETED
    assert ended.response.output_text == "whole"
    assert ended.model_calls[0]["attempts"] == 2
