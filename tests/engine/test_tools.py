"""Calls of the model and what answers them."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import BaseModel

from gym_core import Done, Session, Status, Task, tool
from gym_core.contract.tools import tool_spec
from tests.support.envs import PlainSession, ask
from tests.support.models import ScriptedModel, call
from tests.support.running import rollout


class Point(BaseModel):
    x: int


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


class Calculator(PlainSession):
    @tool
    def add(self, a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    @tool
    async def later(self, a: int) -> int:
        """Say a number, later."""
        await asyncio.sleep(0)
        return a

    @tool(blocking=True)
    def thread(self) -> str:
        """Say where it runs."""
        return threading.current_thread().name

    @tool
    def crash(self) -> str:
        """Fail."""
        raise RuntimeError("out of order")

    @tool
    def finish(self) -> Done:
        """End it."""
        return Done("goodbye", reason="finished")


def answers(*calls: dict[str, Any], session: type[Session[Any]] = Calculator, **params: Any) -> tuple[list[Any], Any]:
    """The outputs the model sees for these calls, and the row's account of tools."""
    model = ScriptedModel(list(calls), "done")
    ended = rollout(model, session, task=Task.ask("Go.", task_id="t", params=params))
    assert ended.status is Status.COMPLETED, ended.error
    return model.outputs(), ended.row["rollout"]["tools"]


def test_plain_async_and_blocking_tools_answer() -> None:
    outputs, tools = answers(call("add", {"a": 1, "b": 2}), call("later", {"a": 5}, "c2"), call("thread", None, "c3"))
    assert outputs[:2] == ["3", "5"]
    assert outputs[2].startswith("gym-blocking")
    assert tools == {"calls": 3, "errors": {}}


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        (call("add", '{"a": 1, '), "bad_json", "not valid JSON"),
        (call("add", {"a": 1}), "bad_arguments", "b: Field required"),
        (call("add", {"a": 1, "b": "two"}), "bad_arguments", "b: "),
        (call("add", {"a": 1, "b": 2, "c": 3}), "bad_arguments", "c: "),
        (call("divide", {"a": 1}), "unknown_tool", "add, later, thread"),
        (call("crash"), "raised", "RuntimeError: out of order"),
        ({"type": "function_call", "call_id": "c1"}, "unknown_tool", "there is no tool"),
        ({"type": "function_call", "call_id": "c1", "name": "add", "arguments": None}, "bad_arguments", "arguments"),
    ],
)
def test_a_bad_call_is_answered_to_the_model_and_counted(bad: dict[str, Any], kind: str, words: str) -> None:
    (output,), tools = answers(bad)
    assert words in orjson.loads(output)["error"]
    assert tools == {"calls": 1, "errors": {kind: 1}}


def test_errors_of_one_response_are_counted_by_kind_and_the_good_call_is_answered() -> None:
    outputs, tools = answers(
        call("crash"), call("add", {"a": 1, "b": 1}, "c2"), call("x", {}, "c3"), call("y", {}, "c4")
    )
    assert outputs[1] == "2"
    assert tools == {"calls": 4, "errors": {"raised": 1, "unknown_tool": 2}}


