"""A served model through OpenAI's client: the Responses API, whole and streamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gym_core import CallContext, Request, Response, Tokens
from gym_http.remote.model import RemoteModel
from gym_testing import answer, call, refuse, say, think
from tests.serve.serving import ModelServer, served_model
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel, response

LOGPROBS = [{"token": "hi", "bytes": [104, 105], "logprob": -0.25, "top_logprobs": []}]
TOKENS = {"prompt_token_ids": [1, 2], "generation_token_ids": [7], "generation_log_probs": [-0.25]}
SUMMARY = {"type": "reasoning", "id": "rs_9", "summary": [{"type": "summary_text", "text": "in short"}]}
SAID = {"type": "output_text", "text": "hi", "annotations": [], "logprobs": LOGPROBS}
MEASURED = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [SAID], **TOKENS}
CUSTOM = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "c",
    "name": "sql",
    "input": "SELECT 1",
    "status": "completed",
}
NOTE = {"type": "url_citation", "url": "http://x", "title": "x", "start_index": 0, "end_index": 1}
CITING = {**MEASURED, "content": [{**SAID, "logprobs": [], "annotations": [NOTE]}]}


async def events(server: ModelServer, **request: Any) -> list[dict[str, Any]]:
    """The events of a stream, each checked against the client's own types."""
    from openai.types.responses import ResponseStreamEvent
    from pydantic import TypeAdapter

    kinds: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    stream = await server.client.responses.create(model="any", input="hello", stream=True, **request)
    found = [event.model_dump(mode="json", exclude_unset=True, by_alias=True) async for event in stream]
    for event in found:
        kinds.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


@asynchronous
async def test_an_answer_comes_whole() -> None:
    items = [think("hm"), say("hello"), call("get_weather", city="Oslo")]
    async with served_model(ScriptedModel(response(*items, model="smol"))) as server:
        tool: Any = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}
        found = await server.client.responses.create(model="any", input="hello", tools=[tool])
        body = found.model_dump(mode="json", exclude_unset=True, by_alias=True)
        assert body["output"] == items
        assert (found.output_text, found.status, found.model) == ("hello", "completed", "smol")
        assert found.usage is not None
        assert found.usage.total_tokens == 12
        assert found.usage.input_tokens_details.cached_tokens == 4
        assert body["tools"] == [tool]
        assert type(found).model_validate(body)


@asynchronous
async def test_a_bare_answer_is_made_whole() -> None:
    item = {"role": "assistant", "content": "hello"}
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    backend = ScriptedModel(response(item, called, usage=None, id=None, model=None))
    async with served_model(backend) as server:
        found = await server.client.responses.create(model="any", input="hello")
        assert found.output_text == "hello"
        assert found.model == "scripted"
        assert found.usage is None
        assert type(found).model_validate(found.model_dump(mode="json", exclude_unset=True))
        assert len({found.id, *(item.id for item in found.output)}) == 3
        assert [event["type"] for event in await events(server)][-1] == "response.completed"


@asynchronous
async def test_what_was_measured_is_kept() -> None:
    async with served_model(ScriptedModel(response(MEASURED))) as server:
        _, body = await server.post("/v1/responses", {"input": "hello"})
        assert body["output"] == [MEASURED]
        *_, last = await events(server)
        assert last["response"]["output"] == [MEASURED]


@pytest.mark.parametrize(
    "items",
    [
        [say("hello")],
        [think("hm"), say("hello"), call("f", x=1), call("g", call_id="call_2")],
        [SUMMARY, refuse("no")],
        [CUSTOM],
        [MEASURED],
        [CITING],
        [],
    ],
    ids=["text", "calls", "refusal", "custom", "measured", "citing", "empty"],
)
@asynchronous
async def test_a_stream_ends_in_the_same_answer(items: list[dict[str, Any]]) -> None:
    async with served_model(ScriptedModel(response(*items))) as server:
        found = await events(server)
        assert [event["type"] for event in found[:2]] == ["response.created", "response.in_progress"]
        assert found[0]["response"]["output"] == []
        assert found[-1]["type"] == "response.completed"
        assert found[-1]["response"]["output"] == items
        assert found[-1]["response"]["usage"]["total_tokens"] == 12
        done = [event["item"] for event in found if event["type"] == "response.output_item.done"]
        assert done == items
        assert pieced_together(found) == [without_measurements(item) for item in items]


