"""What a gateway offers to agents and environments in any language: URLs, tokens, OpenAI's dialects, errors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
import openai
import pytest

from gym_core import (
    AgentInfo,
    Endpoint,
    Episode,
    Item,
    ResourceServer,
    Rollout,
    Session,
    SessionContext,
    Task,
    Trajectory,
    UsageError,
    tool,
)
from gym_core.errors import ContextLengthError
from gym_core.spi import OpenSession, open_run, run_config
from gym_http.gateway.server import GatewayServer
from gym_local_model.backend import LocalModel, LocalModelOptions
from gym_testing import IsolatedPlugins
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute
from tests.support.served_agents import timeless
from tests.support.tokens import TokenModel

Result = TypeVar("Result")
SECRET = "the hidden answer"
REASONING: Item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def go(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(main, 60))


class Adding(Session[Any]):
    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def verify(self, trajectory: Trajectory) -> float:
        return float(SECRET in self.task["answer"])


TASKS = [{"task_id": "t", "responses_create_params": {"input": "Task 0."}, "answer": SECRET}]

Work = Callable[[Endpoint, dict[str, Any], Episode], Awaitable[Any]]


async def offered(work: Work, model: Any = None, tasks: Any = None, session: type[Session[Any]] = Adding) -> Rollout:
    """One rollout whose agent is `work`, outside of the process as far as it knows."""

    raised: list[BaseException] = []

    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as endpoint:
            try:
                await work(endpoint, places_of(endpoint), episode)
            except BaseException as error:
                raised.append(error)
                raise
        return "completed"

    ended = await execute(config(model, env(session, tasks or TASKS), FunctionAgent(agent)))
    if raised:
        raise raised[0]
    (rollout,) = ended.rollouts
    return rollout


def places_of(endpoint: Endpoint) -> dict[str, Any]:
    """What a program is told."""
    return {
        "model": {"base_url": endpoint.base_url, "token": endpoint.token},
        "session": {"url": endpoint.session_url, "token": endpoint.token},
    }


def sdk(places: dict[str, Any]) -> openai.AsyncOpenAI:
    """OpenAI's client as an agent in any language would have it, retries included."""
    return openai.AsyncOpenAI(base_url=places["model"]["base_url"], api_key=places["model"]["token"])


async def post(url: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json=body if body is not None else {}, headers=headers) as r,
    ):
        return r.status, await r.json()


def scripted() -> ScriptedModel:
    return ScriptedModel([REASONING, call("add", {"a": 1, "b": 2})], [call("add", {"a": 1}, "c2")], "3")


async def in_process(model: Any) -> Rollout:
    ended = await execute(config(model, env(Adding, TASKS), LoopAgent()))
    return ended.rollouts[0]


def without_params(row: dict[str, Any]) -> dict[str, Any]:
    stripped = timeless(row)
    for each in stripped["rollout"]["model_calls"]:
        each.pop("sampling", None)
    return {**stripped, "rollout": {**stripped["rollout"], "stop_reason": None}}


@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_over_the_sdk_leaves_the_row_of_one_in_process(streamed: bool) -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        tools: Any = list(episode.tools)
        async with sdk(places) as client:
            items: list[Any] = list(episode.request.input)
            while True:
                if streamed:
                    async with client.responses.stream(model="any", input=items, tools=tools) as events:
                        response = await events.get_final_response()
                else:
                    response = await client.responses.create(model="any", input=items, tools=tools)  # type: ignore[assignment]
                items += [item.model_dump() for item in response.output]
                calls = [item for item in response.output if item.type == "function_call"]
                if not calls:
                    return
                for each in calls:
                    body = {"arguments": each.arguments, "call_id": each.call_id}
                    session = places["session"]
                    status, answer = await post(f"{session['url']}/tools/{each.name}", session["token"], body)
                    assert status == 200
                    items.append({"type": "function_call_output", "call_id": each.call_id, "output": answer["output"]})

    async def main() -> None:
        rollout = await offered(work, scripted())
        assert without_params(rollout.row) == without_params((await in_process(scripted())).row)
        assert all("sampling" not in each for each in rollout.model_calls)
        assert "items" not in rollout.row["rollout"]

    go(main())


