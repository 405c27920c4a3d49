"""A gate that tells of its model calls: it stands in for the plain one only where somebody listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.model import CallContext
from gym_core.domain.blame import described
from gym_core.domain.errors import ModelError
from gym_core.domain.responses import Request
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.model_calls.gate import Answer, ModelGate
from gym_core.engine.model_calls.reservations import Reservation

Tell = Callable[[CallInfo], None]


class ObservedGate(ModelGate):
    """A gate that tells of every call that ends.

    `seconds` of an event are those of the attempt that worked, `started` when that began; for a call that failed they
    span all attempts.
    """

    def __init__(self, tell: Tell, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._told = tell

    async def call(
        self,
        request: Request,
        context: CallContext,
        alarm: Alarm,
        reservation: Reservation | None = None,
        *,
        retry: bool = True,
    ) -> Answer:
        """One model call with all its attempts. Raises as the gate does."""
        began = time.time()
        about: dict[str, Any] = {"role": context.role, "backend": self.backend.context.name}
        try:
            answer = await super().call(request, context, alarm, reservation, retry=retry)
        except BaseException as error:
            about["error_class"] = type(error).__name__
            if isinstance(error, ModelError) and error.status is not None:
                about["http_status"] = error.status
            self._tell(context, began, time.time() - began, described(error), about)
            raise
        body = answer.response.body
        about |= {
            "response_id": body.get("id"),
            "response_model": body.get("model"),
            "stop_reason": answer.response.stop_reason,
            "usage": body.get("usage") or {},
            "attempts": answer.attempts,
            "waited_seconds": round(answer.waited, 6),
        }
        if answer.endpoint is not None:
            about["endpoint"] = answer.endpoint
        self._tell(context, time.time() - answer.latency, answer.latency, None, about)
        return answer

    def _tell(
        self, context: CallContext, started: float, seconds: float, error: str | None, about: Mapping[str, Any]
    ) -> None:
        self._told(CallInfo(context.key, self.info.model_id, seconds, started, error, about))
