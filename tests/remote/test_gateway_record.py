"""An agent leaves the same row in process and through the gateway, whatever it does with the conversation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import (
    Agent,
    CallContext,
    Endpoint,
    Episode,
    Item,
    Request,
    Response,
    Session,
    Stop,
    StopReason,
    Trajectory,
    Verdict,
    tool,
    user_message,
)
from gym_http.protocol.client import Client
from gym_http.serve.agent.http_episode import HttpEpisode, Place
from tests.support.envs import env
from tests.support.models import ScriptedModel, call, say
from tests.support.running import config, execute
from tests.support.served_agents import timeless

Way: TypeAlias = Literal["in process", "gym's client", "any client"]
Step: TypeAlias = tuple[str, int, str]
"""What is done, a number for it to make use of, and words."""
STEPS = ("go on", "elide", "compact", "again", "own", "two at once", "invent", "reply", "as another", "warmer")
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), words), min_size=1, max_size=8)


class Adding(Session[Any]):
    """Adds, and has something to say to every other answer."""

    def setup(self) -> Sequence[Item]:
        self.replies = itertools.count()
        return [user_message("Begin.")]

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def reply(self, response: Response) -> Sequence[Item]:
        number = next(self.replies)
        return [user_message(f"Reply {number}.")] if number % 2 else []

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(1.0, info={"said": trajectory.output_text})


class Answering(ScriptedModel):
    """Its answers depend on how often it was asked. Of two calls at once the first to come is the first to be answered.

    `first`, `second`: set when the first and the second of two calls at once have come.
    """

    def __init__(self, kinds: Sequence[int]) -> None:
        super().__init__(self._answer)
        self.kinds = kinds
        self.count = itertools.count()
        self.first, self.second = asyncio.Event(), asyncio.Event()

    async def _answer(self, request: Request, context: CallContext) -> Any:
        number = next(self.count)
        last = str(request.input[-1]) if request.input else ""
        if "first of two" in last:
            self.first.set()
            await self.second.wait()
        elif "second of two" in last:
            self.second.set()
            await asyncio.sleep(0.05)
        thought = {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": f"x{number}"}
        return [
            say(f"Answer {number}."),
            say("The same again."),
            [thought, call("add", {"a": number, "b": 1}, f"c{number}")],
            [call("add", {"a": 1, "b": 1}, f"c{number}"), call("add", {"a": "x"}, f"d{number}")],
            [thought, say(f"Well, {number}.")],
        ][self.kinds[number % len(self.kinds)]]


def words_of_its_own(text: str) -> Item:
    """A message as any client writes it; one that is handed out is written otherwise when it comes back."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


class Wandering(Agent):
    """Does as a list of steps says, on the episode itself or on what stands for it over HTTP."""

    def __init__(self, steps: Sequence[Step], way: Way, model: Answering) -> None:
        super().__init__()
        self.steps = steps
        self.way = way
        self.model = model

    async def run(self, episode: Episode) -> Stop:
        if self.way == "in process":
            await self._wander(episode)
        else:
            async with episode.endpoint() as endpoint, Client(_origin(endpoint)) as client:
                await self._wander(over_http(episode, endpoint, client, exactly=self.way == "gym's client"))
        return Stop(StopReason.COMPLETED)

    async def _wander(self, episode: Episode) -> None:
        items = list(episode.request.input)
        for step, number, text in self.steps:
            items = await self._step(episode, items, step, number, text)

    async def _step(self, episode: Episode, items: list[Item], step: str, number: int, text: str) -> list[Item]:
        if step == "elide" and len(items) > 2:
            del items[1 + number % (len(items) - 1)]
        elif step == "compact":
            items = [words_of_its_own(f"So far: {text}")]
        elif step == "own":
            items.append(words_of_its_own(text))
        elif step == "again":
            await episode.respond(items)
        elif step == "invent":
            await episode.call_tools([call("add", {"a": number, "b": 2}, f"own_{number}")])
            return items
        elif step == "two at once":
            return await self._two_at_once(episode, items, text)
        response = await _asked(episode, items, step, number)
        items += response.output
        if calls := response.function_calls:
            return [*items, *await episode.call_tools(calls)]
        return [*items, *await episode.reply(response)] if step == "reply" else items

    async def _two_at_once(self, episode: Episode, items: list[Item], text: str) -> list[Item]:
        self.model.first.clear()
        self.model.second.clear()
        one = asyncio.create_task(episode.respond([*items, words_of_its_own(f"{text}, first of two")]))
        await self.model.first.wait()
        other = asyncio.create_task(episode.respond([*items, words_of_its_own(f"{text}, second of two")]))
        await asyncio.gather(one, other)
        return items


async def _asked(episode: Episode, items: list[Item], step: str, number: int) -> Response:
    if step == "as another":
        return await episode.actor(f"helper {number % 2}").respond(items)
    return await episode.respond(items, temperature=number / 10) if step == "warmer" else await episode.respond(items)


def _origin(endpoint: Endpoint) -> str:
    parts = urlsplit(endpoint.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def over_http(episode: Episode, endpoint: Endpoint, client: Client, *, exactly: bool) -> Episode:
    """The episode as gym's own client has it, or as any other that writes requests as it likes."""
    model, session = (
        Place(client, urlsplit(url).path, endpoint.token) for url in (endpoint.base_url, endpoint.session_url)
    )
    kind = HttpEpisode if exactly else AnyClient
    return kind(episode.request, model, session, endpoint, batch=True)


class AnyClient(HttpEpisode):
    """Sends every field every time, and writes messages as parts."""

    async def ask(self, items: Sequence[Item], fields: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
        body = {
            "model": "any",
            "input": [_rewritten(item) for item in items],
            "tools": [{**each, "strict": False} for each in self.tools],
            "stream": False,
            **fields,
        }
        of_others = headers if headers.get("Gym-Actor") != self.name else {}
        reply = await self._model.post("/responses", body, of_others)
        return Response(self._checked(reply))


def _rewritten(item: Item) -> Item:
    """The same item as another client would write it."""
    if item.get("role") == "user" and isinstance(item["content"], list):  # its own
        return item
    if isinstance(item.get("content"), str):
        return {"type": "message", **item, "content": [{"type": "input_text", "text": item["content"]}]}
    return {**item, "status": "completed"}


def row_of(plan: Sequence[Step], kinds: Sequence[int], way: Way) -> Mapping[str, Any]:
    async def main() -> Mapping[str, Any]:
        model = Answering(kinds)
        ended = await execute(config(model, env(Adding), Wandering(plan, way, model)))
        (rollout,) = ended.rollouts
        assert rollout.status == "completed", rollout.error
        return timeless(rollout.row)

    return asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("way", ["gym's client", "any client"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=steps, kinds=st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_a_row_does_not_tell_which_way_its_calls_came(way: Way, plan: list[Step], kinds: list[int]) -> None:
    assert row_of(plan, kinds, way) == row_of(plan, kinds, "in process")