def test_the_output_repeats_the_id_of_the_call() -> None:
    model = ScriptedModel(
        [call("add", {"a": 1, "b": 2}, "abc"), {**call("add", {"a": 1, "b": 2}), "call_id": None, "id": "i"}]
    )
    model.script = (*model.script, "done")
    ended = rollout(model, Calculator)
    outputs = [item for item in ended.response.output if item["type"] == "function_call_output"]
    assert [item["call_id"] for item in outputs] == ["abc", "i"]


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("text", "text"),
        ("", ""),
        (None, ""),
        (3, "3"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([], "[]"),
        (Point(x=1), '{"x":1}'),
        ([{"type": "input_text", "text": "seen"}], [{"type": "input_text", "text": "seen"}]),
        (os.fsdecode(b"caf\xe9.txt"), "caf\ufffd.txt"),
        (({"type": "input_text", "text": "seen"},), [{"type": "input_text", "text": "seen"}]),
        ([{"type": "input_text", "text": "\udcff"}], [{"type": "input_text", "text": "\ufffd"}]),
        ({"path": PurePosixPath("/a"), "at": {2, 1}}, '{"path":"/a","at":[1,2]}'),
        ([Point(x=1), {"p": Point(x=2)}], '[{"x":1},{"p":{"x":2}}]'),
        (Point.model_construct(x=2**70), '{"x":1180591620717411303424}'),
        (Point.model_construct(x="\ud800"), '{"x":"\ufffd"}'),
        (Decimal("1.50"), '"1.50"'),
        (np.float32(0.5), "0.5"),
        (np.array(True), "true"),
        ({1: [np.nan, 2**64]}, '{"1":[null,18446744073709551616]}'),
        ((n for n in (1, {2})), "[1,[2]]"),
        (b"caf\xc3\xa9", '"café"'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_tool_returns_becomes_text_or_content_parts(result: Any, output: Any) -> None:
    class Returning(PlainSession):
        @tool
        def it(self) -> Any:
            """It."""
            return result

    assert answers(call("it"), session=Returning)[0] == [output]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (object(), "object has no JSON form"),
        ({"a": {frozenset(): print}}, "builtin_function_or_method has no JSON form"),
        (b"\xff", "bytes that are not UTF-8"),
        (10**5000, "more than 4300 digits"),
        (cyclic(), "nests deeper than can be written"),
        (itertools.count(), "a count that gives more than 1000000 values"),
        (Done(object()), "object has no JSON form"),
    ],
    ids=["object", "function", "bytes", "endless integer", "cycle", "without end", "done"],
)
def test_a_result_that_is_no_json_is_the_tools_error(result: Any, why: str) -> None:
    class Returning(PlainSession):
        @tool
        def it(self) -> Any:
            """It."""
            return result

    (output,), tools = answers(call("it"), session=Returning)
    assert why in orjson.loads(output)["error"]
    assert tools["errors"] == {"raised": 1}


def test_what_a_tool_raises_may_be_no_text() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    class Raising(PlainSession):
        @tool
        def name(self) -> str:
            """A file's."""
            raise FileNotFoundError(os.fsdecode(b"caf\xe9.txt"))

        @tool
        def wordless(self) -> str:
            """None."""
            raise Odd

    outputs, tools = answers(call("name"), call("wordless", None, "c2"), session=Raising)
    assert [orjson.loads(output)["error"].partition(":")[0] for output in outputs] == ["FileNotFoundError", "Odd"]
    assert tools["errors"] == {"raised": 2}


def test_a_tool_ends_the_session_and_the_model_is_asked_no_more() -> None:
    model = ScriptedModel(call("finish"), "never")
    ended = rollout(model, Calculator)
    assert ended.stop_reason == "finished"
    assert ended.status is Status.COMPLETED
    assert ended.reward == 1.0
    assert len(model.requests) == 1
    assert ended.response.output[-1] == {"type": "function_call_output", "call_id": "c1", "output": "goodbye"}


class Reason(StrEnum):
    WON = "won"


def ending(reason: Any) -> type[Session[Any]]:
    class Ending(PlainSession):
        @tool
        def end(self) -> Done:
            """End it."""
            return Done("bye", reason)

    return Ending


@pytest.mark.parametrize(
    ("reason", "recorded"),
    [(Reason.WON, "won"), (np.str_("won"), "won"), (None, "session_done"), ("", "session_done"), ("\ud800", "\ufffd")],
    ids=["enum", "numpy", "none", "empty", "no text"],
)
def test_the_reason_of_an_end_is_plain_text(reason: Any, recorded: str) -> None:
    ended = rollout(ScriptedModel(call("end"), "never"), ending(reason))
    assert (ended.stop_reason, type(ended.stop_reason)) == (recorded, str)


@pytest.mark.parametrize("reason", [["won"], 5, b"won"], ids=["list", "number", "bytes"])
def test_an_end_whose_reason_is_no_text_is_the_tools_error(reason: Any) -> None:
    ended = rollout(ScriptedModel(call("end"), "done"), ending(reason))
    assert (ended.status, ended.stop_reason) == (Status.COMPLETED, "completed")
    assert "the reason of Done must be text" in ended.response.output[1]["output"]


def test_calls_after_the_one_that_ends_the_session_are_still_answered_in_order() -> None:
    model = ScriptedModel([call("finish"), call("add", {"a": 1, "b": 1}, "c2")])
    ended = rollout(model, Calculator)
    outputs = [item["call_id"] for item in ended.response.output if item["type"] == "function_call_output"]
    assert outputs == ["c1", "c2"]


def test_the_model_is_offered_the_sessions_tools() -> None:
    model = ScriptedModel()
    rollout(model, Calculator)
    assert [shown["name"] for shown in model.requests[0].tools] == ["add", "later", "thread", "crash", "finish"]


def test_a_session_without_tools_offers_none() -> None:
    model = ScriptedModel()
    rollout(model)
    assert "tools" not in model.requests[0].body


