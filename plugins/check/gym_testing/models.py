"""A model backend that says what a test wants."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from gym_core import CallContext, ComponentContext, Item, ModelBackend, Request, Response
from gym_testing.replies import USAGE, Reply, say

Words: TypeAlias = "str | Item | Sequence[Item | str] | Reply | Response | BaseException"
"""What one call is answered with; an exception is raised."""
ModelTurn: TypeAlias = "Words | Callable[[Request, CallContext], Any]"
"""Words, or a function of request and context that returns some; it may be `async`."""


class ScriptedModel(ModelBackend):
    """Gives each rollout the turns of a script in order, the last one again and again; without any it says "done".

    A turn is a text, an item (`call(...)`, `say(...)`), several of them, an `answer(...)`, a `Response`, an exception,
    or a function of request and context that returns one of these; it may be `async`.

    `inflight`, `retries`: its `max_inflight` and `max_retries`. What it saw: `requests` and `contexts`, in the order of
    calls.
    """

    usage: ClassVar[Mapping[str, Any]] = USAGE
    """What an answer says it took, unless its turn says otherwise."""

    def __init__(
        self,
        *script: ModelTurn,
        name: str = "scripted",
        role: str = "",
        options: Any = None,
        inflight: int | None = None,
        retries: int | None = None,
    ) -> None:
        super().__init__(options, ComponentContext(name=name, role=role))
        self.script: Sequence[ModelTurn] = script or ("done",)
        self.requests: list[Request] = []
        self.contexts: list[CallContext] = []
        self.inflight = inflight
        self.retries = retries
        self._turns: dict[tuple[str, int], itertools.count[int]] = {}

    @property
    def max_inflight(self) -> int | None:
        """As the test set it."""
        return self.inflight

    @property
    def max_retries(self) -> int | None:
        """As the test set it."""
        return self.retries

    async def respond(self, request: Request, context: CallContext) -> Response:
        """The next turn of the rollout that `context` names."""
        self.requests.append(Request({**request.body, "input": list(request.input)}))
        self.contexts.append(context)
        number = next(self._turns.setdefault(context.key, itertools.count()))
        turn: Any = self.script[min(number, len(self.script) - 1)]
        if callable(turn):
            turn = turn(request, context)
            if inspect.isawaitable(turn):
                turn = await turn
        if isinstance(turn, BaseException):
            raise turn
        return as_response(turn, self.usage)

    def outputs(self) -> list[str]:
        """The tool outputs of the last request."""
        return [item["output"] for item in self.requests[-1].input if item.get("type") == "function_call_output"]


def response(*output: Item, usage: Mapping[str, Any] | None = USAGE, **fields: Any) -> Response:
    """A response with these output items; `fields` of its body besides."""
    body = {"id": "r", "object": "response", "model": "m", "output": list(output), "usage": usage}
    return Response({**body, **fields})


def as_response(turn: Words, usage: Mapping[str, Any] | None = USAGE) -> Response:
    """A turn of a script as a response. Raises `TypeError` for what is none."""
    if isinstance(turn, Response):
        return turn
    if isinstance(turn, Reply):
        if turn.items is None:
            raise TypeError(f"{turn!r} is a reply of an endpoint; a model in this process answers with items")
        status = {"status": "incomplete", "incomplete_details": {"reason": turn.incomplete}} if turn.incomplete else {}
        return response(*turn.items, usage=turn.usage, **status, **turn.fields)
    if isinstance(turn, str | dict):
        turn = [turn]
    if not isinstance(turn, list | tuple):
        raise TypeError(f"a turn of a script is a text, an item, several of them or an answer, not {turn!r:.100}")
    return response(*(say(item) if isinstance(item, str) else dict(item) for item in turn), usage=usage)
