"""Models of the run as models of Inspect: `gym/policy`, `gym/judge`, by role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gym_core import Response, RunnerContext, Sampling, TaskFailed
from gym_core.errors import ContextLengthError, ModelError
from gym_core.responses import Request
from gym_inspect.messages import to_items, to_output, to_settings

if TYPE_CHECKING:
    from inspect_ai.model import Model

POLICY = "policy"
SCORER = "scorer"
_FIELDS = frozenset(Sampling.__annotations__) - {"extra"}
_MANY = 1_000_000


class Calls:
    """The model calls of one rollout. Each rollout has its own, which its code finds by its context.

    `scoring`: whether scorers are at work, whose calls of the policy's model are no part of its conversation. `failed`:
    the errors of calls that nobody made good, by role: code that passes over one has not come to an honest end.
    """

    def __init__(self, context: RunnerContext, sampling: Mapping[str, Any]) -> None:
        self.context = context
        self.sampling = sampling
        self.scoring = False
        self.failed: dict[str, BaseException] = {}
        self._said: dict[str, list[Any]] = {}

    async def generate(self, role: str, messages: Any, tools: Any, choice: Any, config: Any) -> Any:
        """One call, and its answer as Inspect has it."""
        settings = to_settings(tools, choice, config)
        items = to_items(messages, self._said)
        try:
            response = await self._ask(role, items, settings)
        except ContextLengthError as error:  # as every provider of Inspect has it
            from inspect_ai.model import ModelOutput

            self.failed.pop(role, None)
            return ModelOutput.from_content(f"gym/{role}", error.message, stop_reason="model_length")
        except ModelError as error:
            self.failed[role] = error
            raise
        self.failed.pop(role, None)
        ident = uuid4().hex
        self._said[ident] = response.output
        return to_output(response, f"gym/{role}", tools, ident)

    async def _ask(self, role: str, items: Sequence[Any], settings: dict[str, Any]) -> Response:
        if role == POLICY and self.scoring:
            extra = {name: settings.pop(name) for name in tuple(settings) if name not in _FIELDS}
            return await self.context.actor(SCORER).respond(items, **settings, extra=extra)
        if role == POLICY:
            settings |= self.sampling
        if role not in self.context.models:
            raise TaskFailed(
                f"the task asks a model `gym/{role}`, and the run has no `{role}`", hint=f"--model {role}="
            )
        return await self.context.models[role].respond(Request({**settings, "input": list(items)}))


_calls: ContextVar[Calls] = ContextVar("gym_inspect_calls")


@contextmanager
def calls_of(context: RunnerContext, sampling: Mapping[str, Any]) -> Iterator[Calls]:
    """Have the models of the run answer within a block, as this rollout's."""
    calls = Calls(context, sampling)
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def model(role: str) -> Model:
    """The model of a role, as Inspect has models; the same one for all rollouts."""
    from inspect_ai.model import get_model

    register()
    return get_model(f"gym/{role}")


def register() -> None:
    """Tell Inspect of `gym/ROLE`, once in a process."""
    from inspect_ai._util.registry import registry_has
    from inspect_ai.model import ModelAPI, modelapi

    if registry_has("modelapi", "gym"):
        return

    class Gym(ModelAPI):  # type: ignore[misc]
        """A model of the run. gym retries, limits and counts: Inspect has nothing to do for it."""

        async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
            calls = _calls.get(None)
            if calls is None:
                raise RuntimeError(f"gym/{self.model_name} answers within rollouts only")
            return await calls.generate(self.model_name, input, tools, tool_choice, config)

        def max_connections(self) -> int:
            return _MANY

    @modelapi("gym")  # type: ignore[untyped-decorator]
    def gym() -> type[ModelAPI]:
        return Gym
