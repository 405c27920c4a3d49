"""Programs as agents: processes of their own that know a base URL, a key and the URL of an MCP server, and no gym."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from gym_core import (
    Agent,
    CompletedTask,
    Done,
    Endpoint,
    Episode,
    ResourceServer,
    Rollout,
    Runner,
    RunnerContext,
    Session,
    Stop,
    StopReason,
    Task,
    Trajectory,
    Verdict,
    tool,
)
from gym_core.errors import SessionError
from gym_core.responses import item_text
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute

Result = TypeVar("Result")

PROGRAM = """
import asyncio, json, os, sys
import httpx2, openai
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main():
    bearer = {"Authorization": "Bearer " + os.environ["TOOLS_TOKEN"]}
    async with httpx2.AsyncClient(headers=bearer) as http:
        transport = streamable_http_client(os.environ["TOOLS_URL"], http_client=http)
        async with Client(transport) as tools, openai.AsyncOpenAI() as model:
            offered = [{"type": "function", "name": tool.name, "parameters": tool.input_schema}
                       for tool in (await tools.list_tools()).tools]
            items = [{"role": "user", "content": sys.argv[1]}]
            while True:
                response = await model.responses.create(model="any", input=items, tools=offered)
                items += [item.model_dump(exclude_none=True) for item in response.output]
                calls = [item for item in response.output if item.type == "function_call"]
                if not calls:
                    return
                for call in calls:
                    result = await tools.call_tool(call.name, json.loads(call.arguments))
                    text = "".join(block.text for block in result.content)
                    items.append({"type": "function_call_output", "call_id": call.call_id, "output": text})

asyncio.run(main())
"""


def go(main: Coroutine[Any, Any, Result]) -> Result:
    return asyncio.run(asyncio.wait_for(main, 120))


class Counting(Session[Any]):
    """Adds up. Its tools also do what tools should not."""

    waiting: asyncio.Event
    cancelled: asyncio.Event

    def setup(self) -> None:
        self.total = 0

    @tool
    def add(self, number: int) -> str:
        """Add to the total.

        Args:
            number: How much.
        """
        self.total += number
        return str(self.total)

    @tool
    def leave(self) -> Done:
        """End the episode."""
        return Done("Gone.", reason="left")

    @tool
    def collapse(self) -> str:
        """Fail as an environment."""
        raise SessionError("the disk is full")

    @tool
    async def wait(self) -> str:
        """Wait for ever."""
        type(self).waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            type(self).cancelled.set()
        return ""

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(float(self.total))


class Program(Agent):
    """Starts a program for each rollout."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    async def run(self, episode: Episode) -> Stop:
        async with episode.endpoint() as endpoint:
            tools = {"TOOLS_URL": endpoint.mcp_url, "TOOLS_TOKEN": endpoint.token}
            question = item_text(episode.request.input[-1])
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(self.path), question, env={**os.environ, **endpoint.variables, **tools}
            )
            try:
                assert await process.wait() == 0
            finally:
                if process.returncode is None:
                    process.kill()
        return Stop(StopReason.COMPLETED)


@pytest.mark.slow
def test_a_program_asks_the_model_and_calls_tools_over_mcp(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    model = ScriptedModel(call("add", {"number": 2}, "c1"), call("add", {"number": 3}, "c2"), "5")
    ended = go(execute(config(model, env(Counting, 2), Program(program), concurrency=2)))
    assert ended.statuses() == ["completed"] * 2
    for rollout in ended.rollouts:
        assert rollout.reward == 5.0
        kinds = [item.get("type", "message") for item in rollout.response.output]
        assert kinds == ["function_call", "function_call_output"] * 2 + ["message"]
        assert rollout.row["rollout"]["tools"] == {"calls": 2, "errors": {}}
        assert rollout.usage.input_tokens == 30


Use = Callable[[Client, Endpoint], Awaitable[Any]]


def over_mcp(use: Use, model: Any = None) -> Rollout:
    """A rollout whose agent has the session's tools over MCP."""
    failed: list[BaseException] = []

    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as endpoint, client(endpoint) as tools:
            try:
                await use(tools, endpoint)
            except BaseException as error:
                failed.append(error)
                raise
        return "completed"

    async def main() -> Rollout:
        Counting.waiting, Counting.cancelled = asyncio.Event(), asyncio.Event()
        (rollout,) = (await execute(config(model, env(Counting), FunctionAgent(agent)))).rollouts
        return rollout

    rollout = go(main())
    if failed and isinstance(failed[0], AssertionError):
        raise failed[0]
    return rollout


@asynccontextmanager
async def client(endpoint: Endpoint) -> Any:
    headers = {"Authorization": f"Bearer {endpoint.token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(endpoint.mcp_url, http_client=http), cache=None) as tools,
    ):
        yield tools


def test_tools_over_mcp_are_those_of_the_session() -> None:
    async def use(tools: Client, endpoint: Endpoint) -> None:
        listed = {each.name: each for each in (await tools.list_tools()).tools}
        assert set(listed) == {"add", "leave", "collapse", "wait"}
        assert listed["add"].description == "Add to the total."
        assert listed["add"].input_schema["properties"]["number"]["type"] == "integer"
        result = await tools.call_tool("add", {"number": 4})
        assert [block.text for block in result.content] == ["4"]  # type: ignore[union-attr]
        for name, words in (("add", "required"), ("verify", "there is no tool `verify`")):
            said = (await tools.call_tool(name, {})).content[0].text  # type: ignore[union-attr]
            assert words in said

    rollout = over_mcp(use)
    assert (rollout.status, rollout.reward) == ("completed", 4.0)
    assert rollout.row["rollout"]["tools"]["calls"] == 3


def test_a_failure_of_the_environment_is_no_answer_of_a_tool() -> None:
    async def use(tools: Client, endpoint: Endpoint) -> None:
        with pytest.raises(MCPError, match="the disk is full"):
            await tools.call_tool("collapse", {})

    rollout = over_mcp(use)
    assert (rollout.status, rollout.error and rollout.error["phase"]) == ("env_error", "tool")


def test_a_session_that_ends_the_episode_ends_it_for_a_program() -> None:
    async def use(tools: Client, endpoint: Endpoint) -> None:
        await tools.call_tool("leave", {})
        status, answer = await post(f"{endpoint.base_url}/responses", endpoint.token, {"input": "Go on?"})
        assert (status, answer["error"]["code"]) == (409, "episode_over")

    rollout = over_mcp(use)
    assert (rollout.stop_reason, len(rollout.model_calls)) == ("left", 0)


def test_what_is_under_way_when_the_block_is_left_is_cancelled() -> None:
    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as endpoint:
            headers = {"Authorization": f"Bearer {endpoint.token}"}
            body = {"name": "wait", "arguments": {}}
            request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body}
            accept = {"Accept": "application/json, text/event-stream"}
            asking = asyncio.create_task(_post(endpoint.mcp_url, {**headers, **accept}, request))
            await Counting.waiting.wait()
        assert Counting.cancelled.is_set()
        assert "this rollout is over" in str(await asking)
        return "completed"

    async def main() -> None:
        Counting.waiting, Counting.cancelled = asyncio.Event(), asyncio.Event()
        (rollout,) = (await execute(config(None, env(Counting), FunctionAgent(agent)))).rollouts
        assert rollout.status == "completed", rollout.error

    go(main())


