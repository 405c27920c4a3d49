"""What a rollout records while it runs: its items, and who was shown and said which.

Items are numbered in order of arrival, each once. When the rollout ends they get their places: the row's input, the
main conversation, all others. `domain/conversation.py` is the reading side, and says what a recorded call means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from gym_core.domain.arguments import arguments_text
from gym_core.domain.conversation import (
    MAIN,
    ModelCall,
    Reply,
    Stretches,
    ToolRun,
    as_stretches,
    beginning_of,
    conversation_of,
    path_length,
    path_of,
    places_of,
)
from gym_core.domain.errors import UsageError
from gym_core.domain.responses import Item, Response, UsageCounter, call_id_of
from gym_core.domain.rollout import Trajectory
from gym_core.domain.tokens import CallTokens, Tokens, without_tokens
from gym_core.domain.tool_calls import is_sendable, new_call_id
from gym_core.engine.model_calls.gate import Answer
from gym_core.engine.model_calls.prices import Price, cost_of
from gym_core.engine.rollout.equal_items import NEW, EqualItems, PrefixTree, common
from gym_core.engine.rollout.token_tree import TokenTree


class Speaker:
    """An actor as the recording knows it.

    `path`: the items that its model has seen and said, up to its last call and with what the session has said to it
    since; `length`: how many of them belong to the call, `since`: the numbers of the others. While `grows`, no other
    call of it was shown the whole path of the last one and more, so that a request that begins with it continues it.
    """

    __slots__ = (
        "grows",
        "last",
        "length",
        "name",
        "parted",
        "path",
        "places",
        "planted",
        "role",
        "shared",
        "since",
        "tree",
        "unanswered",
    )

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role
        self.path: list[Item] = []
        self.length = 0
        self.since: Stretches = []
        self.last: int | None = None
        self.grows = True
        self.unanswered: list[int] = []
        """The numbers of the function calls that its model wrote and nobody has carried out."""
        self.places: list[int] | None = None
        """The numbers of the items of `path`, once anybody asks."""
        self.tree: PrefixTree | None = None
        self.planted = -1
        """The last call whose path is in the tree."""
        self.parted = False
        """Whether the last request that was compared did not begin with all of `path`."""
        self.shared = 0
        """How many items the path of the last call begins with that this one begins with, too."""

    def said(self, items: Sequence[Item], start: int) -> None:
        """Note what the session said to it, which is numbered from `start` on."""
        self.path += items
        stop = start + len(items)
        if self.since and self.since[-1][1] == start:
            self.since = [*self.since[:-1], [self.since[-1][0], stop]]
        else:
            self.since = [*self.since, [start, stop]]
        if self.places is not None:
            self.places += range(start, stop)


class Question:
    """What is known of a model call when it begins.

    `shown`: the numbers of what it shows beyond what it continues, as far as they are known; `given`: the agent's own
    objects of the items after those, `rest`: copies of them. `last`: the call of the actor that was the last to end.
    `follows`: how long the actor's path was, where the request begins with all of it, else None. `goes_on`: whether it
    continues the whole of the last call; `parts`: whether nobody goes further on the path that it will have.
    """

    __slots__ = ("continues", "follows", "given", "goes_on", "kept", "last", "parts", "rest", "shown")

    def __init__(
        self,
        continues: int | None,
        kept: int,
        shown: Stretches,
        given: Sequence[Item],
        last: int | None,
        follows: int | None,
        *,
        goes_on: bool = True,
        parts: bool = True,
    ) -> None:
        self.continues = continues
        self.kept = kept
        self.shown = shown
        self.given = given
        self.rest: Sequence[Item] = _copies(given) if given else ()
        self.last = last
        self.follows = follows
        self.goes_on = goes_on
        self.parts = parts


@dataclass(slots=True)  # two per rollout: frozen ones take three times as long to make
class Placed:
    """A recording as it stands in a row: `output` and `others` after the input, and calls that cite their places."""

    output: Sequence[Item]
    others: Sequence[Item]
    model_calls: Sequence[ModelCall]
    tool_runs: Sequence[ToolRun]
    replies: Sequence[Reply]
    opening: int


class Recording:
    """The items of one rollout, and the calls of its actors to models and tools.

    Items are kept as copies: an agent may shorten what it holds, and the record still says what the model wrote.
    """

    __slots__ = (
        "_equal",
        "_handed_out",
        "_opened_at",
        "_others",
        "_output",
        "_plain",
        "_tokens",
        "actors",
        "input",
        "items",
        "last",
        "main",
        "model_calls",
        "odd",
        "opening",
        "policy_usage",
        "replies",
        "tool_runs",
    )

    def __init__(self, input: Sequence[Item]) -> None:
        self.items: list[Item] = [*input]
        self._handed_out: list[Item] = _copies(input)
        self.input = len(self.items)
        """How many items the row's input has."""
        self.opening = 0
        """How many the session has opened with."""
        self._opened_at = self.input
        self.main = Speaker(MAIN, MAIN)
        self.actors: dict[str, Speaker] = {MAIN: self.main}
        if self.items:
            self.main.said(self.items, 0)
        self.model_calls: list[ModelCall] = []
        self.tool_runs: list[ToolRun] = []
        self.replies: list[Reply] = []
        self.last: Response | None = None
        self.policy_usage = UsageCounter()
        self._others = False
        self._plain = True
        """Whether every item after the input is part of the main conversation, so that numbers are places."""
        self._equal: EqualItems | None = None
        self._tokens: dict[str, TokenTree] | None = None
        """The tokens of each actor's calls, once a response has any."""
        self._output: list[int] | None = None
        """The numbers of the main conversation, where it was made elsewhere."""
        self.odd = False
        """Whether there is an item that not every server takes: else nobody has to look through what is sent."""
        self._look_through(input)

    @property
    def visible(self) -> list[Item]:
        """The conversation so far, as the agent may hold and change it."""
        return [*self._handed_out]

    @property
    def usage(self) -> UsageCounter:
        """Tokens of all calls, whatever their role."""
        if not self._others:
            return self.policy_usage
        counter = UsageCounter()
        for call in self.model_calls:
            counter.add(call.usage)
        return counter

    def actor(self, name: str, role: str) -> Speaker:
        """The actor of this name. Raises `UsageError` where it has another role."""
        speaker = self.actors.get(name)
        if speaker is None:
            speaker = self.actors[name] = Speaker(name, role)
        elif speaker.role != role:
            raise UsageError(
                f"the actor `{name}` asks the model of the role `{speaker.role}` in this rollout, not `{role}`",
                hint="an actor has one role; give another one another name",
            )
        return speaker

    # What the session says

    def opened(self, items: Sequence[Item]) -> None:
        """Note the opening observation."""
        self._opened_at = self._say(self.main, items)
        self.opening = len(items)

    def replied(self, items: Sequence[Item]) -> None:
        """Note what the session answered to the last response of the main actor; nothing where it was done."""
        before = len(self.model_calls), len(self.tool_runs)
        start = self._say(self.main, items)
        self.replies.append(Reply([[start, start + len(items)]] if items else [], *before))

    def ran(self, speaker: Speaker, call: int, output: Item, at: float, seconds: float, error: str | None) -> None:
        """Note what a tool answered to the call of this number."""
        number = self._say(speaker, [output])
        self.tool_runs.append(ToolRun(speaker.name, call, number, at, seconds, error))

    def _say(self, speaker: Speaker, items: Sequence[Item]) -> int:
        start = self._add(speaker, items)
        if items:
            speaker.said(self.items[start:], start)
        return start

    def _add(self, speaker: Speaker, items: Sequence[Item]) -> int:
        """Append items, which others hold; returns the number of the first."""
        start = len(self.items)
        self.items += map(copied, items)
        self._look_through(items)
        self._handed_out += items
        if speaker is not self.main:
            self._plain = False
        return start

    # Tool calls

    def call_number(self, speaker: Speaker, call: Mapping[str, Any]) -> int:
        """The number of the function call that an actor has carried out: one that its model wrote, or a new item."""
        waiting, items = speaker.unanswered, self.items
        for number in waiting if len(waiting) == 1 else self._latest_first(speaker):
            if items[number] == call or _same_call(items[number], call):
                waiting.remove(number)
                return number
        self._plain = False
        items.append(copied({**call}))
        self._handed_out.append(items[-1])
        return len(items) - 1

    def _latest_first(self, speaker: Speaker) -> list[int]:
        """The numbers of the calls that nobody has carried out, those that an actor's model gave last before others."""
        gave = self.model_calls[speaker.last].gave if speaker.last is not None else ()
        first = bisect_left(speaker.unanswered, gave[0][0] if gave else len(self.items))
        return [*speaker.unanswered[first:], *speaker.unanswered[:first]]

    def named(self, speaker: Speaker, calls: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The calls with ids; one that names no id is the first of its name that nobody has carried out."""
        named = {call_id_of(call) for call in calls}
        waiting = [item for item in map(self.items.__getitem__, speaker.unanswered) if call_id_of(item) not in named]
        found: list[Mapping[str, Any]] = []
        for call in calls:
            call_id = call_id_of(call)
            if not call_id:
                place = next((i for i, item in enumerate(waiting) if item.get("name") == call.get("name")), None)
                call_id = new_call_id() if place is None else call_id_of(waiting.pop(place))
            found.append({**call, "call_id": call_id})
        return found

    # Model calls

    def asks(self, speaker: Speaker, items: Sequence[Item]) -> Question:
        """What a model call of an actor continues, found by what it is shown. Nothing is recorded yet."""
        if speaker.grows and not speaker.parted:
            # The plain loop: what was there, and what the session has said since. One comparison in C tells.
            path = speaker.path
            size = len(path)
            if items == path:
                return Question(speaker.last, speaker.length, speaker.since, (), speaker.last, size)
            if len(items) > size and items[:size] == path:
                given = items[size:]
                self._look_through(given)
                return Question(speaker.last, speaker.length, speaker.since, given, speaker.last, size)
        return self._found(speaker, items)

    def _found(self, speaker: Speaker, items: Sequence[Item]) -> Question:
        """The same where the request does not begin with all that its actor has seen so far."""
        path = speaker.path
        followed = common(items, path)
        # One that parts from what it was shown once does so again, mostly: it is compared once then, not twice.
        speaker.parted = followed < len(path)
        if speaker.grows and not speaker.parted:
            given = items[followed:]
            self._look_through(given)
            return Question(speaker.last, speaker.length, speaker.since, given, speaker.last, followed)
        equal = self._caught_up()
        places = self._places(speaker)
        self._plant(speaker)
        begin = min(followed, speaker.shared)
        rest = [*map(equal.classes.__getitem__, places[begin:followed]), *map(equal.class_of, items[followed:])]
        shared, continues = speaker.tree.find(begin, rest) if speaker.tree is not None else (0, None)
        goes_on = continues == speaker.last and shared == speaker.length
        parts = shared < len(items) or speaker.last is None or (goes_on and speaker.grows)
        kept = shared
        if all(map(_instructs, islice(items, shared))):
            continues, kept = None, 0
        after = max(kept, followed)
        given = items[after:]
        self._look_through(given)
        shown = as_stretches(places[kept:after])
        return Question(continues, kept, shown, given, speaker.last, None, goes_on=goes_on, parts=parts)

    def _look_through(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.get("type") in _CHECKED and not self.odd and not is_sendable(item):
                self.odd = True

    def _caught_up(self) -> EqualItems:
        if self._equal is None:
            self._equal = EqualItems(self.items, self._handed_out)
        self._equal.catch_up()
        return self._equal

    def _places(self, speaker: Speaker) -> list[int]:
        """The numbers of the items of an actor's path."""
        if speaker.places is None:
            before = path_of(self.model_calls, speaker.last) if speaker.last is not None else []
            speaker.places = [*before, *places_of(speaker.since)]
        return speaker.places

    def _plant(self, speaker: Speaker) -> None:
        """Have the path of the last call of an actor in its tree. What it went on with is part of it."""
        if speaker.last is None or speaker.planted == speaker.last:
            return
        classes = self._caught_up().classes
        if speaker.tree is None:
            speaker.tree = PrefixTree()
        rest = self._places(speaker)[speaker.shared : speaker.length]
        speaker.tree.add(speaker.shared, [*map(classes.__getitem__, rest)], speaker.last)
        speaker.planted = speaker.last
        speaker.shared = speaker.length

    def answered(
        self,
        speaker: Speaker,
        question: Question,
        answer: Answer,
        *,
        at: float,
        sampling: Mapping[str, Any] | None = None,
        price: Price | None = None,
        verifies: bool = False,
    ) -> None:
        """Note a model call that was answered, and all of it that was not there before."""
        response = answer.response
        undisturbed = speaker.last == question.last
        if undisturbed and question.follows == len(speaker.path):
            shown = question.shown
            if question.given:
                places = self._places(speaker)
                shown = self._resolve(question, places)
                speaker.path += [self.items[number] for number in places[len(speaker.path) :]]
        else:
            if not (undisturbed and question.goes_on):
                self._plant(speaker)
            if speaker is self.main:
                self._plain = False
            places = speaker.places or []
            if undisturbed and question.continues == speaker.last and speaker.places is not None:
                same = question.kept
            else:
                now = beginning_of(self.model_calls, question.continues, question.kept)
                same = common(places, now)
                speaker.places = places = now
            # What begins as it did stays as it is: a turn costs what is new in it.
            del places[question.kept :], speaker.path[same:]
            speaker.shared = min(speaker.shared, same)
            places += places_of(question.shown)
            shown = self._resolve(question, places)
            speaker.path += map(self.items.__getitem__, places[same:])
            speaker.grows = undisturbed and question.parts
        start = self._add(speaker, response.output)
        said = self.items[start:]
        stop = start + len(said)
        body = response.body
        call = ModelCall(
            speaker.name,
            speaker.role,
            question.continues,
            question.kept,
            shown,
            [[start, stop]] if stop > start else [],
            body.get("usage"),
            answer.latency,
            answer.waited,
            answer.attempts,
            at,
            body.get("id"),
            body.get("model"),
            sampling or None,
        )
        if price is not None:
            call.cost = cost_of(price, call.usage)
        if verifies:
            call.verifies = True
        if response.tokens is not None:
            call.tokens = self._recorded(speaker, question, response.tokens, call.model)
        if speaker is self.main:
            self.last = response
        speaker.last = len(self.model_calls)
        self._called(call)
        speaker.path += said
        if speaker.places is not None:
            speaker.places += range(start, stop)
        speaker.length, speaker.since = len(speaker.path), []
        if start == stop and all(map(_instructs, speaker.path)):
            speaker.grows = False  # whoever begins with nothing but instructions continues nothing
        for number, item in enumerate(said, start):
            if item.get("type") == "function_call":
                speaker.unanswered.append(number)

    def _recorded(self, speaker: Speaker, question: Question, tokens: Tokens, model: Any) -> CallTokens:
        """The tokens of a call that is about to be noted, by what is new in them."""
        if self._tokens is None:
            self._tokens = {}
        tree = self._tokens.get(speaker.name)
        if tree is None:
            tree = self._tokens[speaker.name] = TokenTree()
        follows = question.continues
        if follows is not None and question.kept < path_length(self.model_calls[follows]):
            follows = None  # the conversation itself parts from it: that its tokens do is no break
        return tree.add(len(self.model_calls), tokens, follows, model)

    def _called(self, call: ModelCall) -> None:
        if call.role == MAIN:
            self.policy_usage.add(call.usage)
        else:
            self._others = True
        self.model_calls.append(call)

    def _resolve(self, question: Question, places: list[int]) -> Stretches:
        """The stretches of all that a call was shown. The numbers of the items that are only known now join `places`.

        An item is the first of those that say the same after the one before it, else the first of all, else new.
        """
        if not question.given:
            return question.shown
        begin = len(places) - sum(stop - start for start, stop in question.shown)
        before = places[-1] if places else -1
        for item, given in zip(question.rest, question.given, strict=True):
            number = self._caught_up().number_after(item, before, given)
            if number == NEW:
                number = len(self.items)
                self.items.append(item)
                self._handed_out.append(given)
                self._plain = False
            places.append(number)
            before = number
        return as_stretches(places[begin:])

    # What is made of it

    def adopt(self, output: Sequence[Item], known: Trajectory | None) -> None:
        """Take over what was done elsewhere: the main conversation, and as far as it is known who said what in it.

        What was recorded here is found in it again.
        """
        self._plain = False
        numbers: list[int] = []
        told: set[int] = set()
        for item in (*known.input, *output, *known.others) if known is not None else output:
            number = self._caught_up().number_after(item, numbers[-1] if numbers else -1)
            if number == NEW or number in told:
                number = self._add(self.main, [item])
            numbers.append(number)
            told.add(number)
        start = len(known.input) if known is not None else 0
        self._output = numbers[start : start + len(output)]
        if known is None:
            return

        def found(stretches: Stretches) -> Stretches:
            return as_stretches(numbers[place] for place in places_of(stretches))

        before = len(self.model_calls)
        for call in known.model_calls:
            continues = call.continues + before if call.continues is not None else None
            tokens = call.tokens
            if tokens is not None:
                self._tokens = self._tokens or {}
                if tokens.continues is not None:
                    tokens = replace(tokens, continues=tokens.continues + before)
            self._called(
                replace(call, continues=continues, shown=found(call.shown), gave=found(call.gave), tokens=tokens)
            )
        self.tool_runs += (
            replace(run, call=numbers[run.call], output=numbers[run.output]) for run in known.tool_runs or ()
        )

    def placed(self) -> Placed:
        """All of it by places: the main conversation follows the input, and all other items follow that."""
        begin, items = self.input, self.items
        if self._tokens is not None:  # they stand with the calls, and nowhere else
            items = [*map(without_tokens, items)]
        if self._plain:
            return Placed(items[begin:], (), self.model_calls, self.tool_runs, self.replies, self.opening)
        main = {*self._output} if self._output is not None else self._main_conversation()
        output = self._output
        if output is None:
            output = [number for number in range(begin, len(items)) if number in main]
        others = [number for number in range(begin, len(items)) if number not in main]
        places, end = [*range(len(items))], begin + len(output)
        for place, number in enumerate(chain(output, others), begin):
            places[number] = place
        return Placed(
            [items[number] for number in output],
            [items[number] for number in others],
            [
                replace(call, shown=_moved(call.shown, places, end), gave=_moved(call.gave, places, end))
                for call in self.model_calls
            ],
            [replace(run, call=places[run.call], output=places[run.output]) for run in self.tool_runs],
            [replace(reply, gave=_moved(reply.gave, places, end)) for reply in self.replies],
            self.opening,
        )

    def _main_conversation(self) -> set[int]:
        """The numbers of what the session said to the main actor, and of its answers that stand."""
        main = {*range(self._opened_at, self._opened_at + self.opening)}
        main.update(conversation_of(self.model_calls, self.tool_runs, MAIN))
        for reply in self.replies:
            main.update(places_of(reply.gave))
        return main

    def trajectory(self, stop_reason: str) -> Trajectory:
        """What the verifier is given."""
        placed = self.placed()
        return Trajectory(
            self.items[: self.input],
            placed.output,
            stop_reason=stop_reason,
            model_calls=tuple(placed.model_calls),
            tool_runs=tuple(placed.tool_runs),
            others=placed.others,
        )

    def response(self, output: Sequence[Item], usage: dict[str, Any] | None = None) -> dict[str, Any]:
        """The last response with the whole trajectory as its output and the policy's tokens added up.

        `usage`: that of all calls, if it was written out already.
        """
        body: Mapping[str, Any] = self.last.body if self.last is not None else {"object": "response"}
        if usage is None or self._others:
            usage = self.policy_usage.to_wire()
        return {**body, "output": output, "usage": usage}


def _moved(stretches: Stretches, places: Sequence[int], end: int) -> Stretches:
    """Stretches of numbers as stretches of places. `end`: where the main conversation does."""
    moved: Stretches = []
    for start, stop in stretches:
        first, last = places[start], places[stop - 1]
        if last - first == stop - start - 1 and (first < end) == (last < end):
            parts = [[first, last + 1]]  # the usual case: they stay together
        else:
            parts = as_stretches(places[start:stop])
        if moved and moved[-1][1] == parts[0][0]:
            moved[-1][1] = parts.pop(0)[1]
        moved += parts
    return moved


_CHECKED = ("function_call", "function_call_output")
"""The types of items that not every server takes in any form."""


def _instructs(item: Item) -> bool:
    return item.get("role") in _INSTRUCTING and item.get("type", "message") == "message"


_INSTRUCTING = frozenset({"system", "developer"})


def _same_call(item: Item, call: Mapping[str, Any]) -> bool:
    """Whether a call is the one that a model wrote, without what a client leaves out or adds."""
    return (
        call_id_of(item) == call_id_of(call)
        and item.get("name") == call.get("name")
        and arguments_text(item.get("arguments")) == arguments_text(call.get("arguments"))
    )


def _copies(items: Sequence[Item]) -> list[Item]:
    try:
        return [copied(item) for item in items]
    except RecursionError:  # they nest too deeply to be copied, or compared: what is nested in them is shared
        return [{**item} for item in items]


def copied(item: Item) -> Item:
    """A copy of JSON that shares only what cannot be changed."""
    copy = item.copy()
    if not _CONTAINERS.isdisjoint(map(type, item.values())):  # a loop in C: most items hold nothing but texts
        for name, value in item.items():
            if type(value) in _CONTAINERS:
                copy[name] = _copied(value)
    return copy


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return copied(value)
    if not value:
        return []
    return [_copied(inner) if type(inner) in _CONTAINERS else inner for inner in value]


_CONTAINERS: frozenset[type] = frozenset((dict, list))
