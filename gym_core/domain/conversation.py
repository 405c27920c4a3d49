"""Who was shown and who said which item of a rollout: the conversations of its actors, as they are read.

Every item is stored once and known by its place. Conversations of one actor branch: context is compacted, outputs are
left out, a request is tried again. So a model call names the earlier call of its actor that it `continues`, how many of
that one's items it `kept`, and what it was `shown` besides; with what it `gave` these are a path in a tree. The writing
side is `engine/rollout/recording.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from typing import Any, TypeAlias

from gym_core.domain.tokens import CallTokens

MAIN = "policy"
"""The actor whose conversation is the trajectory: the one that the agent itself speaks for."""

Stretches: TypeAlias = list[list[int]]
"""Places as pairs `[start, stop]`, in the order in which they were shown or said."""

_NUMBER = (int, float)
"""A union would be made anew for each of several checks per call."""


@dataclass(slots=True)
class ModelCall:
    """One request of an actor to a model and its response, as recorded.

    `continues`: the earlier call, by its number, whose items the request begins with, None where it begins anew;
    `kept`: how many of them. `shown`: what came after those. `gave`: what the model said. `usage`: as the server sent
    it. `at`: seconds from the start of the rollout until the call began; `latency`: seconds of the successful attempt;
    `waited`: seconds for a slot and between attempts. `sampling`: what differed from the task's request. `verifies`:
    whether the verifier asked. `tokens`: what it read and sampled, where the backend was asked for that.
    """

    actor: str
    role: str
    continues: int | None
    kept: int
    shown: Stretches
    gave: Stretches
    usage: Mapping[str, Any] | None = None
    latency: float = 0.0
    waited: float = 0.0
    attempts: int = 1
    at: float = 0.0
    response_id: Any = None
    model: Any = None
    sampling: Mapping[str, Any] | None = None
    cost: float | None = None
    verifies: bool = False
    tokens: CallTokens | None = None

    def to_wire(self) -> dict[str, Any]:
        """The call as it stands in a row."""
        wire: dict[str, Any] = {
            "actor": self.actor,
            "role": self.role,
            "continues": self.continues,
            "kept": self.kept,
            "shown": self.shown,
            "gave": self.gave,
            "at": round(self.at, 6),
            "latency": round(self.latency, 6),
            "waited": round(self.waited, 6),
            "attempts": self.attempts,
            "usage": self.usage,
            "response_id": self.response_id,
            "model": self.model,
        }
        if self.sampling:
            wire["sampling"] = self.sampling
        if self.cost is not None:
            wire["cost"] = self.cost
        if self.verifies:
            wire["verifies"] = True
        if self.tokens is not None:
            wire["tokens"] = self.tokens.to_wire()
        return wire

    @classmethod
    def of(cls, wire: Mapping[str, Any], end: int) -> ModelCall:
        """A call as it stands in a row of `end` items; what is missing or of another type has its default."""
        continues, kept, latency = wire.get("continues"), wire.get("kept"), wire.get("latency")
        waited, attempts, at, cost = wire.get("waited"), wire.get("attempts"), wire.get("at"), wire.get("cost")
        return cls(
            str(wire.get("actor") or MAIN),
            str(wire.get("role") or MAIN),
            continues if type(continues) is int else None,
            kept if type(kept) is int else 0,
            _stretches(wire.get("shown"), end),
            _stretches(wire.get("gave"), end),
            wire.get("usage"),
            latency if isinstance(latency, _NUMBER) else 0.0,
            waited if isinstance(waited, _NUMBER) else 0.0,
            attempts if type(attempts) is int else 1,
            at if isinstance(at, _NUMBER) else 0.0,
            wire.get("response_id"),
            wire.get("model"),
            wire.get("sampling"),
            cost if isinstance(cost, _NUMBER) else None,
            wire.get("verifies") is True,
            CallTokens.of(wire["tokens"]) if "tokens" in wire else None,
        )


def read_model_calls(wires: Iterable[Mapping[str, Any]], end: int) -> list[ModelCall]:
    """Model calls as they stand in a row of `end` items. What continues no earlier one begins anew, but for tokens."""
    calls = [ModelCall.of(wire, end) for wire in wires]
    for number, call in enumerate(calls):
        if call.continues is not None and not 0 <= call.continues < number:
            call.continues = None
        tokens = call.tokens
        if tokens is not None and tokens.continues is not None and not tokens.problem:
            before = calls[tokens.continues].tokens if 0 <= tokens.continues < number else None
            if before is None or before.problem or not 0 <= tokens.kept <= before.length:
                call.tokens = CallTokens(problem="the tokens that it goes on from are not there")
    return calls


@dataclass(slots=True)
class ToolRun:
    """One tool call that was carried out. `call`, `output`: the places of the call and of what answered it.

    `at`: seconds from the start of the rollout until it began; `seconds`: how long it took. `error`: what was wrong
    with the call, by its kind; None for nothing.
    """

    actor: str
    call: int
    output: int
    at: float = 0.0
    seconds: float = 0.0
    error: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The tool call as it stands in a row."""
        wire: dict[str, Any] = {
            "actor": self.actor,
            "call": self.call,
            "output": self.output,
            "at": round(self.at, 6),
            "seconds": round(self.seconds, 6),
        }
        if self.error is not None:
            wire["error"] = self.error
        return wire

    @classmethod
    def of(cls, wire: Mapping[str, Any], end: int) -> ToolRun | None:
        """A tool call as it stands in a row of `end` items; None for one whose places are none."""
        call, output, at, seconds, error = (wire.get(name) for name in ("call", "output", "at", "seconds", "error"))
        if type(call) is not int or type(output) is not int or not (0 <= call < end and 0 <= output < end):
            return None
        return cls(
            str(wire.get("actor") or MAIN),
            call,
            output,
            at if isinstance(at, _NUMBER) else 0.0,
            seconds if isinstance(seconds, _NUMBER) else 0.0,
            str(error) if error is not None else None,
        )


