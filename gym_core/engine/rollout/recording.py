"""What a rollout records while it runs: its conversation and its model calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gym_core.domain.responses import Item, Response, UsageCounter, call_id_of
from gym_core.domain.rollout import ModelCall, Trajectory
from gym_core.domain.tool_calls import answered_calls, is_sendable, new_call_id, written_places
from gym_core.engine.model_calls.gate import Answer
from gym_core.engine.model_calls.prices import Price, cost_of


class Recording:
    """The conversation of one rollout and the model calls that made it.

    The conversation is one list: the input of the task, then every item that came after, in order. A model call refers
    to stretches of it, so nothing is stored twice however often it is sent. Items are kept as copies: an agent may
    shorten what it holds, and the record still says what the model wrote.
    """

    __slots__ = (
        "_handed_out",
        "_others",
        "calls",
        "conversation",
        "foreign",
        "last",
        "odd",
        "opening",
        "policy_usage",
    )

    def __init__(self, input: Sequence[Item]) -> None:
        self.conversation: list[Item] = [*input]
        self._handed_out: list[Item] = _copies(input)
        self.opening = len(self.conversation)
        self.calls: list[ModelCall] = []
        self.last: Response | None = None
        self.foreign: list[int] = []
        """Places of the items that the agent added by itself."""
        self.policy_usage = UsageCounter()
        self._others = False
        self.odd = not all(is_sendable(item) for item in input)
        """Whether there is an item that not every server takes: else nobody has to look through what is sent."""

    @property
    def visible(self) -> list[Item]:
        """The conversation so far, as the agent may hold and change it."""
        return [*self._handed_out]

    def called(self, call: ModelCall, response: Response) -> None:
        """Note a finished model call."""
        if call.role == "policy":
            self.last = response
            self.policy_usage.add(call.usage)
        else:
            self._others = True
        self.calls.append(call)

    @property
    def usage(self) -> UsageCounter:
        """Tokens of all calls, whatever their role."""
        if not self._others:
            return self.policy_usage
        counter = UsageCounter()
        for call in self.calls:
            counter.add(call.usage)
        return counter

    def add(self, items: Sequence[Item]) -> list[int]:
        """Append items, which others hold; returns the stretch they take."""
        start = len(self.conversation)
        for item in items:
            self.conversation.append(copied(item))
            if not self.odd and not is_sendable(item):
                self.odd = True
        self._handed_out += items
        return [start, len(self.conversation)]

    def refer(self, items: Sequence[Item]) -> list[list[int] | Item]:
        """The stretches of the conversation that `items` are; what is not part of it yet is appended.

        An agent may leave items out, reorder them, change them, or add its own. An item is recognised by being the
        object that was handed out, or by its place, and in both cases only while it says the same.
        """
        conversation = self.conversation
        if items == conversation:
            return [[0, len(conversation)]]
        places = {id(item): place for place, item in enumerate(self._handed_out)}
        stretches: list[list[int] | Item] = []
        start = end = 0
        for item in items:
            place = places.get(id(item), end)
            if place >= len(conversation) or conversation[place] != item:
                place = self.add([item])[0]
                self.foreign.append(place)
                places[id(item)] = place
            if place == end:
                end += 1
            else:
                if start < end:
                    stretches.append([start, end])
                start, end = place, place + 1
        if start < end:
            stretches.append([start, end])
        return stretches

    def named(self, calls: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The calls with ids; one that names no id is the first of its name that has no output yet."""
        conversation = self.conversation
        said = written_places((call.output for call in self.calls if call.role == "policy"), len(conversation))
        answered = set(answered_calls(conversation, said).values())
        named = {call_id_of(call) for call in calls}
        waiting = [
            item
            for place, item in enumerate(conversation)
            if item.get("type") == "function_call" and place not in answered and call_id_of(item) not in named
        ]
        found: list[Mapping[str, Any]] = []
        for call in calls:
            call_id = call_id_of(call)
            if not call_id:
                place = next((i for i, item in enumerate(waiting) if item.get("name") == call.get("name")), None)
                call_id = new_call_id() if place is None else call_id_of(waiting.pop(place))
            found.append({**call, "call_id": call_id})
        return found

    @property
    def items(self) -> list[Item]:
        """Everything after the task's own input."""
        return self.conversation[self.opening :]

    def trajectory(self, stop_reason: str) -> Trajectory:
        """What the verifier is given."""
        return Trajectory(
            self.conversation[: self.opening], self.items, stop_reason=stop_reason, model_calls=tuple(self.calls)
        )

    def response(self, usage: dict[str, Any] | None = None) -> dict[str, Any]:
        """The last response with the whole trajectory as its output and the policy's tokens added up.

        `usage`: that of all calls, if it was written out already.
        """
        body: Mapping[str, Any] = self.last.body if self.last is not None else {"object": "response"}
        if usage is None or self._others:
            usage = self.policy_usage.to_wire()
        return {**body, "output": self.items, "usage": usage}


def _copies(items: Sequence[Item]) -> list[Item]:
    try:
        return [copied(item) for item in items]
    except RecursionError:  # they nest too deeply to be copied, or compared: what is nested in them is shared
        return [{**item} for item in items]


def copied(item: Item) -> Item:
    """A copy of JSON that shares only what cannot be changed."""
    if _CONTAINERS.isdisjoint(map(type, item.values())):  # a loop in C: most items hold nothing but texts
        return item.copy()
    return {name: _copied(value) if type(value) in _CONTAINERS else value for name, value in item.items()}


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return copied(value)
    return [_copied(inner) if type(inner) in _CONTAINERS else inner for inner in value]


_CONTAINERS: frozenset[type] = frozenset((dict, list))


def model_call(
    role: str,
    actor: str,
    input: list[list[int] | Item],
    output: list[list[int] | Item],
    answer: Answer,
    params: Mapping[str, Any] | None,
    price: Price | None,
) -> ModelCall:
    """What is recorded of a model call that was answered."""
    body = answer.response.body
    identity = {"response_id": body.get("id"), "model": body.get("model")}
    usage = body.get("usage")
    call = ModelCall(
        role, actor, input, output, usage, answer.latency, answer.waited, answer.attempts, params or None, identity
    )
    if price is not None:
        call.cost = cost_of(price, usage)
    return call