async def post(url: str, token: str, body: Any) -> tuple[int, Any]:
    return await _post(url, {"Authorization": f"Bearer {token}"}, body)


async def _post(url: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.post(url, json=body, headers=headers) as reply:
        return reply.status, json.loads(await reply.text())


def test_two_models_at_once_are_two_calls() -> None:
    async def main() -> None:
        both = asyncio.Barrier(2)

        async def meet(request: Any, context: Any) -> str:
            await both.wait()
            return "met"

        async def agent(episode: Episode) -> str:
            async with episode.endpoint() as endpoint:
                bodies: list[Any] = [{"input": "one"}, {"input": "two"}]
                answers = await asyncio.gather(
                    *(post(f"{endpoint.base_url}/responses", endpoint.token, body) for body in bodies)
                )
            assert [status for status, _ in answers] == [200, 200]
            return "completed"

        (rollout,) = (await execute(config(ScriptedModel(meet), env(), FunctionAgent(agent)))).rollouts
        assert rollout.status == "completed", rollout.error
        assert len(rollout.model_calls) == 2

    go(main())


def test_an_endpoint_may_be_that_of_another_actor() -> None:
    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as main, episode.endpoint("helper") as helper:
            for url, token, named, wanted in (
                (main.base_url, main.token, {}, 200),
                (helper.base_url, helper.token, {}, 200),
                (helper.base_url, helper.token, {"Gym-Actor": "h%C3%A9lper%20two"}, 200),
                (helper.base_url, main.token, {}, 401),
            ):
                headers = {"Authorization": f"Bearer {token}", **named}
                status, _ = await _post(f"{url}/responses", headers, {"input": "Well?"})
                assert status == wanted
        return "completed"

    (rollout,) = go(execute(config(None, env(), FunctionAgent(agent)))).rollouts
    assert rollout.status == "completed", rollout.error
    assert [each["actor"] for each in rollout.model_calls] == ["policy", "helper", "h\u00e9lper two"]


def test_a_program_that_goes_on_hurts_no_other_rollout() -> None:
    """It keeps the URL of its rollout and asks on: it is refused, and the next rollout is as if it were not there."""
    kept: list[Endpoint] = []
    answers: list[int] = []

    async def agent(episode: Episode) -> str:
        async with episode.endpoint() as endpoint:
            kept.append(endpoint)
            for old in kept[:-1]:
                for url, token in ((old.base_url, old.token), (endpoint.base_url, old.token)):
                    status, _ = await post(f"{url}/responses", token, {"input": "Still there?"})
                    answers.append(status)
            status, _ = await post(f"{endpoint.base_url}/responses", endpoint.token, {"input": "Mine."})
            assert status == 200
        return "completed"

    ended = go(execute(config(None, env(PlainSession, 3), FunctionAgent(agent), concurrency=1)))
    assert ended.statuses() == ["completed"] * 3
    assert answers == [404, 401] * 3
    assert [len(rollout.model_calls) for rollout in ended.rollouts] == [1, 1, 1]


def test_a_runner_lends_a_model_to_a_program() -> None:
    class Lends(Runner):
        async def run(self, task: Task, context: RunnerContext) -> CompletedTask:
            async with context.endpoint() as endpoint:
                assert endpoint.session_url == ""
                status, answer = await post(f"{endpoint.base_url}/responses", endpoint.token, {"input": "What?"})
            assert status == 200
            return CompletedTask(Verdict(float(answer["output"][0]["content"][0]["text"] == "so")), "completed")

    class Bare(ResourceServer):
        session_type = PlainSession

    (rollout,) = go(execute(config(ScriptedModel("so"), Bare(), Lends(), tasks=[ask()]))).rollouts
    assert (rollout.status, rollout.reward, len(rollout.model_calls)) == ("completed", 1.0, 1)
