"""The tools of one rollout: what the model is offered, and what answers its calls."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.resource_server import Done, Session, SessionInfo
from gym_core.contract.tools import BoundTool, Place, ToolSpec, class_tools
from gym_core.domain.arguments import ArgumentError, parse_arguments
from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import InputError, ModelError, SessionError
from gym_core.domain.json_text import encode_json, whole_text, written_as_it_is
from gym_core.domain.parts import as_parts, is_part
from gym_core.domain.responses import FunctionCallOutput, call_id_of, function_call_output
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.functions.executor import Executor, waits

Observer: TypeAlias = tuple[Callable[[CallInfo], None], tuple[str, int]]
"""Who is told of tool calls, and the rollout that they are of."""

_NOT_GIVEN: Any = object()
_offers: dict[type[Session[Any]], tuple[dict[str, ToolSpec], list[dict[str, Any]]]] = {}


class Toolbox:
    """The tools a session offers for one request, and the way calls take to them.

    `calls` and `errors` count: all of them, and those that were answered with an error, by its kind. `fault`: what was
    wrong with the latest one that had a fault, None once whoever asks has taken note. `done`: what ended the episode.
    `given`: calls that the session has answered already, each with its result; see `Session.answer_calls`.
    """

    def __init__(
        self,
        session: Session[Any],
        info: SessionInfo,
        requested: Sequence[dict[str, Any]] | None,
        *,
        executor: Executor,
        alarm: Alarm,
        seconds: float,
        observer: Observer | None = None,
    ) -> None:
        self._session = session
        self._info = info
        self._alarm = alarm
        self._executor = executor
        self._seconds = seconds
        self._observer = observer
        self._raised: BaseException | None = None
        self._bound: dict[str, BoundTool] | None = None
        self.calls = 0
        self.errors: dict[str, int] = {}
        self.fault: str | None = None
        self.done: Done | None = None
        self.given: list[tuple[Mapping[str, Any], Any]] = []
        if not self._info.lists_tools:
            self._specs, schemas = _offer(type(session))
        else:
            self._bound = {tool.name: tool for tool in session.tools()}
            self._specs = {name: tool.spec for name, tool in self._bound.items()}
            schemas = [tool.schema for tool in self._bound.values()]
        self._requested: set[str] | None = None
        self.schemas = schemas if requested is None else self._choose(requested)

    def _choose(self, requested: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The request's own tools: they choose and re-describe the session's. Other types are the model's business."""
        names = {str(tool.get("name", "")) for tool in requested if tool.get("type", "function") == "function"}
        lacking = sorted(names - self._specs.keys())
        if lacking and not self._info.open_tools:
            offered = ", ".join(self._specs) or "none"
            raise InputError(
                f"the task's request has a tool `{lacking[0]}` that the environment lacks (its tools: {offered})",
                hint="remove it from the row, or set `open_tools` in the session",
            )
        self._requested = names
        return list(requested)

    def call(self, call: Mapping[str, Any]) -> Awaitable[FunctionCallOutput]:
        """Answer one function call. Whatever is wrong with the call is said to the model."""
        return self._answer(call) if self._observer is None else self._observed(call)

    async def _observed(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        started, began = time.time(), time.perf_counter()
        try:
            output = await self._answer(call)
        except BaseException as raised:
            self._tell(call, raised, started, time.perf_counter() - began)
            raise
        error, self._raised = self._raised, None  # nothing else has run since the call ended: it is of this one
        self._tell(call, error, started, time.perf_counter() - began)
        return output

    async def _answer(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        self.calls += 1
        call_id = call_id_of(call)
        try:
            result = self._taken(call) if self.given else _NOT_GIVEN
            if result is _NOT_GIVEN:
                result = await self._run(str(call.get("name") or ""), call.get("arguments"))
            if isinstance(result, Done):
                output = _output(result.output)
                self.done = result
            else:
                output = _output(result)
            return function_call_output(call_id, output)
        except (ModelError, SessionError, DeadlineExceeded):
            raise
        except ArgumentError as error:
            return function_call_output(call_id, self._failed(error.kind, str(error), error))
        except BaseException as error:  # a tool that raises is an answer to the model
            if asked_to_end(error):
                raise
            return function_call_output(call_id, self._failed("raised", described(error), error))

    def _taken(self, call: Mapping[str, Any]) -> Any:
        """What the session has answered to a call already: the first that is alike, as models repeat ids."""
        for place, (known, result) in enumerate(self.given):
            if all(known.get(name) in (call.get(name), None) for name in ("name", "arguments", "call_id")):
                del self.given[place]
                return result
        return _NOT_GIVEN

    def _failed(self, kind: str, message: str, error: BaseException) -> str:
        self.fault = kind
        if self._observer is not None:
            self._raised = error
        self.errors[kind] = self.errors.get(kind, 0) + 1
        return encode_json({"error": message}).decode()

    def _tell(self, call: Mapping[str, Any], error: BaseException | None, started: float, seconds: float) -> None:
        assert self._observer is not None
        tell, key = self._observer
        about: dict[str, Any] = {"call_id": call_id_of(call)}
        if error is not None:
            about["error_class"] = error.kind if isinstance(error, ArgumentError) else type(error).__name__
        text = described(error) if error is not None else None
        tell(CallInfo(key, str(call.get("name") or ""), seconds, started, text, about))

    async def _run(self, name: str, arguments: Any) -> Any:
        spec = self._specs.get(name)
        requested = self._requested
        if spec is None or (requested is not None and name not in requested):
            if requested is not None and name in requested and self._info.open_tools:
                return await self._executor.call(
                    self._alarm, "tool", self._seconds, self._session.call_open_tool, name, parse_arguments(arguments)
                )
            offered = ", ".join(tool["name"] for tool in self.schemas if "name" in tool)
            raise ArgumentError("unknown_tool", f"there is no tool `{name}`; the tools are: {offered or 'none'}")
        keywords = spec.parse(arguments)
        owner = self._session if self._bound is None else self._bound[name].owner
        owned = () if owner is None else (owner,)
        seconds = spec.timeout or self._seconds
        if spec.blocking or spec.isolated:
            place: Place = "process" if spec.isolated else "thread"
            return await self._executor.call_in(place, self._alarm, "tool", seconds, spec.function, owned, keywords)
        result = spec.function(*owned, **keywords)
        return await self._executor.bounded(self._alarm, "tool", seconds, result) if waits(result) else result


def _offer(cls: type[Session[Any]]) -> tuple[dict[str, ToolSpec], list[dict[str, Any]]]:
    """The tools of a session class by name, and what the model is shown: made once per class."""
    offer = _offers.get(cls)
    if offer is None:
        specs = {spec.name: spec for spec in class_tools(cls)}
        offer = _offers[cls] = specs, [spec.schema for spec in specs.values()]
    return offer


def _output(result: Any) -> Any:
    """What a tool returned as the output of a function call: text and content parts as they are, all else as JSON.

    Parts are one, or a list of them with texts in between.

    Raises `JsonError` for what has no JSON form.
    """
    if isinstance(result, str):
        return whole_text(result)
    if result is None:
        return ""
    if is_part(result):
        return written_as_it_is([result])
    if isinstance(result, list | tuple) and any(map(is_part, result)):
        parts = as_parts(result)
        if parts is not None:
            return written_as_it_is(parts)
    return encode_json(result).decode()
