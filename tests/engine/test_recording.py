"""Recording by reference: whatever an agent sends, the row says exactly what was sent."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import Episode, user_message
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession
from tests.support.models import ScriptedModel, response, say
from tests.support.running import gave, items_of, rollout, shown

ITEMS = st.sampled_from(["a", "b", "c"]).map(user_message) | st.sampled_from(["x", "y"]).map(say)

# One pick is an item for the next call: an earlier one itself, a copy of an earlier one, or a new one.
PICKS = st.lists(
    st.tuples(st.sampled_from(["same", "copy"]), st.integers(0, 30)) | st.tuples(st.just("new"), ITEMS), max_size=8
)
PREFIX = st.sampled_from(["nothing", "all", "all copied", "half", "all but the first", "reversed"])


def start(kind: str, known: list[Any]) -> list[Any]:
    starts: dict[str, list[Any]] = {
        "nothing": [],
        "all": list(known),
        "all copied": copy.deepcopy(known),
        "half": known[: len(known) // 2],
        "all but the first": known[1:],
        "reversed": known[::-1],
    }
    return starts[kind]


@given(
    st.lists(st.tuples(PREFIX, PICKS), min_size=1, max_size=6),
    st.lists(st.lists(ITEMS, max_size=3), min_size=6, max_size=6),
    st.lists(ITEMS, max_size=2),
)
def test_references_resolve_to_what_was_sent_and_what_came_back(
    plan: list[tuple[str, list[Any]]], outputs: list[list[Any]], opening: list[Any]
) -> None:
    class Opening(PlainSession):
        def setup(self) -> Any:
            return opening

    async def agent(episode: Episode) -> str:
        known = list(episode.request.input)
        for prefix, picks in plan:
            items = start(prefix, known)
            for kind, what in picks:
                if kind == "new":
                    items.append(what)
                elif known:
                    item = known[what % len(known)]
                    items.append(item if kind == "same" else copy.deepcopy(item))
            answer = await episode.respond(items)
            known += [item for item in items if not any(item is old for old in known)]
            known += answer.output
        return "completed"

    # Every response is made of objects of its own, as it is when it comes from an endpoint.
    model = ScriptedModel(*(response(*copy.deepcopy(output)) for output in outputs))
    ended = rollout(model, Opening, FunctionAgent(agent))
    assert ended.error is None
    assert len(ended.model_calls) == len(plan)
    for number, recorded in enumerate(ended.model_calls):
        assert shown(ended, number) == list(model.requests[number].input)
        assert gave(ended, number) == outputs[number]
        for start_, stop in recorded["shown"]:
            assert 0 <= start_ <= stop <= len(items_of(ended))


@given(st.integers(1, 6), st.booleans())
def test_a_growing_conversation_is_stored_once(turns: int, copied: bool) -> None:
    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for turn in range(turns):
            sent = copy.deepcopy(items) if copied else items
            answer = await episode.respond(sent)
            items = [*items, *answer.output, user_message(f"More, {turn}.")]
        return "completed"

    ended = rollout(ScriptedModel(*(response(say(str(turn))) for turn in range(turns))), agent=FunctionAgent(agent))
    assert [(made["continues"], made["kept"]) for made in ended.model_calls] == [
        (turn - 1 if turn else None, 2 * turn) for turn in range(turns)
    ]
    assert [sum(stop - start for start, stop in made["shown"]) for made in ended.model_calls] == [1] * turns
    assert len(items_of(ended)) == 2 * turns


def test_an_agent_cannot_change_the_task_of_the_next_repeat() -> None:
    from tests.support.running import collect

    seen: list[str] = []

    async def agent(episode: Episode) -> str:
        seen.append(str(episode.request.input[0]["content"]))
        episode.request.input[0]["content"] = "changed"
        await episode.respond(episode.request.input)
        return "completed"

    collect(agent=FunctionAgent(agent), repeats=2, concurrency=1)
    assert seen == ["Task 0."] * 2


def test_calls_at_once_are_each_recorded_with_their_own_input_and_output() -> None:
    import asyncio

    async def agent(episode: Episode) -> str:
        base = list(episode.request.input)
        await asyncio.gather(*(episode.actor(name).respond([*base, user_message(name)]) for name in "abc"))
        return "completed"

    def echo(request: Any, context: Any) -> Any:
        return response(say(f"to {request.input[-1]['content']}"))

    ended = rollout(ScriptedModel(echo), agent=FunctionAgent(agent))
    for number, recorded in enumerate(ended.model_calls):
        actor = recorded["actor"]
        assert shown(ended, number)[1:] == [user_message(actor)]
        assert gave(ended, number) == [say(f"to {actor}")]


@pytest.mark.parametrize("many", [0, 1, 3])
def test_the_response_of_the_row_is_the_last_one_with_all_items_and_the_sum_of_tokens(many: int) -> None:
    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for _ in range(many):
            items += (await episode.respond(items)).output
        return "completed"

    model = ScriptedModel(*(response(say(str(turn)), id=f"r{turn}") for turn in range(3)))
    ended = rollout(model, agent=FunctionAgent(agent))
    response_ = ended.row["response"]
    assert response_["output"] == [say(str(turn)) for turn in range(many)]
    assert response_["usage"]["output_tokens"] == 2 * many
    assert response_.get("id") == (f"r{many - 1}" if many else None)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.lists(ITEMS, max_size=3))
def test_a_backend_that_returns_the_very_same_response_again(keep: list[int], output: list[Any]) -> None:
    cached = response(*output)

    async def agent(episode: Episode) -> str:
        items = list(episode.request.input)
        for many in keep:
            answer = await episode.respond(items)
            items = [*items, *answer.output][-many - 1 :]
        return "completed"

    model = ScriptedModel(cached)
    ended = rollout(model, agent=FunctionAgent(agent))
    assert ended.error is None
    for number in range(len(ended.model_calls)):
        assert shown(ended, number) == list(model.requests[number].input)
        assert gave(ended, number) == output