@dataclass(slots=True)
class Reply:
    """What the session answered to a response of the main actor.

    `gave`: nothing where it was done. `model_calls`, `tool_calls`: how many had ended before.
    """

    gave: Stretches
    model_calls: int
    tool_calls: int

    def to_wire(self) -> dict[str, Any]:
        """The reply as it stands in a row."""
        return {"gave": self.gave, "model_calls": self.model_calls, "tool_calls": self.tool_calls}

    @classmethod
    def of(cls, wire: Mapping[str, Any], end: int) -> Reply:
        """A reply as it stands in a row of `end` items."""
        model_calls, tool_calls = wire.get("model_calls"), wire.get("tool_calls")
        return cls(
            _stretches(wire.get("gave"), end),
            model_calls if type(model_calls) is int else 0,
            tool_calls if type(tool_calls) is int else 0,
        )


def _stretches(value: Any, end: int) -> Stretches:
    """What is read as stretches of `end` items: nobody counts on places that there are not."""
    if not isinstance(value, list):
        return []
    return [
        [max(stretch[0], 0), min(stretch[1], end)]
        for stretch in value
        if isinstance(stretch, list) and len(stretch) == 2 and type(stretch[0]) is type(stretch[1]) is int
    ]


def places_of(stretches: Iterable[Sequence[int]]) -> list[int]:
    """Every place of some stretches, in order."""
    return list(chain.from_iterable(starmap(range, stretches)))


def as_stretches(places: Iterable[int]) -> Stretches:
    """Places in order as stretches."""
    stretches: Stretches = []
    end = -1
    for place in places:
        if place == end:
            end = stretches[-1][1] = place + 1
        else:
            stretches.append([place, place + 1])
            end = place + 1
    return stretches


def shown_to(calls: Sequence[ModelCall], number: int) -> list[int]:
    """The places of all items that a model call was shown, in order."""
    call = calls[number]
    return [*beginning_of(calls, call.continues, call.kept), *places_of(call.shown)]


def beginning_of(calls: Sequence[ModelCall], continues: int | None, kept: int) -> list[int]:
    """The first `kept` places of the path of the call that is continued."""
    parts: list[list[int]] = []
    while continues is not None and kept > 0:
        call = calls[continues]
        if kept > call.kept:
            own = places_of(chain(call.shown, call.gave))
            parts.append(own[: kept - call.kept])
            kept = call.kept
        continues = call.continues
    return list(chain.from_iterable(reversed(parts)))


def path_length(call: ModelCall) -> int:
    """How many items a call was shown and gave."""
    return call.kept + sum(stop - start for start, stop in chain(call.shown, call.gave))


def answers_that_stand(calls: Sequence[ModelCall], tools: Iterable[ToolRun], actor: str) -> set[int]:
    """The numbers of the model calls whose answers are part of an actor's conversation.

    An answer stands where a later call of the actor was shown any item of it, where a tool has answered it, and where
    it came last. The others are tries that were given up.
    """
    mine = [number for number, call in enumerate(calls) if call.actor == actor]
    if not mine:
        return set()
    standing = {mine[-1]}
    answers = sorted((start, stop, number) for number in mine for start, stop in calls[number].gave)

    def stand(start: int, stop: int) -> None:
        first = bisect_left(answers, (start,))
        if first and answers[first - 1][1] > start:
            first -= 1
        for begun, _, number in answers[first:]:
            if begun >= stop:
                break
            standing.add(number)

    for number in mine:
        call = calls[number]
        if call.continues is not None:
            before = calls[call.continues]
            if call.kept > path_length(before) - sum(stop - start for start, stop in before.gave):
                standing.add(call.continues)
        for start, stop in call.shown:
            stand(start, stop)
    for tool in tools:
        if tool.actor == actor:
            stand(tool.call, tool.call + 1)
    return standing


def conversation_of(calls: Sequence[ModelCall], tools: Sequence[ToolRun], actor: str) -> list[int]:
    """The places of what was said to an actor by the session's tools, and of its answers that stand, in order."""
    standing = answers_that_stand(calls, tools, actor)
    said = {tool.output for tool in tools if tool.actor == actor}
    for number in standing:
        said.update(places_of(calls[number].gave))
    return sorted(said)
