"""Images and files in a task, an opening observation and a tool's output: to the model, the row and the reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_core import Item, Session, Task, Trajectory, audio_part, file_part, image_part, text_part, tool, user_message
from gym_core.engine.model_calls.reservations import IMAGE_TOKENS, encoded_size
from gym_results.rollout_view import render
from gym_testing import FakeOpenAI, Received, Turn, call
from tests.domain.test_parts import png
from tests.support.endpoints import config, execute
from tests.support.envs import env
from tests.support.loop import asynchronous
from tests.support.running import read_jsonl
from tests.support.served_envs import served

MAP, VIEW, DOOR = (image_part(png(width)) for width in (1, 2, 3))
NOTES = file_part(b"%PDF-1.7 notes", name="notes.pdf")
SOUND = audio_part(b"RIFF\0\0\0\0WAVEfmt ")


class Sees(Session[Any]):
    """Shows pictures wherever one can be shown."""

    def setup(self) -> Sequence[Item]:
        return [user_message("You stand here:", VIEW, NOTES)]

    @tool
    def look(self) -> dict[str, Any]:
        """Look around."""
        return DOOR

    @tool
    def listen(self) -> list[Any]:
        """Listen."""
        return ["You hear something", DOOR]

    def verify(self, trajectory: Trajectory) -> float:
        outputs = [item["output"] for item in trajectory.items if item.get("type") == "function_call_output"]
        return float(outputs == [[DOOR], [text_part("You hear something"), DOOR]])


def turn(request: Received) -> Turn:
    return "a door" if request.tool_outputs else [call("look", call_id="c1"), call("listen", call_id="c2")]


def images(request: Received) -> list[str]:
    """The images that a request shows, in order, whatever the dialect."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("type") in ("input_image", "image_url"):
                image = value["image_url"]
                found.append(image["url"] if isinstance(image, dict) else image)
            else:
                for inner in value.values():
                    walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(request.body)
    return found


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "behind a URL"])
@asynchronous
async def test_an_image_reaches_the_model_the_row_and_the_verifier(api: str, elsewhere: bool, tmp_path: Path) -> None:
    task = Task.ask("Where does this lead?", MAP, task_id="t")
    output = tmp_path / "x.jsonl"
    async with FakeOpenAI(turn) as server:
        environment: Any = env(Sees, [task])
        wanted: dict[str, Any] = {"api": api, "output": output, "max_tokens": 1_000_000}
        if elsewhere:
            async with served(environment) as url:
                ended = await execute(config(server, environment=url, **wanted))
        else:
            ended = await execute(config(server, environment=environment, **wanted))
    (rollout,) = ended.rollouts
    assert (rollout.status.value, rollout.reward) == ("completed", 1.0)
    first, second = server.received
    shown = [part["image_url"] for part in (MAP, VIEW, DOOR, DOOR)]
    assert images(first) == shown[:2]
    assert images(second) == shown
    assert NOTES["file_data"] in first.data.decode()
    if api == "chat":
        tools = [message for message in second.body["messages"] if message["role"] == "tool"]
        assert [message["content"] for message in tools] == [
            "[image 1: see the next message]",
            "You hear something\n[image 2: see the next message]",
        ]
    (row,) = read_jsonl(output)
    assert row["responses_create_params"]["input"] == [user_message("Where does this lead?", MAP)]
    items = row["response"]["output"]
    assert user_message("You stand here:", VIEW, NOTES) in items
    assert next(item["output"] for item in items if item["type"] == "function_call_output") == [DOOR]
    text = str(render(row, width=None, redact=str))
    assert text.count("(image, image/png, ") == 4
    assert "(file notes.pdf, application/pdf, 14 bytes)" in text
    assert "base64" not in text


@asynchronous
async def test_audio_goes_as_both_dialects_write_it() -> None:
    task = Task.ask("What is this?", SOUND, task_id="t")
    for api in ("responses", "chat"):
        async with FakeOpenAI("a dog") as server:
            await execute(config(server, environment=env(tasks=[task]), api=api))
        asked = server.received[0].body
        message = (asked.get("input") or asked.get("messages"))[0]
        assert message["content"][1] == SOUND


@asynchronous
async def test_a_server_that_takes_images_of_tools_gets_them_there() -> None:
    async with FakeOpenAI(turn) as server:
        options = {"tool_media": "tool"}
        ended = await execute(config(server, session=Sees, api="chat", options=options))
    assert set(ended.statuses.values()) == {"completed"}
    messages = server.received[-1].body["messages"]
    tools = [message["content"] for message in messages if message["role"] == "tool"]
    assert [part["type"] for part in tools[1]] == ["text", "image_url"]
    assert messages[-1]["role"] == "tool"


def test_a_list_of_texts_is_json_as_ever() -> None:
    from gym_core.engine.rollout.toolbox import _output

    assert _output(["a", "b"]) == '["a","b"]'
    assert _output([text_part("a"), 3]) == json.dumps([text_part("a"), 3], separators=(",", ":"))


def test_an_image_counts_as_what_models_make_of_it() -> None:
    large = image_part(png(600, 600) + bytes(1_000_000))
    link = image_part("https://example.com/a.png")
    text = encoded_size([user_message("Hi")])
    for image in (large, link):
        assert IMAGE_TOKENS < encoded_size([user_message("Hi", image)]) < IMAGE_TOKENS + text + 200
        assert encoded_size({"input": [user_message("Hi", image)]}) > IMAGE_TOKENS
        output = {"type": "function_call_output", "call_id": "c", "output": [image]}
        assert IMAGE_TOKENS < encoded_size([output]) < IMAGE_TOKENS + 300
