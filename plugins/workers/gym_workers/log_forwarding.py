"""What workers log, and the calls that extensions listen to, on their way to the coordinator."""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Callable
from typing import Any

from gym_core import CallInfo
from gym_core.spi import plain_json

logger = logging.getLogger("gym")
_ABOUT = ("event", "told", "run_id", "task_id", "repeat", "fields")


class LogSender(logging.Handler):
    """Hands each record of the logger `gym` on, as what can be sent."""

    def __init__(self, send: Callable[[dict[str, Any]], None], level: int) -> None:
        super().__init__(level)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            about = {name: record.__dict__[name] for name in _ABOUT if name in record.__dict__}
            if record.exc_info and record.exc_info[1] is not None:
                shown = "".join(traceback.format_exception(record.exc_info[1]))
                about["fields"] = {**(about.get("fields") or {}), "traceback": shown}
            wire = {"name": record.name, "level": record.levelno, "time": record.created, "about": about}
            self._send(plain_json(wire | {"message": record.getMessage()}, fallback=str))
        except Exception:
            self.handleError(record)


def log_sent(wire: dict[str, Any]) -> None:
    """Log what a worker has logged."""
    source = logging.getLogger(wire["name"])
    if source.isEnabledFor(wire["level"]):
        record = source.makeRecord(
            wire["name"], wire["level"], "", 0, "%s", (wire["message"],), None, extra=wire["about"]
        )
        record.created = wire["time"]
        source.handle(record)


def call_to_wire(call: CallInfo) -> dict[str, Any]:
    """A call as what can be sent."""
    return {field.name: getattr(call, field.name) for field in dataclasses.fields(call)}


def call_from_wire(wire: dict[str, Any]) -> CallInfo:
    """A call that was sent."""
    return CallInfo(**{**wire, "key": (wire["key"][0], wire["key"][1])})
