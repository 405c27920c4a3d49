"""The tools of one rollout: what the model is offered, and what answers its calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gym_core.contract.resource_server import Done, Session
from gym_core.contract.tools import BoundTool, ToolSpec, class_tools
from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import InputError, ModelError, SessionError
from gym_core.domain.json_text import encode_json, whole_text, written_as_it_is
from gym_core.domain.responses import FunctionCallOutput, call_id_of, function_call_output
from gym_core.domain.tool_calls import ArgumentError, parse_arguments
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.functions.executor import Executor, waits
from gym_core.engine.rollout.recording import Recording

_offers: dict[type[Session[Any]], tuple[dict[str, ToolSpec], list[dict[str, Any]]]] = {}


class Toolbox:
    """The tools a session offers for one request, and the way calls take to them."""

    __slots__ = (
        "_alarm",
        "_bound",
        "_executor",
        "_recording",
        "_requested",
        "_seconds",
        "_session",
        "_specs",
        "done",
        "schemas",
    )

    def __init__(
        self,
        session: Session[Any],
        requested: Sequence[dict[str, Any]] | None,
        *,
        recording: Recording,
        executor: Executor,
        alarm: Alarm,
        seconds: float,
    ) -> None:
        self._session = session
        self._alarm = alarm
        self._recording = recording
        self._executor = executor
        self._seconds = seconds
        self._bound: dict[str, BoundTool] | None = None
        self.done: Done | None = None
        if type(session).tools is Session.tools:
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
        if lacking and not self._session.open_tools:
            offered = ", ".join(self._specs) or "none"
            raise InputError(
                f"the task's request has a tool `{lacking[0]}` that the environment lacks (its tools: {offered})",
                hint="remove it from the row, or set `open_tools` in the session",
            )
        self._requested = names
        return list(requested)

    async def call(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Answer one function call. Whatever is wrong with the call is said to the model."""
        name = str(call.get("name") or "")
        call_id = call_id_of(call)
        self._recording.tool_calls += 1
        try:
            result = await self._run(name, call.get("arguments"))
            if isinstance(result, Done):
                output = _output(result.output)
                self.done = result
            else:
                output = _output(result)
        except (ModelError, SessionError, DeadlineExceeded):
            raise
        except ArgumentError as error:
            self._recording.tool_error(error.kind)
            output = _error(str(error))
        except BaseException as error:  # a tool that raises is an answer to the model
            if asked_to_end(error):
                raise
            self._recording.tool_error("raised")
            output = _error(described(error))
        return function_call_output(call_id, output)

    async def _run(self, name: str, arguments: Any) -> Any:
        spec = self._specs.get(name)
        requested = self._requested
        if spec is None or (requested is not None and name not in requested):
            if requested is not None and name in requested and self._session.open_tools:
                return await self._executor.call(
                    self._alarm, "tool", self._seconds, self._session.call_open_tool, name, parse_arguments(arguments)
                )
            offered = ", ".join(tool["name"] for tool in self.schemas if "name" in tool)
            raise ArgumentError("unknown_tool", f"there is no tool `{name}`; the tools are: {offered or 'none'}")
        keywords = spec.parse(arguments)
        if self._bound is not None:
            bound = self._bound[name]
            owner = bound.owner
        else:
            owner = self._session
        seconds = spec.timeout or self._seconds
        if spec.blocking or spec.isolated:
            return await self._executor.call_tool(
                self._alarm, seconds, spec.function, owner, keywords, isolated=spec.isolated
            )
        result = spec.function(**keywords) if owner is None else spec.function(owner, **keywords)
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

    Raises `JsonError` for what has no JSON form.
    """
    if isinstance(result, str):
        return whole_text(result)
    if result is None:
        return ""
    if isinstance(result, list | tuple) and result and all(_is_part(part) for part in result):
        return written_as_it_is([*result])
    return encode_json(result).decode()


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type", "")).startswith("input_")


def _error(message: str) -> str:
    return encode_json({"error": message}).decode()
