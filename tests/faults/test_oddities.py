"""Replies that are unusual and still have to come through, and first looks that say little."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gym_core import UsageError
from gym_testing import FakeOpenAI, Received, Reply, answer, call, faults, refuse, say, think
from tests.support.endpoints import config, execute, work
from tests.support.loop import asynchronous
from tests.support.running import read_jsonl

UNKNOWN = {"type": "telepathy", "id": "t_1", "waves": [1, 2.5, {"deep": None}], "text": "\u00fc\u2028\U0001f600"}
ODD_CALL = {**call("add", a=1, b=2), "confidence": 0.25, "namespace": {"of": "tools"}}


@asynchronous
async def test_unknown_items_and_fields_survive_and_go_back(tmp_path: Path) -> None:
    thought = {**think("Hm.", ident="rs_9"), "encrypted_content": "gAAAA=="}
    async with FakeOpenAI([UNKNOWN, thought, ODD_CALL], "done") as server:
        await execute(config(server, output=tmp_path / "x.jsonl"))
    (row,) = read_jsonl(tmp_path / "x.jsonl")
    assert row["response"]["output"][:3] == [UNKNOWN, thought, ODD_CALL]
    sent_back = server.received[1].body["input"]
    asked = server.received[0].body["input"]
    assert sent_back[: len(asked)] == asked
    assert sent_back[len(asked) : len(asked) + 3] == [UNKNOWN, thought, ODD_CALL]


@asynchronous
async def test_unknown_fields_of_a_completion_survive_and_go_back(tmp_path: Path) -> None:
    function = {"name": "add", "arguments": '{"a":1, "b":2}'}
    odd = {"id": "call_7", "type": "function", "function": function, "extra_content": {"signature": "s=="}}
    message = {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [odd], "mood": {"is": 1}}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
    }
    async with FakeOpenAI(Reply(completion), "done") as server:
        ended = await execute(config(server, api="chat", output=tmp_path / "x.jsonl"))
    assert ended.statuses == {"t0": "completed"}
    (sent_back,) = [message for message in server.received[1].body["messages"] if message["role"] == "assistant"]
    assert sent_back["tool_calls"] == [odd]
    assert sent_back["reasoning_content"] == "Hm."
    assert sent_back["mood"] == {"is": 1}


@asynchronous
async def test_a_huge_answer_comes_through(transport: str, tmp_path: Path) -> None:
    size = 20_000_000
    async with FakeOpenAI(answer("x" * size, call("add", a=1, b=2)), "done") as server:
        await execute(config(server, transport=transport, output=tmp_path / "x.jsonl"))
    (row,) = read_jsonl(tmp_path / "x.jsonl")
    assert len(row["response"]["output"][0]["content"][0]["text"]) == size
    assert len(server.received[1].data) > size  # and went back


@asynchronous
async def test_a_huge_error_does_not_fill_the_results(tmp_path: Path) -> None:
    async with FakeOpenAI(work, faults.bad_request("No. " * 1_000_000)) as server:
        await execute(config(server, output=tmp_path / "x.jsonl"))
    assert (tmp_path / "x.failures.jsonl").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("reply", "stop_reason", "status"),
    [
        (answer(think("Hm.")), None, "completed"),
        (answer(), None, "completed"),
        (answer(refuse("I will not.")), None, "completed"),
        (answer(say("So far"), incomplete="max_output_tokens"), "max_output_tokens", "truncated"),
        (answer(say("So far"), incomplete="content_filter"), "content_filter", "completed"),
    ],
    ids=["reasoning only", "nothing", "refusal", "cut off", "filtered"],
)
@asynchronous
async def test_answers_that_are_none_end_the_rollout_with_a_verdict(
    reply: Reply, stop_reason: str | None, status: str, api: str
) -> None:
    async with FakeOpenAI(work, reply) as server:
        ended = await execute(config(server, api=api))
    (rollout,) = ended.rollouts
    assert rollout.status.value == status
    assert rollout.reward == 1.0
    assert len(server.received) == 2
    if stop_reason is not None:
        assert rollout.row["rollout"]["stop_reason"] == stop_reason


@asynchronous
async def test_calls_that_no_tool_can_take_are_answered(api: str) -> None:
    calls = [call("add", "{oops", call_id="a"), call("fly", call_id="b"), call("add", a="x", b=[], call_id="c")]
    async with FakeOpenAI(calls, call("add", a=1, b=2), "done") as server:
        ended = await execute(config(server, api=api))
    (rollout,) = ended.rollouts
    assert rollout.reward == 1.0
    assert len(server.received[1].tool_outputs) == 3
    assert sum(rollout.row["rollout"]["tools"]["errors"].values()) == 3


@asynchronous
async def test_a_model_that_never_answers_in_time_fails_its_rollout(transport: str) -> None:
    async with FakeOpenAI(faults.hang()) as server:
        ended = await execute(config(server, transport=transport, options={"request_timeout": 0.1}))
        await server.wait_cancelled(3)
    assert ended.statuses == {"t0": "model_error"}
    (rollout,) = ended.rollouts
    assert rollout.error is not None
    assert rollout.error["class"] == "ModelTimeoutError"
    assert len(server.received) == 3


@asynchronous
async def test_the_number_of_retries_can_be_set() -> None:
    async with FakeOpenAI(faults.server_error(500)) as server:
        ended = await execute(config(server, options={"max_retries": 2}))
    assert ended.statuses == {"t0": "model_error"}
    assert len(server.received) == 3


@asynchronous
async def test_a_connection_that_is_closed_behind_a_reply_costs_nothing(transport: str) -> None:
    def turn(request: Received) -> Reply:
        return faults.drop_after(answer("done") if request.tool_outputs else answer(call("add", a=1, b=2)))

    async with FakeOpenAI(turn) as server:
        ended = await execute(config(server, transport=transport, tasks=20, concurrency=2))
    assert set(ended.statuses.values()) == {"completed"}


@pytest.mark.parametrize(
    "listing",
    [faults.error(404), faults.server_error(500), faults.wrong_shape(), faults.broken_json(), faults.drop_before(),
     faults.drop_inside(), faults.wrong_key(403), faults.html(502), Reply({"data": [{"id": "other"}]})],
    ids=repr,
)  # fmt: skip
@asynchronous
async def test_a_first_look_that_tells_nothing_is_a_warning(listing: Reply) -> None:
    async with FakeOpenAI(work) as server:
        server.models_reply = listing
        ended = await execute(config(server))
    assert ended.statuses == {"t0": "completed"}
    assert len(ended.run.notices) == 1


@pytest.mark.parametrize("listing", [faults.wrong_key(), faults.html(200)], ids=repr)
@asynchronous
async def test_a_first_look_that_shows_that_nothing_will_work_is_an_error(listing: Reply, tmp_path: Path) -> None:
    async with FakeOpenAI(work) as server:
        server.models_reply = listing
        with pytest.raises(UsageError):
            await execute(config(server, output=tmp_path / "x.jsonl"))
    assert not server.received
    assert os.listdir(tmp_path) == []