@pytest.mark.parametrize("dialect", ["responses", "chat/completions"])
def test_fields_that_only_some_servers_know_are_passed_on(dialect: str) -> None:
    model = scripted()

    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        asked = [{"role": "user", "content": "Task 0."}]
        body = {"model": "any", "input": asked} if dialect == "responses" else {"model": "any", "messages": asked}
        url, token = f"{places['model']['base_url']}/{dialect}", places["model"]["token"]
        status, _ = await post(url, token, {**body, "temperature": 0.5, "top_k": 20, "extra": {"x": 1}})
        assert status == 200

    async def main() -> None:
        await offered(work, model)
        sent = model.requests[0].body
        assert (sent["temperature"], sent["top_k"], sent["extra"]) == (0.5, 20, {"x": 1})
        assert "model" not in sent

    go(main())


@pytest.mark.parametrize("streamed", [False, True])
def test_an_agent_over_chat_completions_does_too(streamed: bool) -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        tools: Any = [
            {"type": "function", "function": {name: value for name, value in each.items() if name != "type"}}
            for each in episode.tools
        ]
        messages: list[Any] = [{"role": "user", "content": "Task 0."}]
        session = places["session"]
        async with sdk(places) as client:
            while True:
                if streamed:
                    async with client.chat.completions.stream(model="x", messages=messages, tools=tools) as events:
                        completion: Any = await events.get_final_completion()
                else:
                    completion = await client.chat.completions.create(model="x", messages=messages, tools=tools)
                message = completion.choices[0].message
                messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
                if not message.tool_calls:
                    return
                for each in message.tool_calls:
                    body = {"arguments": each.function.arguments, "call_id": each.id}
                    _, answer = await post(f"{session['url']}/tools/{each.function.name}", session["token"], body)
                    messages.append({"role": "tool", "tool_call_id": each.id, "content": answer["output"]})

    async def main() -> None:
        rollout = await offered(work, scripted())
        assert without_params(rollout.row) == without_params((await in_process(scripted())).row)

    go(main())


def test_a_token_opens_its_own_rollout_and_nothing_else() -> None:
    seen: list[str] = []

    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        token, base = endpoint.token, endpoint.base_url.removesuffix("/v1")
        root = base.rpartition("/")[0]
        async with episode.endpoint() as other:
            for url, given, wanted in (
                (f"{base}/v1/responses", None, 401),
                (f"{base}/v1/responses", "guess", 401),
                (f"{base}/v1/responses", "gu\u00e9ss", 401),
                (f"{base}/v1/responses", other.token, 401),
                (f"{base}/session/reply", other.token, 401),
                (f"{base}/mcp", other.token, 401),
                (f"{other.base_url}/responses", token, 401),
                (f"{root}/another/v1/responses", token, 404),
                (f"{root}/another/mcp", token, 404),
                (f"{root}/", token, 404),
                (f"{base}/verify", token, 404),
                (f"{base}/session/verify", token, 404),
                (f"{base}/session", token, 404),
                (f"{base}/session/reply/x", token, 404),
                (f"{base}/v1/models", token, 404),
                (f"{base}/v1/chat/completions/x", token, 404),
            ):
                status, answer = await post(url, given, {"input": "hello"})
                assert (status, url) == (wanted, url)
                seen.append(str(answer))
        async with aiohttp.ClientSession() as http, http.get(endpoint.base_url) as reply:
            assert reply.status == 405
        seen.append(str(places))

    async def main() -> None:
        rollout = await offered(work)
        assert rollout.reward == 1.0
        assert not rollout.model_calls, "what was refused is not recorded"
        assert SECRET not in "".join(seen)

    go(main())


