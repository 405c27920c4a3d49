"""The record against a plain model of its rule: whatever actors show and models say, the row tells it exactly."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import Item, Response, user_message
from gym_core.domain.conversation import places_of, shown_to
from gym_core.engine.model_calls.gate import Answer
from gym_core.engine.rollout.recording import Recording
from gym_core.engine.rollout.row import Placed, with_places
from gym_core.engine.rollout.speaker import Question
from tests.support.models import call, say
from tests.support.work import LINEAR, growth

MAIN = "policy"


@dataclass
class Asked:
    """A call of the model below. `path`: the numbers of all that it was shown and gave."""

    actor: str
    continues: int | None
    kept: int
    shown: list[int]
    gave: list[int] = field(default_factory=list)

    @property
    def path(self) -> list[int]:
        return [*self.shown, *self.gave]


class Reference:
    """The rule, written down as slowly as it is plain."""

    def __init__(self, opening: Sequence[Item]) -> None:
        self.items: list[Item] = copy.deepcopy([*opening])
        self.input = len(opening)
        self.calls: list[Asked] = []
        self.runs: list[tuple[str, int, int]] = []
        self.said: dict[str, list[int]] = {MAIN: [*range(len(opening))]}
        self.main: set[int] = set()

    def say(self, actor: str, items: Sequence[Item]) -> list[int]:
        numbers = [self.new(item) for item in items]
        self.said.setdefault(actor, []).extend(numbers)
        if actor == MAIN:
            self.main.update(numbers)
        return numbers

    def new(self, item: Item) -> int:
        self.items.append(copy.deepcopy(item))
        return len(self.items) - 1

    def last(self, actor: str) -> Asked | None:
        return next((call for call in reversed(self.calls) if call.actor == actor), None)

    def shared(self, request: Sequence[Item], numbers: Sequence[int]) -> int:
        count = 0
        while count < min(len(request), len(numbers)) and request[count] == self.items[numbers[count]]:
            count += 1
        return count

    def begin(self, actor: str, request: Sequence[Item]) -> tuple[Asked, list[Item]]:
        continues, kept = None, 0
        for number, earlier in enumerate(self.calls):
            count = self.shared(request, earlier.path)
            if earlier.actor == actor and count and count >= kept:
                continues, kept = number, count
        if all(item.get("role") in ("system", "developer") for item in request[:kept]):
            continues, kept = None, 0
        last = self.last(actor)
        seen = [*(last.path if last else []), *self.said.get(actor, [])]
        known = seen[kept : max(kept, self.shared(request, seen))]
        beginning = self.calls[continues].path[:kept] if continues is not None else []
        rest = copy.deepcopy([*request[kept + len(known) :]])
        return Asked(actor, continues, kept, [*beginning, *known]), rest

    def end(self, asked: Asked, rest: Sequence[Item], gave: Sequence[Item]) -> None:
        for item in rest:
            before = asked.shown[-1] if asked.shown else -1
            equal = [number for number, known in enumerate(self.items) if known == item]
            later = [number for number in equal if number > before]
            asked.shown.append((later or equal or [self.new(item)])[0])
        asked.gave = [self.new(item) for item in gave]
        self.calls.append(asked)
        self.said[asked.actor] = []

    def output(self) -> list[int]:
        mine = [(number, asked) for number, asked in enumerate(self.calls) if asked.actor == MAIN]
        numbers = set(self.main)
        for number, asked in mine:
            shown_later = any({*asked.gave} & {*later.shown} for at, later in mine if at > number)
            ran = any(actor == MAIN and made in asked.gave for actor, made, _ in self.runs)
            if shown_later or ran or number == mine[-1][0]:
                numbers.update(asked.gave)
        return sorted(numbers)


SYSTEM: Item = {"type": "message", "role": "system", "content": "Be brief."}
POOL = st.sampled_from([user_message("a"), user_message("b"), say("x"), SYSTEM, {**SYSTEM, "content": "Be long."}])
GIVEN = st.sampled_from([say("x"), say("y"), call("f", {}, "c1"), call("f", {"a": 1}, "c2"), call("g", {}, "c1")])
ACTORS = st.sampled_from([MAIN, MAIN, MAIN, "helper", "judge"])


class Play:
    """Both records of one rollout, and what its agent holds."""

    def __init__(self, data: st.DataObject, opening: list[Item]) -> None:
        self.data = data
        self.recording = Recording(opening)
        self.reference = Reference(opening)
        self.held: dict[str, list[list[Item]]] = {MAIN: [self.recording.visible]}
        self.under_way: list[tuple[str, Question, Asked, list[Item], list[Item], list[Item]]] = []
        self.requests: list[list[Item]] = []
        self.made: dict[str, list[Item]] = {}

    def speaker(self, actor: str) -> Any:
        return self.recording.actor(actor, "judge" if actor == "judge" else MAIN)

    def request(self, actor: str) -> list[Item]:
        """A conversation that an agent may come to send: one that it holds, changed in some way."""
        draw: Any = self.data.draw
        versions = self.held.get(actor, [])
        items = [*versions[draw(st.integers(-min(3, len(versions)), -1))]] if versions else []
        how = draw(
            st.sampled_from(["go on", "go on", "go on", "cut", "elide", "drop", "compact", "new", "mutate", "mix"])
        )
        place = draw(st.integers(0, len(items)))
        if how == "cut":
            items = items[:place]
        elif how == "elide" and place < len(items):
            items[place] = {**items[place], "content": "…"}
        elif how == "drop":
            items = [*items[:place], *items[place + 1 :]]
        elif how == "compact":
            items = [*items[:1], draw(POOL), *items[place:]]
        elif how == "new":
            items = []
        elif how == "mutate" and place < len(items):
            items[place]["content"] = "changed"
        elif how == "mix":
            others = [version for name in sorted(self.held) for version in self.held[name]]
            items = [*items, *others[draw(st.integers(0, len(others) - 1))]]
        items += copy.deepcopy(draw(st.lists(POOL, max_size=2)))
        return copy.deepcopy(items) if draw(st.booleans()) else items

    def begin(self) -> None:
        actor = self.data.draw(ACTORS)
        items = self.request(actor)
        question = self.recording.asks(self.speaker(actor), items)
        asked, rest = self.reference.begin(actor, items)
        assert (question.continues, question.kept) == (asked.continues, asked.kept)
        self.under_way.append((actor, question, asked, rest, copy.deepcopy(items), items))

    def end(self) -> None:
        if not self.under_way:
            return
        number = self.data.draw(st.integers(0, len(self.under_way) - 1))
        actor, question, asked, rest, sent, items = self.under_way.pop(number)
        if self.data.draw(st.integers(0, 9)) == 0:
            return  # it was never answered, and leaves no trace
        gave = copy.deepcopy(self.data.draw(st.lists(GIVEN, max_size=3)))
        answer = Answer(Response({"output": gave}), 0.0, 0.0, 1)
        self.recording.answered(self.speaker(actor), question, answer, at=0.0)
        self.reference.end(asked, rest, gave)
        self.requests.append(sent)
        self.held.setdefault(actor, []).append([*items, *gave])
        self.made.setdefault(actor, []).extend(item for item in gave if item["type"] == "function_call")

    def tool(self) -> None:
        draw: Any = self.data.draw
        actor = draw(ACTORS)
        made = self.made.get(actor, [])
        wanted = made.pop(0) if made and draw(st.integers(0, 3)) else call("f", {"made": draw(st.integers(0, 1))}, "up")
        output: Item = {
            "type": "function_call_output",
            "call_id": wanted["call_id"],
            "output": draw(st.sampled_from("01")),
        }
        number = self.recording.call_number(self.speaker(actor), wanted)
        self.recording.ran(self.speaker(actor), number, output, 0.0, 0.0, None)
        if number == len(self.reference.items):
            self.reference.new(wanted)
        assert self.reference.items[number] == wanted
        (answered,) = self.reference.say(actor, [output])
        self.reference.runs.append((actor, number, answered))
        if self.held.get(actor):
            self.held[actor].append([*self.held[actor][-1], output])

    def reply(self) -> None:
        items = copy.deepcopy(self.data.draw(st.lists(POOL, max_size=2)))
        self.recording.replied(items)
        self.reference.say(MAIN, items)
        self.held[MAIN].append([*self.held[MAIN][-1], *items])

    def compare(self) -> None:
        reference, now = self.reference, with_places(self.recording)
        output = reference.output()
        others = [n for n in range(reference.input, len(reference.items)) if n not in output]
        assert [*now.output] == [reference.items[number] for number in output]
        assert [*now.others] == [reference.items[number] for number in others]
        order = [*range(reference.input), *output, *others]
        places = {number: place for place, number in enumerate(order)}
        self.compare_calls(now, places)
        assert [(run.actor, run.call, run.output) for run in now.tool_runs] == [
            (actor, places[made], places[answered]) for actor, made, answered in reference.runs
        ]

    def compare_calls(self, now: Placed, places: dict[int, int]) -> None:
        whole = [*self.reference.items[: self.reference.input], *now.output, *now.others]
        assert len(now.model_calls) == len(self.reference.calls)
        for number, (recorded, asked) in enumerate(zip(now.model_calls, self.reference.calls, strict=True)):
            assert (recorded.actor, recorded.continues, recorded.kept) == (asked.actor, asked.continues, asked.kept)
            assert places_of(recorded.shown) == [places[n] for n in asked.shown[asked.kept :]]
            assert places_of(recorded.gave) == [places[n] for n in asked.gave]
            shown, gave = shown_to(now.model_calls, number), places_of(now.model_calls[number].gave)
            assert shown == [places[n] for n in asked.shown]
            assert [*shown, *gave] == [places[n] for n in asked.path]
            assert [whole[place] for place in shown] == self.requests[number]
            for stretch, after in zip(recorded.shown, recorded.shown[1:], strict=False):
                assert stretch[1] != after[0], "stretches are as long as can be"


@settings(max_examples=200)
@given(st.data())
def test_the_record_is_that_of_the_rule(data: st.DataObject) -> None:
    play = Play(data, copy.deepcopy(data.draw(st.lists(POOL, max_size=2))))
    steps = {"begin": play.begin, "end": play.end, "ask": lambda: None, "tool": play.tool, "reply": play.reply}
    chosen = data.draw(st.lists(st.sampled_from(["ask", "ask", "ask", "tool", "begin", "end", "reply"]), max_size=25))
    for step in chosen:
        if step == "ask":
            play.begin()
            play.end()
        else:
            steps[step]()
    play.compare()


def scripted(*turns: tuple[list[Item], list[Item]]) -> Recording:
    """One call after the other of the main actor, each with what it shows and what it is given."""
    recording = Recording([])
    for shown, gave in turns:
        answer = Answer(Response({"output": copy.deepcopy(gave)}), 0.0, 0.0, 1)
        recording.answered(recording.main, recording.asks(recording.main, copy.deepcopy(shown)), answer, at=0.0)
    return recording


A, B, C = user_message("a"), user_message("b"), user_message("c")
X, Y, Z = say("x"), say("y"), say("z")


def lineage(recording: Recording) -> list[tuple[int | None, int]]:
    return [(call.continues, call.kept) for call in recording.model_calls]


def test_a_call_goes_on_where_an_earlier_one_went_further_than_the_last() -> None:
    recording = scripted(([A], [X]), ([A, X, B], [Y]), ([A], [X]), ([A, X, B, Y, C], [Z]), ([A, X, C], []))
    assert lineage(recording) == [(None, 0), (0, 2), (1, 1), (1, 4), (3, 2)]


def test_of_calls_that_share_as_much_the_latest_is_continued() -> None:
    recording = scripted(([A], [X]), ([A], [Y]), ([A], [Z]), ([A, B], [X]), ([A, Y, C], []), ([C], []), ([A], []))
    assert lineage(recording) == [(None, 0), (0, 1), (1, 1), (2, 1), (1, 2), (None, 0), (4, 1)]


def test_nothing_but_instructions_shared_is_nothing() -> None:
    recording = scripted(([SYSTEM], []), ([SYSTEM], []), ([SYSTEM, A], [X]), ([SYSTEM, B], [Y]), ([SYSTEM, A, X], []))
    assert lineage(recording) == [(None, 0), (None, 0), (None, 0), (None, 0), (2, 3)]


def test_calls_at_once_are_each_found_again() -> None:
    recording = scripted(([A], [X]))
    main = recording.main
    asked = [recording.asks(main, [A, X, item]) for item in (B, C)]
    for question, gave in zip(asked, (Y, Z), strict=True):
        recording.answered(main, question, Answer(Response({"output": [gave]}), 0.0, 0.0, 1), at=0.0)
    for shown in ([A, X, B, Y, C], [A, X, C, Z, B], [A, X, B, Y, C, B]):
        question = recording.asks(main, shown)
        recording.answered(main, question, Answer(Response({"output": []}), 0.0, 0.0, 1), at=0.0)
    assert lineage(recording) == [(None, 0), (0, 2), (0, 2), (1, 4), (2, 4), (3, 5)]


def talk(turns: int, old: int, begin_anew: int) -> Recording:
    """A loop of tool calls whose outputs are left out once they are `old` items behind, begun anew now and then."""
    recording = Recording([A])
    main, items = recording.main, recording.visible
    for turn in range(turns):
        made = call("f", {"turn": turn}, f"c{turn}")
        answer = Answer(Response({"output": [made]}), 0.0, 0.0, 1)
        recording.answered(main, recording.asks(main, items), answer, at=0.0)
        output: Item = {"type": "function_call_output", "call_id": f"c{turn}", "output": f"{turn}"}
        recording.ran(main, recording.call_number(main, made), output, 0.0, 0.0, None)
        items = [*items, made, output]
        if len(items) > old:
            items[-old] = {**items[-old], "type": "function_call_output", "output": "..."}
        if turn % begin_anew == begin_anew - 1:
            items = [*items[:1], user_message(f"Until turn {turn}: nothing.")]
    return recording


@pytest.mark.parametrize(
    ("old", "begin_anew"), [(10**9, 10**9), (8, 10**9), (10**9, 20)], ids=["loop", "leaves out", "compacts"]
)
def test_what_a_turn_costs_does_not_grow_with_those_before(old: int, begin_anew: int) -> None:
    assert len(talk(20, old, begin_anew).model_calls) == 20
    assert growth("gym_core", lambda turns: talk(turns, old, begin_anew), 50) <= LINEAR
