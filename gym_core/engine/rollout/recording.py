"""What a rollout records while it runs: its items, and who was shown and said which.

Items are numbered in order of arrival, each once; `row.py` gives them their places in the end. The reading side is
`domain/conversation.py`, which says what a recorded call means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gym_core.domain.arguments import arguments_text, is_sendable
from gym_core.domain.conversation import (
    MAIN,
    ModelCall,
    Reply,
    Stretches,
    ToolRun,
    as_stretches,
    beginning_of,
    path_length,
    places_of,
)
from gym_core.domain.errors import UsageError
from gym_core.domain.responses import Item, Response, Usage, call_id_of
from gym_core.domain.rollout import Trajectory
from gym_core.domain.tokens import CallTokens, Tokens
from gym_core.domain.tool_calls import new_call_id
from gym_core.engine.model_calls.gate import Answer
from gym_core.engine.model_calls.prices import Price, cost_of
from gym_core.engine.rollout.speaker import NEW, EqualItems, Question, Speaker, common, instructs
from gym_core.engine.rollout.token_tree import TokenTree


class Recording:
    """The items of one rollout, and the calls of its actors to models and tools.

    Items are kept as copies: an agent may shorten what it holds, and the record still says what the model wrote.
    """

    def __init__(self, input: Sequence[Item]) -> None:
        self.items: list[Item] = [*input]
        self._handed_out: list[Item] = _copies(input)
        self.input = len(self.items)
        """How many items the row's input has."""
        self.opening = 0
        """How many the session has opened with."""
        self.opened_at = self.input
        self.main = Speaker(MAIN, MAIN)
        self.actors: dict[str, Speaker] = {MAIN: self.main}
        self.main.path += self.items
        self.main.numbers += range(self.input)
        self.model_calls: list[ModelCall] = []
        self.tool_runs: list[ToolRun] = []
        self.replies: list[Reply] = []
        self.last: Response | None = None
        self.policy_usage = Usage()
        self.others = False
        """Whether models of other roles were asked."""
        self.plain = True
        """Whether every item after the input is part of the main conversation, so that numbers are places."""
        self._equal: EqualItems | None = None
        self.tokens: dict[str, TokenTree] | None = None
        """The tokens of each actor's calls, once a response has any."""
        self.output: list[int] | None = None
        """The numbers of the main conversation, where it was made elsewhere."""
        self.odd = False
        """Whether there is an item that not every server takes: else nobody has to look through what is sent."""
        self._look_through(input)

    @property
    def visible(self) -> list[Item]:
        """The conversation so far, as the agent may hold and change it."""
        return [*self._handed_out]

    @property
    def usage(self) -> Usage:
        """Tokens of all calls, whatever their role."""
        usage = Usage()
        for call in self.model_calls:
            usage.add(call.usage)
        return usage

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
        self.opened_at = self._say(self.main, items)
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
        speaker.path += self.items[start:]
        speaker.numbers += range(start, len(self.items))
        return start

    def _add(self, speaker: Speaker, items: Sequence[Item]) -> int:
        """Append items, which others hold; returns the number of the first."""
        start = len(self.items)
        self.items += map(copied, items)
        self._look_through(items)
        self._handed_out += items
        if speaker is not self.main:
            self.plain = False
        return start

    # Tool calls

    def call_number(self, speaker: Speaker, call: Mapping[str, Any]) -> int:
        """The number of the function call that an actor has carried out: one that its model wrote, or a new item."""
        waiting, items = speaker.unanswered, self.items
        for number in waiting if len(waiting) == 1 else self._latest_first(speaker):
            if items[number] == call or _same_call(items[number], call):
                waiting.remove(number)
                return number
        self.plain = False
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

    # Requests have no identity: what a call continues is found by comparing what it shows. In the plain loop, where
    # every request of an actor begins with all that it has seen so far, one comparison in C tells, and nothing else is
    # kept. The first request that does not has the paths of the actor's calls written down, from then on.

    def asks(self, speaker: Speaker, items: Sequence[Item]) -> Question:
        """What a model call of an actor continues, found by what it is shown. Nothing is recorded yet."""
        path, length = speaker.path, speaker.length
        followed = len(path)
        if speaker.paths is None and items[:followed] == path:
            continues, kept = speaker.last, length
        else:
            followed = common(items, path)
            continues, kept = speaker.continued(items, followed, self._caught_up())
        after = max(kept, followed)
        shown = speaker.numbers[kept:after]
        if len(items) == after:
            return Question(continues, kept, shown, (), (), followed >= length)
        given = items[after:]
        self._look_through(given)
        return Question(continues, kept, shown, given, _copies(given), followed >= length)

    def _look_through(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.get("type") in _CHECKED and not self.odd and not is_sendable(item):
                self.odd = True

    def _caught_up(self) -> EqualItems:
        if self._equal is None:
            self._equal = EqualItems(self.items, self._handed_out)
        self._equal.catch_up()
        return self._equal

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
        shared, numbers = speaker.length, speaker.numbers
        end = question.kept + len(question.shown)
        if question.continues != speaker.last or question.kept != shared or end != len(numbers) or question.given:
            shared = self._come_to(speaker, question)
        shown = as_stretches(numbers[question.kept :])
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
            [[start, stop]] if said else [],
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
        numbers += range(start, stop)
        speaker.length = len(numbers)
        for number, item in enumerate(said, start):
            if item.get("type") == "function_call":
                speaker.unanswered.append(number)
        if speaker.paths is not None:
            speaker.plant(shared, self._caught_up())
        elif not said and all(map(instructs, speaker.path)):
            speaker.part(self._caught_up())  # whoever begins with nothing but instructions continues nothing

    def _come_to(self, speaker: Speaker, question: Question) -> int:
        """Have the path of an actor end with what a call was shown; returns how much of its last call's path is left.

        Calls at once, and what the session says meanwhile, make the path another one between question and answer: it
        goes on where the call that is continued has ended.
        """
        kept, numbers, path = question.kept, speaker.numbers, speaker.path
        if question.continues == speaker.last:
            same = kept
            if kept != speaker.length:
                self._parted(speaker)
        else:
            self._parted(speaker)
            begun = beginning_of(self.model_calls, question.continues, kept)
            same = min(common(numbers, begun), speaker.length)
            numbers[same:] = begun[same:]
        numbers[kept:] = question.shown
        self._resolve(question, numbers)
        path[same:] = map(self.items.__getitem__, numbers[same:])
        return same

    def _parted(self, speaker: Speaker) -> None:
        """Note that an actor's calls do not all go on from one another."""
        speaker.part(self._caught_up())
        if speaker is self.main:
            self.plain = False

    def _recorded(self, speaker: Speaker, question: Question, tokens: Tokens, model: Any) -> CallTokens:
        """The tokens of a call that is about to be noted, by what is new in them."""
        if self.tokens is None:
            self.tokens = {}
        tree = self.tokens.get(speaker.name)
        if tree is None:
            tree = self.tokens[speaker.name] = TokenTree()
        follows = question.continues
        if follows is not None and question.kept < path_length(self.model_calls[follows]):
            follows = None  # the conversation itself parts from it: that its tokens do is no break
        return tree.add(len(self.model_calls), tokens, follows, model)

    def _called(self, call: ModelCall) -> None:
        if call.role == MAIN:
            self.policy_usage.add(call.usage)
        else:
            self.others = True
        self.model_calls.append(call)

    def _resolve(self, question: Question, numbers: list[int]) -> None:
        """Add the numbers of what an agent has brought along to those that a call was shown.

        An item is the first of those that say the same after the one before it, else the first of all, else new.
        """
        before = numbers[-1] if numbers else -1
        for item, given in zip(question.copies, question.given, strict=True):
            number = self._caught_up().number_after(item, before, given)
            if number == NEW:
                number = len(self.items)
                self.items.append(item)
                self._handed_out.append(given)
                self.plain = False
            numbers.append(number)
            before = number

    # What is made of it

    def adopt(self, output: Sequence[Item], known: Trajectory | None) -> None:
        """Take over what was done elsewhere: the main conversation, and as far as it is known who said what in it.

        What was recorded here is found in it again.
        """
        self.plain = False
        numbers: list[int] = []
        told: set[int] = set()
        for item in (*known.input, *output, *known.others) if known is not None else output:
            number = self._caught_up().number_after(item, numbers[-1] if numbers else -1)
            if number == NEW or number in told:
                number = self._add(self.main, [item])
            numbers.append(number)
            told.add(number)
        start = len(known.input) if known is not None else 0
        self.output = numbers[start : start + len(output)]
        if known is None:
            return

        def found(stretches: Stretches) -> Stretches:
            return as_stretches(numbers[place] for place in places_of(stretches))

        before = len(self.model_calls)
        for call in known.model_calls:
            continues = call.continues + before if call.continues is not None else None
            tokens = call.tokens
            if tokens is not None:
                self.tokens = self.tokens or {}
                if tokens.continues is not None:
                    tokens = replace(tokens, continues=tokens.continues + before)
            self._called(
                replace(call, continues=continues, shown=found(call.shown), gave=found(call.gave), tokens=tokens)
            )
        self.tool_runs += (
            replace(run, call=numbers[run.call], output=numbers[run.output]) for run in known.tool_runs or ()
        )


_CHECKED = ("function_call", "function_call_output")
"""The types of items that not every server takes in any form."""


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
