"""A resource server of NeMo Gym as the environment of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from gym_core import ModelBackend, Rollout, UsageError
from gym_http.serve.listener import Listener
from tests.support.agents import LoopAgent
from tests.support.models import ScriptedModel, call, say
from tests.support.nemo_server import SCHEMA, CounterServer, row
from tests.support.running import Ended, config, execute
from tests.support.served_envs import in_loop


def collect(
    server: CounterServer,
    *turns: Any,
    rows: Sequence[dict[str, Any]] = (),
    model: ModelBackend | None = None,
    **more: Any,
) -> Ended:
    """A run of a scripted model over a server of its own."""

    async def main() -> Ended:
        async with Listener(server.app()) as listener:
            wanted = config(model or ScriptedModel(*turns), listener.url, LoopAgent(), tasks=rows or [row()], **more)
            return await execute(wanted)

    return in_loop(main)


def outputs(rollout: Rollout) -> list[Any]:
    return [item["output"] for item in rollout.response.output if item.get("type") == "function_call_output"]


def test_a_rollout_with_tools_is_verified_there() -> None:
    server = CounterServer()
    ended = collect(server, call("increment", {"by": 3}), call("increment", {"by": 4}), say("It is 10."))
    (rollout,) = ended.rollouts
    assert rollout.status == "completed"
    assert outputs(rollout) == ['{"count":6}', '{"count":10}']
    assert rollout.reward == 1.0
    assert rollout.reward_components == {"exact": 1.0, "close": 1.0}
    assert rollout.info["final_count"] == 10
    assert "responses_create_params" not in rollout.info
    assert [path for path, _ in server.seen] == ["/seed_session", "/increment", "/increment", "/verify"]
    sent = {**row(), "_ng_task_index": 0, "_ng_rollout_index": 0}
    assert server.seen[0][1] == sent, "the row is sent whole, with its place and its repeat"
    assert "_ng_task_index" not in rollout.row, "and stays as it was here"


def test_a_server_that_describes_nothing_is_taken_for_one() -> None:
    (rollout,) = collect(CounterServer(described=False), call("increment", {"by": 7}), say("Done.")).rollouts
    assert rollout.reward == 1.0


def test_tools_that_a_server_lists_over_mcp_are_offered_where_the_row_has_none() -> None:
    server, plain = CounterServer(mcp=True), row()
    del plain["responses_create_params"]["tools"]
    model = ScriptedModel(call("increment", {"by": 7}), say("Done."))
    (rollout,) = collect(server, model=model, rows=[plain]).rollouts
    assert (rollout.status, rollout.reward, outputs(rollout)) == ("completed", 1.0, ['{"count":10}'])
    assert [path for path, _ in server.seen] == ["/seed_session", "/mcp", "/increment", "/verify"]
    (offered,) = model.requests[0].tools
    assert (offered["name"], offered["parameters"]) == ("increment", SCHEMA["parameters"])


def test_a_row_with_tools_is_not_offered_others() -> None:
    server = CounterServer(mcp=True)
    (rollout,) = collect(server, call("increment", {"by": 7}), say("Done.")).rollouts
    assert (rollout.reward, "/mcp" in dict(server.seen)) == (1.0, False)


OPTIONAL: dict[str, Any] = {"requestBody": {"content": {}}}


@pytest.mark.parametrize("last", [say("Done."), RuntimeError("the model is down")])
def test_a_session_is_closed_where_the_server_closes_those_of_cookies(last: Any) -> None:
    server = CounterServer(closing=OPTIONAL)
    collect(server, call("increment", {"by": 7}), last)
    assert server.seen[-1] == ("/close_session", {})
    assert not server.sessions


@pytest.mark.parametrize("closing", [None, {"requestBody": {"required": True}}])
def test_a_server_that_closes_by_an_id_alone_is_not_asked_to(closing: dict[str, Any] | None) -> None:
    server = CounterServer(closing=closing)
    (rollout,) = collect(server, call("increment", {"by": 7}), say("Done.")).rollouts
    assert (rollout.reward, server.seen[-1][0]) == (1.0, "/verify")


def test_what_the_server_says_to_a_bad_call_is_the_answer_to_the_model() -> None:
    ended = collect(CounterServer(), call("increment", {"by": "7"}), call("increment", "{by"), say("I give up."))
    (rollout,) = ended.rollouts
    refused, unreadable = outputs(rollout)
    assert orjson.loads(refused)["detail"][0]["loc"] == ["body", "by"]
    assert "not valid JSON" in unreadable
    assert (rollout.status, rollout.reward) == ("completed", 0.0)
    assert rollout.row["rollout"]["tools"] == {"calls": 2, "errors": {"bad_json": 1}}


def test_a_tool_the_row_does_not_offer_is_not_sent() -> None:
    server = CounterServer()
    (rollout,) = collect(server, call("forget"), say("Oh.")).rollouts
    assert "there is no tool `forget`" in outputs(rollout)[0]
    assert "/forget" not in [path for path, _ in server.seen]


@pytest.mark.parametrize("name", ["verify", "seed_session", "aggregate_metrics"])
def test_a_tool_with_the_name_of_a_route_is_refused_before_anything_is_asked(name: str) -> None:
    server = CounterServer()
    wrong = row()
    wrong["responses_create_params"]["tools"] = [{"type": "function", "name": name, "parameters": {}}]
    (rollout,) = collect(server, say("Hm."), rows=[wrong]).rollouts
    assert rollout.status == "env_error"
    assert name in (rollout.error or {})["message"]
    assert server.seen == []


def test_what_could_not_be_measured_is_no_reward_of_zero() -> None:
    (rollout,) = collect(CounterServer(), say("Done."), rows=[row(broken=True)]).rollouts
    assert rollout.status == "verifier_error"
    assert rollout.reward is None
    assert "the sandbox was lost" in (rollout.error or {})["message"]


@pytest.mark.parametrize(
    "said",
    [{"_ng_failure_class": "judge_failed", "mask_sample": False}, {"reward": None}, {"reward": "0"}, {"reward": False}],
)
def test_a_failure_that_another_version_says_otherwise_is_one(said: dict[str, Any]) -> None:
    (rollout,) = collect(CounterServer(), say("Done."), rows=[row(said=said)]).rollouts
    assert (rollout.status.value, rollout.reward) == ("verifier_error", None)


def test_a_row_of_an_earlier_failure_is_measured_afresh() -> None:
    rows = [row(start=3, target=3, _ng_failure_class="transient", mask_sample=True)]
    server = CounterServer()
    (rollout,) = collect(server, say("Done."), rows=rows).rollouts
    assert (rollout.status.value, rollout.reward) == ("completed", 1.0)
    assert not any("_ng_failure_class" in body for _, body in server.seen)


def test_sessions_do_not_mix() -> None:
    rows = [row(number, start=number, target=number + 7) for number in range(40)]
    turns = (call("increment", {"by": 3}), call("increment", {"by": 4}), say("Done."))
    ended = collect(CounterServer(), rows=rows, model=ScriptedModel(*turns), repeats=2, concurrency=16)
    assert [rollout.reward for rollout in ended.rollouts] == [1.0] * 80
    assert sorted({rollout.info["final_count"] for rollout in ended.rollouts}) == list(range(7, 47))


def test_a_session_that_the_server_forgot_fails_its_own_rollout() -> None:
    server = CounterServer()
    rows = [row(0), row(1)]
    rows[0]["responses_create_params"]["tools"] = [{"type": "function", "name": "forget", "parameters": {}}]
    ended = collect(server, call("forget"), say("Done."), rows=rows, concurrency=1)
    assert sorted(ended.statuses()) == ["completed", "verifier_error"]


def test_without_tasks_of_its_own_it_asks_for_some() -> None:
    async def main() -> None:
        async with Listener(CounterServer().app()) as listener:
            await execute(config(ScriptedModel(), listener.url))

    with pytest.raises(UsageError, match="ships no tasks") as caught:
        in_loop(main)
    assert "--input" in caught.value.hint


def test_its_datasets_load_unchanged_with_repeats_and_resume(tmp_path: Path, short_folder: Path) -> None:
    """Rows of its own collector bring indices of theirs; a run numbers its rollouts itself, and keeps the fields."""
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    rows = [row(number, _ng_task_index=number, _ng_rollout_index=0, target=7 + 3) for number in range(3)]
    data.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in rows))
    server = CounterServer()
    turns = (call("increment", {"by": 7}), say("Done."))

    def go(limit: int, mode: str) -> Ended:
        async def main() -> Ended:
            async with Listener(server.app(), uds=folder / "s") as listener:
                settings: Any = {"input": data, "output": out, "limit": limit, "repeats": 2, "mode": mode}
                return await execute(config(ScriptedModel(*turns), listener.url, LoopAgent(), **settings))

        return in_loop(main)

    folder = short_folder
    assert len(go(2, "new").rollouts) == 4
    assert len(go(3, "resume").rollouts) == 2
    written = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert sorted((each["task_id"], each["rollout"]["repeat"]) for each in written) == [
        (task, repeat) for task in "123" for repeat in (0, 1)
    ]
    for each in written:
        original = rows[int(each["task_id"]) - 1]
        assert {name: each[name] for name in original} == original


def test_tools_in_the_form_of_chat_and_equal_ids_are_what_it_knows() -> None:
    server = CounterServer()
    flat = row()
    (schema,) = flat["responses_create_params"]["tools"]
    function = {name: value for name, value in schema.items() if name != "type"}
    nested = {
        **flat,
        "responses_create_params": {
            **flat["responses_create_params"],
            "tools": [{"type": "function", "function": function}],
        },
    }
    same = [call("increment", {"by": by}, "same") for by in (3, 4)]
    (rollout,) = collect(server, *same, say("Done."), rows=[nested]).rollouts
    assert rollout.reward == 1.0, rollout.error
    sent = [body for path, body in server.seen if path in ("/seed_session", "/verify")]
    assert all(body["responses_create_params"] == flat["responses_create_params"] for body in sent)
    assert rollout.row["responses_create_params"] == nested["responses_create_params"], "the row stays as it was"
    items = sent[-1]["response"]["output"]
    made = [item["call_id"] for item in items if item["type"] == "function_call"]
    assert len(set(made)) == 2
    assert made == [item["call_id"] for item in items if item["type"] == "function_call_output"]