def test_a_rollout_that_is_over_has_no_urls() -> None:
    kept: list[Endpoint] = []
    tried: list[int] = []

    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as endpoint:
            if kept:  # the first rollout's are gone, while the gateway goes on
                for place in (f"{kept[0].base_url}/responses", f"{kept[0].session_url}/reply", kept[0].mcp_url):
                    status, answer = await post(place, kept[0].token, {"input": ""})
                    assert "under way" in answer["error"]["message"]
                    tried.append(status)
            kept.append(endpoint)
        return "completed"

    async def main() -> None:
        ended = await execute(config(None, env(PlainSession, 2), FunctionAgent(agent), concurrency=1))
        assert ended.statuses() == ["completed"] * 2
        assert tried == [404] * 3

    go(main())


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("model/responses", {}, "input"),
        ("model/responses", {"input": 5}, "input"),
        ("model/responses", [], "body"),
        ("model/chat/completions", {"messages": "x"}, "messages"),
        ("session/calls", {"calls": {}}, "calls"),
        ("session/calls", {"calls": [1]}, "calls.0"),
        ("session/reply", {"response": 1}, "response"),
        ("session/reply", {"response": {"output": 1}}, "response.output"),
    ],
)
def test_bodies_that_are_wrong_are_named(path: str, body: Any, field: str) -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        part, _, rest = path.partition("/")
        place = places[part]
        status, answer = await post(f"{place.get('base_url') or place['url']}/{rest}", place["token"], body)
        assert status == 422
        assert answer["error"]["field"] == field
        assert "ref" not in answer["error"]

    go(offered(work))


def test_calls_of_one_response_are_answered_in_their_order() -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        session = places["session"]
        calls = [call("add", {"a": 1, "b": number}, f"c{number}") for number in range(3)] + [call("none", {}, "d")]
        status, answer = await post(f"{session['url']}/calls", session["token"], {"calls": calls})
        assert status == 200
        assert [output["call_id"] for output in answer["outputs"]] == ["c0", "c1", "c2", "d"]
        assert [output["output"] for output in answer["outputs"]][:3] == ["1", "2", "3"]
        assert "there is no tool" in answer["outputs"][3]["output"]
        status, answer = await post(f"{session['url']}/tools/odd%2Fname%3F", session["token"], {"arguments": {}})
        assert status == 200
        assert "there is no tool `odd/name?`" in answer["output"]

    async def main() -> None:
        rollout = await offered(work)
        assert rollout.row["rollout"]["tools"] == {"calls": 5, "errors": {"unknown_tool": 2}}

    go(main())


def test_the_sdk_does_not_repeat_what_the_run_has_tried() -> None:
    model = ScriptedModel(ContextLengthError("too long", status=400))

    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        async with sdk(places) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.responses.create(model="any", input="hello")
        assert caught.value.response.headers["x-should-retry"] == "false"
        answer: Any = caught.value.response.json()
        assert answer["error"]["class"] == "ContextLengthError"
        assert isinstance(endpoint.recall(answer), ContextLengthError)
        assert endpoint.recall({"error": {"ref": "another"}}) is None
        assert endpoint.recall("nothing") is None

    async def main() -> None:
        await offered(work, model)
        assert len(model.requests) == 1

    go(main())


def test_a_client_that_leaves_cancels_its_call() -> None:
    async def main() -> None:
        asked, cancelled = asyncio.Event(), asyncio.Event()

        async def never(request: Any, context: Any) -> str:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return ""

        async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
            model = places["model"]
            asking = asyncio.create_task(post(f"{model['base_url']}/responses", model["token"], {"input": "x"}))
            await asked.wait()
            asking.cancel()
            await cancelled.wait()

        assert (await offered(work, ScriptedModel(never))).status == "completed"

    go(main())


