"""gym's environments as those of TRL's `environment_factory`: TRL samples, and calls the tools.

    with GymSpec(env="my_env") as spec:
        trainer = GRPOTrainer(
            model,
            spec.reward,
            args,
            train_dataset=Dataset.from_list(spec.prompts),
            environment_factory=spec.environment_factory,
        )
        trainer.train()

Behind each of TRL's environments a rollout of an open gym is under way, with an agent of gym's, whose model answers
what TRL has sampled. Nothing of TRL is imported here.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, ClassVar, Literal, Self, TypeVar
from uuid import uuid4

import gym_core
from gym_core import (
    CallContext,
    ComponentContext,
    Gym,
    Item,
    ModelBackend,
    Request,
    Response,
    Rollout,
    Task,
    UsageError,
)
from gym_core.responses import item_text
from gym_training.messages import opening
from gym_training.statuses import checked_reward

T = TypeVar("T")
_LABEL = "trl_environment"
"""Under which a request's metadata say which environment of TRL's it belongs to."""
_IN_FLIGHT = 4096
"""Rollouts at once: all of a batch are open until TRL asks for rewards."""
Ended = Rollout | BaseException


class GymSpec:
    """An environment of gym for TRL's `GRPOTrainer(environment_factory=...)`: a context manager.

    `settings`: keywords of `gym_core.open`; a `model` is by role, of others than the policy. `tasks`: how many of the
    environment's tasks are trained on, None for all. `prompts`: rows for the data set. `environment_factory`: makes
    one of TRL's environments, whose methods are the tools of the first task. `reward`: the reward function, None for a
    rollout that failed, which TRL leaves out of its group's mean. `failed`: how many have failed.

    Raises what `gym_core.open` raises. Where TRL's loop cannot carry an environment on, which answers texts as a user
    does, `reward` raises `UsageError`.
    """

    def __init__(self, *, tasks: int | None = None, concurrency: int = _IN_FLIGHT, **settings: Any) -> None:
        self.prompts: list[dict[str, Any]] = []
        self.failed = 0
        self.environment_factory: Callable[[], Any] = _not_open
        self._settings = {**settings, "concurrency": concurrency}
        self._limit = tasks
        self._tasks: dict[str, Task] = {}
        self._policy = _Sampled()
        self._first: _LiveRollout | None = None
        self._gym: Gym
        self._closing: asyncio.Event
        self._loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Self:
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hold(opened)), name="gym", daemon=True)
        self._thread.start()
        opened.result()
        return self

    def __exit__(self, *cause: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _hold(self, opened: Future[None]) -> None:
        """Keep the gym open, in the event loop of this thread."""
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        try:
            settings = {**self._settings}
            models = {**(settings.pop("model", None) or {}), "policy": self._policy}
            async with gym_core.open(model=models, **settings) as self._gym:
                self._tasks = {task.task_id: task async for task in self._gym.tasks(0, self._limit)}
                self.prompts = [{"prompt": opening(one), "task_id": name} for name, one in self._tasks.items()]
                self.environment_factory = await self._described()
                opened.set_result(None)
                await self._closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def _described(self) -> type[_Environment]:
        """The class of environments: its methods are the tools of the first task, whose rollout is kept for it."""
        task = next(iter(self._tasks.values()), None)
        if task is None:
            raise UsageError("the environment has no tasks", hint="input= or tasks= has some")
        live = self._first = await self._begin(task.task_id)
        if live.request is None:
            raise _reason_of(live.ended)
        methods = {tool["name"]: _method(tool) for tool in live.request.body.get("tools") or () if "name" in tool}
        return type("GymEnvironment", (_Environment,), {**methods, "_spec": self})

    async def _begin(self, task_id: str) -> _LiveRollout:
        """A rollout of a task, up to what its model is asked first."""
        first, self._first = self._first, None
        if first is not None and first.task_id == task_id:
            return first
        if first is not None:
            first.working.cancel()
        live = _LiveRollout(task_id)
        self._policy.rollouts[live.name] = live
        sampling: Any = {"metadata": {_LABEL: live.name}}
        live.working = asyncio.ensure_future(self._gym.rollout(self._tasks[task_id], sampling=sampling))
        live.working.add_done_callback(lambda working: self._over(live, working))
        await live.next()
        return live

    def _over(self, live: _LiveRollout, working: asyncio.Future[Rollout]) -> None:
        self._policy.rollouts.pop(live.name, None)
        failed = asyncio.CancelledError() if working.cancelled() else working.exception()
        live.events.put_nowait(failed if failed is not None else working.result())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Have something done in the gym's event loop, from the trainer's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def reward(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        environments: Sequence[Any] = (),
        log_metric: Callable[[str, float], None] | None = None,
        **others: Any,
    ) -> list[float | None]:
        """The reward function: what the environment says of each conversation, None for one that failed.

        Raises `UsageError` where the trainer has no environments of this spec, and what would fail all rollouts alike.
        """
        if len(environments) != len(completions) or any(not isinstance(one, _Environment) for one in environments):
            raise UsageError(
                "the trainer has no environments of this spec", hint="environment_factory=spec.environment_factory"
            )
        under_way = [one._live for one in environments]
        ended = self._wait(_all(live.end(completion) for live, completion in zip(under_way, completions, strict=True)))
        rewards = [checked_reward(rollout) for rollout in ended]
        failed = sum(reward is None for reward in rewards)
        self.failed += failed
        if log_metric is not None:
            log_metric("gym/failed", failed / len(rewards))
        return rewards


async def _all(works: Iterable[Coroutine[Any, Any, Rollout]]) -> list[Rollout]:
    return [*await asyncio.gather(*works)]


def _not_open() -> Any:
    raise UsageError("the spec is not open", hint="with GymSpec(...) as spec: ...")


class _Environment:
    """One of TRL's environments. TRL takes every public method but `reset` for a tool."""

    _spec: ClassVar[GymSpec]
    _live: _LiveRollout

    def reset(self, task_id: str = "", **others: Any) -> str | None:
        """Begin with a task; returns what the environment says before the model does, which TRL puts to the prompt."""
        if task_id not in self._spec._tasks:
            raise UsageError(
                f"no task is called {task_id!r:.200}", hint="train_dataset=Dataset.from_list(spec.prompts)"
            )
        old = getattr(self, "_live", None)
        if old is not None and old.ended is None:
            self._spec._loop.call_soon_threadsafe(old.working.cancel)
        self._live = self._spec._wait(self._spec._begin(task_id))
        if self._live.request is None:
            return None  # it has failed already, and has no reward
        told = self._live.request.input[len(self._spec._tasks[task_id].request.input) :]
        return "".join(f"\n\n{item_text(item)}" for item in told) or None