def test_a_requests_own_tools_choose_and_describe_anew() -> None:
    mine = {"type": "function", "name": "add", "description": "Mine.", "parameters": {"type": "object"}, "strict": None}
    web = {"type": "web_search"}
    model = ScriptedModel([call("add", {"a": 1, "b": 2}), call("crash", None, "c2")], "done")
    ended = rollout(model, Calculator, task=Task.ask("Go.", params={"tools": [mine, web]}))
    assert model.requests[0].tools == [mine, web]
    assert model.outputs()[0] == "3"
    assert "there is no tool `crash`" in model.outputs()[1]
    assert ended.row["rollout"]["tools"]["errors"] == {"unknown_tool": 1}


@pytest.mark.parametrize("tools", [[], [{"type": "web_search"}]])
def test_a_request_that_chooses_no_function_leaves_none_to_call(tools: list[Any]) -> None:
    _, account = answers(call("add", {"a": 1, "b": 2}), tools=tools)
    assert account["errors"] == {"unknown_tool": 1}


def test_a_tool_that_the_session_lacks_fails_the_rollout_before_any_call() -> None:
    model = ScriptedModel()
    ended = rollout(model, Calculator, task=Task.ask("Go.", params={"tools": [{"type": "function", "name": "fly"}]}))
    assert ended.status is Status.ENV_ERROR
    assert ended.error is not None
    assert ended.error["phase"] == "setup"
    assert "`fly`" in ended.error["message"]
    assert "add" in ended.error["message"]
    assert model.requests == []


class Open(PlainSession):
    open_tools = True

    @tool
    def known(self) -> str:
        """Known."""
        return "known"

    async def call_open_tool(self, name: str, arguments: Any) -> Any:
        if name == "bad":
            raise ValueError("no such city")
        return {"name": name, **arguments}


def test_open_tools_answer_what_only_the_request_names() -> None:
    offered = [{"type": "function", "name": name} for name in ("fly", "known", "bad")]
    outputs, account = answers(
        call("fly", {"to": "Rome"}),
        call("known", None, "c2"),
        call("other", None, "c3"),
        call("fly", "[1]", "c4"),
        call("fly", "{", "c5"),
        call("bad", None, "c6"),
        session=Open,
        tools=offered,
    )
    assert outputs[0] == '{"name":"fly","to":"Rome"}'
    assert outputs[1] == "known"
    assert "there is no tool `other`" in outputs[2]
    assert account["errors"] == {"unknown_tool": 1, "bad_arguments": 1, "bad_json": 1, "raised": 1}


def test_tools_that_depend_on_the_task() -> None:
    def shout(text: str) -> str:
        """Shout."""
        return text.upper()

    class Choosing(PlainSession):
        def tools(self) -> Any:
            from gym_core.spi import BoundTool

            return [BoundTool(tool_spec(shout)), *super().tools()][: self.task["many"]]

        @tool
        def whisper(self, text: str) -> str:
            """Whisper."""
            return text.lower()

    model = ScriptedModel([call("shout", {"text": "Hi"}), call("whisper", {"text": "Hi"}, "c2")], "done")
    assert rollout(model, Choosing, task=ask(many=2)).status is Status.COMPLETED
    assert model.outputs() == ["HI", "hi"]
    few = ScriptedModel()
    rollout(few, Choosing, task=ask(many=1))
    assert [shown["name"] for shown in few.requests[0].tools] == ["shout"]


class Meeting(PlainSession):
    """Two tools that wait for each other."""

    def setup(self) -> None:
        self.order: list[str] = []
        self.met = asyncio.Event()

    @tool
    async def first(self) -> str:
        """First."""
        await asyncio.wait_for(self.met.wait(), 10)
        self.order.append("first")
        return "first"

    @tool
    async def second(self) -> str:
        """Second."""
        self.order.append("second")
        self.met.set()
        return "second"


def test_concurrent_tools_run_at_once_and_answer_in_the_order_of_the_calls() -> None:
    class Concurrent(Meeting):
        concurrent_tools = True

    outputs, _ = answers(call("first"), call("second", None, "c2"), session=Concurrent)
    assert outputs == ["first", "second"]


def test_other_tools_run_one_after_the_other() -> None:
    ended: list[str] = []

    class Sequential(PlainSession):
        @tool
        async def slow(self, name: str) -> str:
            """Slow."""
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append(name)
            return name

    answers(call("slow", {"name": "a"}), call("slow", {"name": "b"}, "c2"), session=Sequential)
    assert ended == ["a", "b"]