def test_a_session_offers_its_judge_to_programs() -> None:
    """What runs elsewhere asks the judge, and the rollout here records it."""

    class Judging(ResourceServer):
        def open_session(self, task: Task, context: SessionContext) -> Any:
            return OpenSession(Judged(task, self, context))

    class Judged(Session[Any]):
        roles = ("judge",)

        async def verify(self, trajectory: Trajectory) -> float:
            async with self.endpoint("judge") as judge, self.endpoint() as policy:
                assert judge.session_url == ""
                with pytest.raises(UsageError, match="no tools"):
                    _ = judge.mcp_url
                body = {"input": "Good?", "temperature": 0}
                status, answer = await post(f"{judge.base_url}/responses", judge.token, body)
                assert status == 200
                for url, token, wanted in (
                    (f"{policy.base_url}/responses", judge.token, 401),
                    (f"{judge.base_url}/responses", "guess", 401),
                    (f"{judge.base_url.removesuffix('/v1')}/session/reply", judge.token, 404),
                    (f"{judge.base_url.removesuffix('/v1')}/mcp", judge.token, 404),
                ):
                    assert (await post(url, token, body))[0] == wanted
                status, said = await post(
                    f"{judge.base_url}/chat/completions",
                    judge.token,
                    {"messages": [{"role": "user", "content": "Sure?"}]},
                )
                assert said["choices"][0]["message"]["content"] == "0.5"
                assert (await post(f"{judge.base_url}/responses", judge.token, {}))[0] == 422
            return float(answer["output"][0]["content"][0]["text"])

    async def main() -> None:
        models = {"policy": ScriptedModel(), "judge": ScriptedModel("0.5")}
        ended = await execute(config(models, Judging(), LoopAgent(), tasks=[Task(TASKS[0])]))
        (rollout,) = ended.rollouts
        assert rollout.reward == 0.5
        judged = [each for each in rollout.model_calls if each["role"] == "judge"]
        items = [*rollout.trajectory.input, *rollout.trajectory.items, *rollout.trajectory.others]
        assert [items[each["shown"][0][0]]["content"] for each in judged] == ["Good?", "Sure?"]
        assert judged[0]["sampling"] == {"temperature": 0}

    go(main())


def test_a_gateway_may_be_reached_by_another_url() -> None:
    async def main() -> None:
        async with GatewayServer(url="https://gym.example/here/") as gateway:
            assert gateway.url == "https://gym.example/here"

    go(main())


@pytest.mark.parametrize(
    ("options", "host", "problem"),
    [
        ({}, "agents.example", "could not reach the gateway on 127.0.0.1"),
        ({"url": "http://localhost:1"}, "10.0.0.5", "could not reach the gateway on localhost"),
        ({"host": "0.0.0.0"}, "localhost", "has no URL"),
    ],
)
def test_a_gateway_that_programs_could_not_reach_is_refused(options: dict[str, Any], host: str, problem: str) -> None:
    class From(FunctionAgent):
        def describe(self) -> AgentInfo:
            return AgentInfo(calls_from=host)

    with pytest.raises(UsageError, match=problem) as raised:
        go(execute(config(None, env(), From(idle), gateway_options=options)))
    assert "-G " in raised.value.hint


def test_nothing_is_opened_for_agents_that_ask_for_nothing() -> None:
    class From(FunctionAgent):
        def describe(self) -> AgentInfo:
            return AgentInfo(calls_from="localhost")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = {"gateway_options": {"port": taken.getsockname()[1]}}
        assert go(execute(config(None, env(), FunctionAgent(idle), **port))).statuses() == ["completed"]
        with pytest.raises(UsageError, match=r"the gateway: 127\.0\.0\.1:\d+ cannot be served on"):
            go(execute(config(None, env(), From(idle), **port)))


async def idle(episode: Episode) -> str:
    return "completed"


def test_without_a_gateway_a_program_is_told_what_to_install(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins.alone()

    async def agent(episode: Episode) -> str:
        async with episode.endpoint():
            return "completed"

    async def main() -> None:
        (rollout,) = (await execute(config(None, env(), FunctionAgent(agent)))).rollouts
        assert rollout.status == "agent_error"
        assert "no gateway named 'http' is installed" in (rollout.error or {})["message"]

    go(main())


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": {"a": 1}, "content": "x"},
        {"type": "function_call_output", "call_id": ["c"], "output": "x"},
        {"type": True},
        {"type": "function_call", "name": {}, "arguments": 2**70},
    ],
)
def test_an_item_that_is_none_is_refused_and_does_not_poison_the_rollout(item: dict[str, Any]) -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        model, session = places["model"], places["session"]
        for url, token, body in (
            (f"{model['base_url']}/responses", model["token"], {"input": [item]}),
            (f"{session['url']}/calls", session["token"], {"calls": [item]}),
            (f"{session['url']}/reply", session["token"], {"response": {"output": [item]}}),
        ):
            status, answer = await post(url, token, body)
            assert (status, answer["error"]["code"]) == (422, "invalid")
            assert answer["error"]["param"].split(".")[-1] in item
        status, _ = await post(f"{model['base_url']}/responses", model["token"], {"input": "Task 0."})
        assert status == 200

    go(offered(work, ScriptedModel("fine")))