@asynchronous
async def test_the_clients_own_stream_reader_agrees() -> None:
    items = [think("hm"), say("hello"), call("f", x=1)]
    async with (
        served_model(ScriptedModel(response(*items))) as server,
        server.client.responses.stream(model="any", input="hello") as stream,
    ):
        async for _ in stream:
            pass
        final = await stream.get_final_response()
        assert final.output_text == "hello"
        assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]


@asynchronous
async def test_an_answer_that_was_cut_says_so() -> None:
    async with served_model(ScriptedModel(answer("hel", incomplete="max_output_tokens"))) as server:
        found = await server.client.responses.create(model="any", input="hello")
        assert found.status == "incomplete"
        assert found.incomplete_details is not None
        assert found.incomplete_details.reason == "max_output_tokens"
        *_, last = await events(server)
        assert last["type"] == "response.incomplete"


@asynchronous
async def test_the_backend_gets_the_request() -> None:
    backend = ScriptedModel("one")
    async with served_model(backend) as server:
        fields = {"instructions": "Be brief.", "temperature": 0.5, "shoe_size": 43, "seed": 7}
        body = {"input": "hello", "model": "any", "stream": False, "top_p": None, **fields}
        status, _ = await server.post("/v1/responses", body, headers={"Gym-Rollout": "a%2Fb%20c/3"})
        assert status == 200
        sent = dict(backend.requests[0].body)
        assert sent.pop("input") == [{"type": "message", "role": "user", "content": "hello"}]
        assert sent == {"instructions": "Be brief.", "temperature": 0.5, "shoe_size": 43}
        assert backend.contexts[0].seed == 7
        assert backend.contexts[0].key == ("a/b c", 3)
        await server.post("/v1/responses", {"input": "hello"})
        await server.post("/v1/responses", {"input": "hello"}, headers={"Gym-Rollout": "a/-1"})
        assert len({context.key for context in backend.contexts}) == 3


@asynchronous
async def test_the_model_is_listed() -> None:
    async with served_model(ScriptedModel(name="smol")) as server:
        listed = [model async for model in server.client.models.list()]
        assert [model.id for model in listed] == ["smol"]
        assert (await server.client.models.retrieve("smol")).id == "smol"


def pieced_together(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items as a client collects them: from what was added, and the deltas."""
    items: list[dict[str, Any]] = []
    for event in found:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            items.append(dict(event["item"]))
            continue
        if "output_index" not in event:
            continue
        item = items[event["output_index"]]
        if kind == "content_part.added":
            item["content"].append(dict(event["part"]))
        elif kind == "reasoning_summary_part.added":
            item["summary"].append(dict(event["part"]))
        elif kind == "reasoning_summary_text.delta":
            item["summary"][event["summary_index"]]["text"] += event["delta"]
        elif kind in ("output_text.delta", "reasoning_text.delta"):
            item["content"][event["content_index"]]["text"] += event["delta"]
        elif kind == "refusal.delta":
            item["content"][event["content_index"]]["refusal"] += event["delta"]
        elif kind == "output_text.annotation.added":
            item["content"][event["content_index"]]["annotations"].append(event["annotation"])
        elif kind == "function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "custom_tool_call_input.delta":
            item["input"] += event["delta"]
        elif kind == "output_item.done" and "status" in item:
            item["status"] = event["item"]["status"]
    return items


def without_measurements(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without what only comes with the finished one."""
    kept = {name: value for name, value in item.items() if name not in TOKENS}
    if isinstance(kept.get("content"), list):
        kept["content"] = [
            {name: value for name, value in part.items() if name != "logprobs"} for part in kept["content"]
        ]
    return kept


@asynchronous
async def test_tokens_are_said_at_the_top_and_taken_there_by_gym() -> None:
    """Whoever serves a model records nothing: the tokens of its calls belong to the caller's rollout."""
    tokens = Tokens([1, 2], [7], [-0.25], version="17")
    async with served_model(ScriptedModel(Response(response(say("hi")).body, tokens))) as server:
        status, body = await server.post("/v1/responses", {"input": "hello"})
        assert status == 200
        assert body["prompt_token_ids"] == [1, 2]
        assert body["weight_version"] == "17"
        assert not TOKENS.keys() & body["output"][-1].keys()
        async with RemoteModel(RemoteModel.Options.model_validate({"url": server.url})) as model:
            found = await model.respond(Request.ask("hello"), CallContext())
        assert found.tokens == tokens
        assert not TOKENS.keys() & found.body.keys()
        status, completion = await server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
        assert status == 200
        assert completion["choices"][0]["message"]["generation_token_ids"] == [7]
        assert completion["weight_version"] == "17"
