"""Models of the run as models of Inspect: `gym/policy`, `gym/judge`, by role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from gym_core import Actor, Response, Sampling, TaskFailed
from gym_core import Model as ModelOfRun
from gym_core.errors import ContextLengthError, ModelError
from gym_core.responses import Request
from gym_inspect.messages import to_items, to_output, to_settings

if TYPE_CHECKING:
    from inspect_ai.model import Model

POLICY = "policy"
JUDGE = "judge"
SCORER = "scorer"
_FIELDS = frozenset(Sampling.__annotations__) - {"extra"}
_MANY = 1_000_000
_ITSELF = frozenset({"gym", "mockllm", "none"})
"""Providers that ask nobody."""


class Models(Protocol):
    """What the models of a run are asked through: a runner's context, or a session."""

    @property
    def models(self) -> Mapping[str, ModelOfRun]:
        """By role."""
        ...

    def actor(self, name: str, role: str = "policy") -> Actor:
        """Another actor than the policy."""
        ...


class Calls:
    """The model calls of one rollout. Each rollout has its own, which its code finds by its context.

    `scoring`: whether scorers are at work, whose calls of the policy's model are no part of its conversation. `failed`:
    the errors of calls that nobody made good, by role: code that passes over one has not come to an honest end.
    """

    def __init__(self, context: Models, sampling: Mapping[str, Any]) -> None:
        self.context = context
        self.sampling = sampling
        self.scoring = False
        self.failed: dict[str, BaseException] = {}
        self._said: dict[str, list[Any]] = {}

    def policy(self) -> Model:
        """What the solver asks."""
        return model(POLICY)

    async def conclude(self, state: Any) -> None:
        """Asked once, between solver and scorers."""
        return

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
        except (ModelError, TaskFailed) as error:
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
        asked = self.context.models.get(JUDGE if "/" in role else role)
        if asked is None:
            raise _not_here(role)
        return await asked.respond(Request({**settings, "input": list(items)}))


def _not_here(role: str) -> TaskFailed:
    if "/" not in role:
        return TaskFailed(f"the task asks a model `gym/{role}`, which the run has not", hint=f"--model {role}=REF")
    return TaskFailed(
        f"the task asks the model {role} by its name, and none of the run stands for it",
        phase="setup",
        hint=f"--model {JUDGE}=REF is asked instead, such as {JUDGE}={role.replace('/', ':', 1)}",
    )


_calls: ContextVar[Calls] = ContextVar("gym_inspect_calls")
_tasks_code: ContextVar[bool] = ContextVar("gym_inspect_tasks_code", default=False)


@contextmanager
def calls_of(calls: Calls) -> Iterator[None]:
    """Have the models of the run answer within a block, as this rollout's."""
    token = _calls.set(calls)
    try:
        with standing_in():
            yield
    finally:
        _calls.reset(token)


@contextmanager
def standing_in() -> Iterator[None]:
    """Within a block, where code of a task is at work, whatever model it names is one of the run: see `register`."""
    token = _tasks_code.set(True)
    try:
        yield
    finally:
        _tasks_code.reset(token)


def model(role: str) -> Model:
    """The model of a role, as Inspect has models; the same one for all rollouts."""
    from inspect_ai.model import get_model

    register()
    return get_model(f"gym/{role}")


@cache
def register() -> None:
    """Tell Inspect of `gym/ROLE`, once in a process, and have `gym/PROVIDER/NAME` stand for what code of a task names.

    A task's code may ask for `openai/gpt-4o` wherever it likes, and Inspect would ask that with the user's key: neither
    limits nor budget nor record of the run would know.
    """
    from inspect_ai.model import ModelAPI, modelapi

    class Gym(ModelAPI):  # type: ignore[misc]
        """A model of the run. gym retries, limits and counts: Inspect has nothing to do for it."""

        async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> Any:
            calls = _calls.get(None)
            if calls is None:
                raise RuntimeError(f"gym/{self.model_name} answers within rollouts only")
            return await calls.generate(self.model_name, input, tools, tool_choice, config)

        async def count_text_tokens(self, text: str) -> int:
            return len(text) // 4 + 1  # an estimate: Inspect's own fetches a tokenizer

        def max_connections(self) -> int:
            return _MANY

    @modelapi("gym")  # type: ignore[untyped-decorator]
    def gym() -> type[ModelAPI]:
        return Gym

    _stand_in(gym, Gym)


def _stand_in(gym: Any, kind: type[Any]) -> None:
    """Put `gym` in the place of providers where `get_model` looks them up, and keep both kinds apart in its cache."""
    from inspect_ai._util.registry import registry_unqualified_name
    from inspect_ai.model import _model

    find, cached = _model.registry_find, _model.cached_model

    def registry_find(predicate: Any) -> list[Any]:
        found: list[Any] = find(predicate)
        provider = registry_unqualified_name(found[0]) if found else ""
        if not found or provider in _ITSELF or not _tasks_code.get():
            return found

        def made(model_name: str, config: Any, **others: Any) -> Any:
            return gym(model_name=f"{provider}/{model_name}", config=config)

        return [made]

    def cached_model(key: str) -> Any:
        found = cached(key)
        if found is None or isinstance(found.api, kind) is _tasks_code.get():
            return found
        return None

    _model.registry_find, _model.cached_model = registry_find, cached_model
