"""A model backend with a look at what it is asked and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from gym_core import CallContext, ModelBackend, ModelError, ModelInfo, Request, Response


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One call: the body that arrived, and what it came to."""

    body: Mapping[str, Any]
    result: Response | Exception

    def difference(self, request: Request, came: Response | ModelError) -> str:
        """How the call differs from what a client sent and got, empty where it does not.

        A server adds what an answer of its kind has to have, and changes nothing that is there. It tries again what
        may pass, so of a failure that may the class is another matter.
        """
        sent = {name: value for name, value in request.body.items() if value is not None}
        if dict(self.body) != sent:
            return f"the request {sent!r:.300} reached the backend as {dict(self.body)!r:.300}"
        if isinstance(self.result, Response):
            if not isinstance(came, Response):
                return f"a good answer became {came!r:.300}"
            return _changed(self.result.body, came.body, "the answer")
        if isinstance(came, Response):
            return f"{self.result!r:.300} became an answer"
        if isinstance(self.result, ModelError) and not self.result.retryable and type(came) is not type(self.result):
            return f"{self.result!r:.300} became {came!r:.300}"
        return ""


def _changed(made: Any, came: Any, place: str) -> str:
    """Where `came` lacks something of `made`, or has something else in its place."""
    if isinstance(made, dict) and isinstance(came, dict):
        for name, value in made.items():
            found = _changed(value, came.get(name), f"{place}.{name}") if value is not None else ""
            if found:
                return found
        return ""
    if isinstance(made, list) and isinstance(came, list) and len(made) == len(came):
        for number, (before, after) in enumerate(zip(made, came, strict=True)):
            found = _changed(before, after, f"{place}.{number}")
            if found:
                return found
        return ""
    return "" if made == came else f"`{place}` is {came!r:.300} and not {made!r:.300}"


class SpiedModel(ModelBackend):
    """A backend, and the `calls` that reached it."""

    def __init__(self, backend: ModelBackend) -> None:
        super().__init__(backend.options, backend.context)
        self.backend = backend
        self.calls: list[SeenCall] = []

    async def __aenter__(self) -> Self:
        await self.backend.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.backend.__aexit__(*error)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """As the backend has them."""
        return self.backend.endpoints

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One call."""
        body = {**request.body, "input": list(request.input)}
        try:
            response = await self.backend.respond(request, context)
        except Exception as error:
            self.calls.append(SeenCall(body, error))
            raise
        self.calls.append(SeenCall(body, Response(dict(response.body))))
        return response

    async def check(self) -> Sequence[str]:
        """As the backend looks."""
        return await self.backend.check()

    async def list_models(self) -> Sequence[str]:
        """As the backend lists them."""
        return await self.backend.list_models()

    def describe(self) -> ModelInfo:
        """What the backend says."""
        return self.backend.describe()
