"""A toolbox that tells of its tool calls: it stands in for the plain one only where somebody listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from gym_core.contract.hookspecs import CallInfo
from gym_core.domain.blame import described
from gym_core.domain.responses import FunctionCallOutput, call_id_of
from gym_core.domain.tool_calls import ArgumentError
from gym_core.engine.rollout.toolbox import Toolbox

Tell = Callable[[CallInfo], None]


class ObservedToolbox(Toolbox):
    """A toolbox that tells of every call that ends. `error` of an event: what the model was told was wrong."""

    __slots__ = ("_errors", "_key", "_tell")

    def __init__(self, plain: Toolbox, key: tuple[str, int], tell: Tell) -> None:
        for name in Toolbox.__slots__:
            setattr(self, name, getattr(plain, name))
        self._key = key
        self._tell = tell
        self._errors: dict[object, BaseException] = {}

    async def call(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Answer one function call."""
        started, began = time.time(), time.perf_counter()
        try:
            return await super().call(call)
        finally:
            seconds = time.perf_counter() - began
            error = self._errors.pop(asyncio.current_task(), None)
            about: dict[str, Any] = {"call_id": call_id_of(call)}
            if error is not None:
                about["error_class"] = error.kind if isinstance(error, ArgumentError) else type(error).__name__
            self._tell(CallInfo(self._key, str(call.get("name") or ""), seconds, started, _text(error), about))

    async def _run(self, name: str, arguments: Any) -> Any:
        try:
            return await super()._run(name, arguments)
        except BaseException as error:
            self._errors[asyncio.current_task()] = error  # one task makes one call at a time
            raise


def _text(error: BaseException | None) -> str | None:
    return None if error is None else described(error)