class _Sampled(ModelBackend):
    """The policy: it answers what TRL has sampled."""

    max_retries = 0

    def __init__(self) -> None:
        super().__init__(context=ComponentContext(name="trl"))
        self.rollouts: dict[str, _LiveRollout] = {}

    async def respond(self, request: Request, context: CallContext) -> Response:
        """What TRL says next in this rollout."""
        live = self.rollouts[request.body["metadata"][_LABEL]]
        live.events.put_nowait(request)
        return await live.answers.get()


class _LiveRollout:
    """A rollout between its agent, which asks a model, and TRL, which is that model.

    `request`: what the model was asked last, None once the rollout has `ended`.
    """

    def __init__(self, task_id: str) -> None:
        self.name, self.task_id = uuid4().hex, task_id
        self.events: asyncio.Queue[Request | Ended] = asyncio.Queue()
        self.answers: asyncio.Queue[Response] = asyncio.Queue()
        self.request: Request | None = None
        self.ended: Ended | None = None
        self.working: asyncio.Future[Rollout]

    async def next(self) -> None:
        """Wait until the model is asked, or the rollout has ended."""
        event = await self.events.get()
        self.request = event if isinstance(event, Request) else None
        self.ended = None if isinstance(event, Request) else event

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool as if the model had; returns what the model is told."""
        if self.request is None:
            return "The episode is over."
        call = {"type": "function_call", "call_id": f"call_{uuid4().hex[:16]}", "name": name}
        await self._say({"output": [{**call, "arguments": json.dumps(arguments, default=str)}]})
        told = self.request.input if self.request is not None else []
        found = next((item for item in reversed(told) if item.get("call_id") == call["call_id"]), None)
        return _output_text(found) if found is not None else "The episode is over."

    async def end(self, completion: Any) -> Rollout:
        """Say the last text of a conversation, and have it verified."""
        if self.request is not None:
            last = completion[-1] if isinstance(completion, list) and completion else {"content": completion or ""}
            text = last.get("content") if last.get("role", "assistant") == "assistant" else None
            said = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text or ""}]}]
            cut = last.get("tool_calls") or text is None  # TRL went on with no more calls, or took the last back
            why = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
            await self._say({"output": said, **why})
        if self.request is not None:
            self.working.cancel()
            with suppress(asyncio.CancelledError):
                await self.working
            raise UsageError(
                f"the environment answers texts, as in the task {self.task_id}, and TRL's loop cannot go on with that",
                hint="trl_rollouts trains on such environments",
            )
        if not isinstance(self.ended, Rollout):
            raise _reason_of(self.ended)
        return self.ended

    async def _say(self, body: dict[str, Any]) -> None:
        self.answers.put_nowait(Response(body))
        await self.next()


def _reason_of(ended: Ended | None) -> BaseException:
    if isinstance(ended, Rollout):
        return UsageError(f"the first rollout ended before it began: {(ended.error or {}).get('message')}")
    return ended if ended is not None else UsageError("the rollout has not ended")


def _output_text(item: Item) -> str:
    output = item.get("output")
    return output if isinstance(output, str) else item_text({"content": output})


# Tools as methods, which is what TRL reads them from

_TYPES: Mapping[Any, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list}


def _method(tool: Mapping[str, Any]) -> Callable[..., str]:
    """A tool as a method: TRL reads its parameters from type hints and the docstring."""
    name, schema = str(tool["name"]), tool.get("parameters") or {}
    needed = schema.get("required") or ()
    properties = sorted((schema.get("properties") or {}).items(), key=lambda one: one[0] not in needed)

    def method(self: _Environment, **arguments: Any) -> str:
        return self._spec._wait(self._live.call(name, arguments))

    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    told = []
    for parameter, about in properties:
        default = inspect.Parameter.empty if parameter in needed else about.get("default")
        hint = _hint(about) if parameter in needed else _hint(about) | None
        parameters.append(
            inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        )
        told.append(f"    {parameter}: {' '.join(str(about.get('description') or parameter).split())}")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = " ".join(str(tool.get("description") or name).split())
    if told:
        method.__doc__ += "\n\nArgs:\n" + "\n".join(told)
    method.__annotations__ = {one.name: one.annotation for one in parameters[1:]} | {"return": str}
    method.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    return method


def _hint(schema: Mapping[str, Any]) -> Any:
    """The type hint of a parameter. What no hint can say, the form of objects, is lost."""
    choices = schema.get("enum")
    if choices and all(type(one) in (str, int, bool) for one in choices):
        return Literal[tuple(choices)]
    kind = schema.get("type")
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return list[_hint(schema["items"])]  # type: ignore[misc]
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    return _TYPES.get(kind, dict)
