"""MCP servers as they are met: what is wrong in one tool or one answer costs that alone."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest

import gym_core
from gym_core import ResourceServer, Rollout, Status, Task
from gym_mcp import HTTPServer, MCPSession, StdioServer
from gym_mcp.schemas import object_schema
from gym_testing import ScriptedModel, call
from tests.mcp import quirky_server
from tests.mcp.quirky_server import BAD_SCHEMAS, LINES, RESULTS, SCHEMAS
from tests.support.agents import LoopAgent

SCRIPT = str(Path(quirky_server.__file__))


def play(quirk: str, where: Any = None, **settings: Any) -> tuple[Rollout, list[dict[str, Any]]]:
    """A rollout that calls `add` once, and the tools that its model was shown."""

    class Quirky(MCPSession):
        connect_timeout = 60.0
        call_timeout = 60.0

        def mcp_server(self) -> Any:
            return where or StdioServer(sys.executable, [SCRIPT, quirk])

        def verify(self, trajectory: Any) -> float:
            return 1.0

    class Server(ResourceServer):
        session_type = type("Chosen", (Quirky,), settings)

        def tasks(self) -> Any:
            return [Task.ask("Add.")]

    model = ScriptedModel(call("add"), "Done.")

    async def main() -> list[Rollout]:
        return [rollout async for rollout in gym_core.collect(model=model, env=Server(), agent=LoopAgent())]

    (rollout,) = asyncio.run(asyncio.wait_for(main(), 120))
    return rollout, model.requests[0].body.get("tools", []) if model.requests else []


def output(rollout: Rollout) -> Any:
    (found,) = [item["output"] for item in rollout.response.output if item["type"] == "function_call_output"]
    return found


def names(tools: list[dict[str, Any]]) -> list[str]:
    return [tool["name"] for tool in tools]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_of_another_form_is_offered_as_an_object(schema: str) -> None:
    rollout, tools = play(schema)
    assert output(rollout) == "added"
    parameters = {tool["name"]: tool["parameters"] for tool in tools}["other"]
    assert parameters["type"] == "object"
    assert isinstance(parameters["properties"], dict)
    assert not {"anyOf", "$ref"} & parameters.keys()
    if schema in ("untyped", "referring", "choosing", "of another draft"):
        assert "by" in parameters["properties"]
    if schema == "choosing":
        assert parameters["required"] == ["by"]
        assert set(parameters["properties"]) == {"a", "b", "by"}


def test_keywords_of_other_drafts_cost_themselves_alone() -> None:
    schema = object_schema(SCHEMAS["of another draft"])
    assert schema == {
        "type": "object",
        "properties": {
            "by": {"type": "integer", "default": {"$ref": "#/none"}},
            "a": {"type": "array", "items": {"type": "array", "minItems": 1}},
            "b": {"type": "string"},
            "c": {"$ref": "#/$defs/A%20c"},
            "d": {"$ref": "#/$defs/A c/anyOf/1"},
        },
        "$defs": {"A c": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
    }


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_a_tool_with_a_schema_that_cannot_be_used_is_left_out_and_named_once(
    schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "gym"):
        rollout, tools = play(schema)
        play(schema)
    assert (names(tools), output(rollout)) == (["add"], "added")
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert "`other`" in told[0]
    assert "input schema" in told[0]


def test_a_tool_that_is_left_out_cannot_be_chosen() -> None:
    rollout, _ = play("array", tool_names=("add", "other"))
    assert rollout.status is Status.ENV_ERROR
    assert "`other` of the MCP server cannot be offered: its input schema is of type 'array'" in str(rollout.error)


def test_a_schema_of_any_depth_is_read_or_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"type": "object", "properties": {"a": deep}}
    with pytest.raises(ValueError, match="input schema"):
        object_schema(deep)


@pytest.mark.parametrize(
    ("quirk", "offered"),
    [
        ("empty cursor", ["add"]),
        ("empty cursor to a page", ["add", "other"]),
        ("empty cursor that is refused", ["add"]),
        ("same cursor", ["add"]),
        ("two cursors in turn", ["add", "other"]),
        ("empty pages", ["add"]),
        ("cursor as a number", ["add", "other"]),
        ("same name", ["add", "other"]),
        ("same name to models", ["a_b", "add"]),
        ("nameless", ["add"]),
        ("described by a list", ["add"]),
        ("banner", ["add"]),
        ("bare greeting", ["add"]),
        ("talkative", ["add"]),
    ],
)
def test_the_tools_that_can_be_offered_are(quirk: str, offered: list[str]) -> None:
    rollout, tools = play(quirk)
    assert names(tools) == offered
    assert output(rollout) == "added"


def test_long_names_that_begin_alike_stay_apart() -> None:
    _, tools = play("long names")
    assert len(set(names(tools))) == 3
    assert all(len(name) <= 64 for name in names(tools))


def test_a_server_that_knows_no_tools_has_none() -> None:
    rollout, tools = play("no tools")
    assert (rollout.status, tools) == (Status.COMPLETED, [])


OUTPUTS: dict[str, Any] = {
    **dict.fromkeys(("null", "no content", "null content", "a block without text"), ""),
    **dict.fromkeys(("a list", "text content", "a block that is text", "not what its schema says"), "added"),
    "an unknown block": '{"type":"hologram","data":"x"}',
    "an image without a type": '{"type":"image","data":"AAAA"}',
    "a number as text": "42",
    "structured": '{"n":1}',
    "a structured list": "[1,2]",
    "NaN": "null",
    "half a pair": "a\ufffd",
    "not UTF-8": "a\ufffd",
    "id as text": "added",
    "no version": "added",
}


@pytest.mark.parametrize("quirk", OUTPUTS)
def test_a_result_of_another_form_is_read(quirk: str) -> None:
    rollout, _ = play(quirk)
    assert rollout.status is Status.COMPLETED, rollout.error
    assert output(rollout) == OUTPUTS[quirk]


@pytest.mark.parametrize("quirk", ["error as text", "an error as text", "an error with a code as text"])
def test_an_error_of_another_form_is_told_to_the_model(quirk: str) -> None:
    rollout, _ = play(quirk)
    assert rollout.status is Status.COMPLETED, rollout.error
    assert orjson.loads(output(rollout))["error"]
    assert ("no" if quirk == "error as text" else "out of ink") in output(rollout)


def test_every_quirk_has_an_expectation() -> None:
    assert {*OUTPUTS, "error as text", "an error as text", "an error with a code as text"} == {*RESULTS, *LINES}


@contextmanager
def over_http(answers: dict[str, str]) -> Iterator[str]:
    """A server that answers each method with a text of its own, in which `%s` is the request's id."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: Any) -> None: ...

        def do_POST(self) -> None:
            message = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = answers.get(message["method"], '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}')
            body = (text % message["id"]).encode() if "id" in message else b""
            self.send_response(200 if body else 202)
            streams = b"data:" in body
            self.send_header("Content-Type", "text/event-stream" if streams else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_DELETE = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/mcp"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("result", "said"), [("null", ""), ('{"content": ["a\\ud83d"]}', "a\ufffd"), ('{"content": [{"type": "x"}]}', None)]
)
@pytest.mark.parametrize("frame", ["%s", "data: %s\n\n", "\ufeffevent: response\r\ndata:%s\r\n"])
def test_the_same_over_http(frame: str, result: str, said: str | None) -> None:
    answers = {
        "initialize": '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18"}}',
        "tools/list": '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"add"},{"name":"bad","inputSchema":[]}]}}',
        "tools/call": frame % ('{"jsonrpc":"2.0","id":%s,"result":' + result + "}"),
    }
    with over_http(answers) as url:
        rollout, tools = play("over http", url)
    assert rollout.status is Status.COMPLETED, rollout.error
    assert names(tools) == ["add"]
    assert output(rollout) == ('{"type":"x"}' if said is None else said)


@pytest.mark.parametrize("frame", ["%s", "data: %s\n\n"], ids=["whole", "as an event"])
def test_an_answer_is_read_as_far_as_is_allowed(frame: str) -> None:
    answer = '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' + "x" * (2 << 20) + '"}]}}'
    answers = {
        "initialize": '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18"}}',
        "tools/list": '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"add"}]}}',
        "tools/call": frame.replace("%s", answer),
    }
    with over_http(answers) as url:
        rollout, _ = play("", HTTPServer(url, max_reply_mb=1))
        assert rollout.status is Status.ENV_ERROR
        assert ("exceeded the 1048576 byte limit" if "data" in frame else "longer than 1 MB") in str(rollout.error)
        rollout, _ = play("", HTTPServer(url, max_reply_mb=3))
        assert rollout.error is None
        assert len(output(rollout)) == 2 << 20