def test_numbers_of_any_size_pass_through() -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        model = places["model"]
        item = {"type": "message", "role": "user", "content": [{"type": "input_image", "seed": 2**70}]}
        status, _ = await post(f"{model['base_url']}/responses", model["token"], {"input": [item]})
        assert status == 200

    go(offered(work, ScriptedModel("fine")))


def test_a_page_opens_nothing_of_a_gateway() -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        url = f"{places['model']['base_url']}/responses"
        async with aiohttp.ClientSession(headers={"Origin": "http://127.0.0.1:1"}) as http:
            async with http.post(url, data=b'{"input": "x"}', headers={"Content-Type": "text/plain"}) as reply:
                assert reply.status == 401
            async with http.options(url, headers={"Access-Control-Request-Method": "POST"}) as reply:
                assert reply.status == 405
                assert not any(name.lower().startswith("access-control-") for name in reply.headers)

    go(offered(work, ScriptedModel("fine")))


def test_exact_tokens_of_a_programs_calls_are_recorded_and_not_told_to_it() -> None:
    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        items: list[Any] = list(episode.request.input)
        messages: list[Any] = [{"role": "user", "content": "Go on."}]
        async with sdk(places) as client:
            said = await client.responses.create(model="any", input=items)
            again = [*items, *(item.model_dump(exclude_unset=True) for item in said.output), *messages]
            more = await client.responses.create(model="any", input=again)
            chat = await client.chat.completions.create(model="any", messages=messages)
        for answer in (said, more, chat):
            assert not any(name in answer.model_dump_json() for name in ("token_ids", "generation_log_probs"))

    model = TokenModel("x y")
    found = asyncio.run(asyncio.wait_for(offered(work, model), 30))
    assert [made["tokens"]["continues"] for made in found.model_calls] == [None, 0, 1]
    assert [sequence.calls for sequence in found.sequences(tries="all")] == [(0, 1), (2,)]
    for sequence in found.sequences():
        prompt, sampled, _ = model.seen[sequence.calls[-1]]
        assert [*sequence.ids] == prompt + sampled


@pytest.mark.slow
def test_exact_tokens_of_a_real_model_reach_the_record_through_a_gateway() -> None:
    said: list[str] = []

    async def work(endpoint: Endpoint, places: dict[str, Any], episode: Episode) -> None:
        messages: list[Any] = [{"role": "user", "content": "Say yes."}]
        async with sdk(places) as client:
            for _ in range(2):
                answer = await client.chat.completions.create(model="any", messages=messages)
                assert "token_ids" not in answer.model_dump_json()
                said.append(answer.choices[0].message.content or "")
                messages += [{"role": "assistant", "content": said[-1]}, {"role": "user", "content": "Again."}]

    async def through() -> Rollout:
        options = {"tokens": True, "tools": "native", "context_size": 1024, "max_output_tokens": 40}
        async with LocalModel(LocalModelOptions.model_validate(options)) as model:
            return await offered(work, model)

    found = asyncio.run(asyncio.wait_for(through(), 120))
    assert len(said) == 2
    (sequence,) = found.sequences()
    assert sequence.calls == (0, 1)
    first, second = (made["tokens"] for made in found.model_calls)
    assert second["kept"] == len(first["prompt"]) + len(first["sampled"])
    trained = [number for number, mask in zip(sequence.ids, sequence.mask, strict=True) if mask]
    assert trained == [*first["sampled"], *second["sampled"]]
    assert found.row["rollout"].get("token_breaks", 0) == 0


def test_one_port_for_several_workers_is_refused_before_the_run() -> None:
    wanted = run_config(models={"policy": "openai:m"}, env="simple_weather", gateway_options={"port": 8123}, workers=4)

    async def main() -> None:
        async with open_run(wanted):
            pass

    with pytest.raises(UsageError) as caught:
        asyncio.run(main())
    assert caught.value.message == "-G port=8123 is one port, and each of the 4 workers has a gateway of its own"
    assert "--workers 1" in caught.value.hint
