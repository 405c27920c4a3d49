"""The log of a run as JSON lines, and what is written to it.

Everything goes through the logger `gym` of the standard library: a log file is a handler of it. A record's `event` says
what happened in one word, its `fields` hold the details; a plain warning of gym or of a plugin has the event `log`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gym_core.domain.errors import GymError, UsageError
from gym_core.domain.json_text import JsonError, encode_json
from gym_core.domain.quoting import quote_json
from gym_core.domain.rollout import Rollout
from gym_core.engine.standard_streams import PATIENCE, queue_of
from gym_core.wiring.secrets import Redactor

logger = logging.getLogger("gym")


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time, level, event, message, run_id, task_id, repeat, fields`."""

    run_id = ""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return self.line(record).decode().rstrip("\n")

    def line(self, record: logging.LogRecord) -> bytes:
        """The line as UTF-8."""
        about = record.__dict__
        fields = dict(about.get("fields") or {})
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": about.get("event", "log"),
            "message": record.getMessage().encode("utf-8", "replace").decode(),
            "run_id": about.get("run_id") or self.run_id or None,
            "task_id": about.get("task_id"),
            "repeat": about.get("repeat"),
            "fields": fields,
        }
        try:
            line = encode_json(entry, orjson.OPT_APPEND_NEWLINE, fallback=str)
        except JsonError as error:
            line = encode_json({**entry, "fields": {"unwritable": str(error)}}, orjson.OPT_APPEND_NEWLINE)
        return quote_json(line)


class LogFile(logging.Handler):
    """A log file that is appended to, a line per record. Secrets are masked. Raises `UsageError` when it cannot be
    opened; when it can no longer be written, that is warned of once, and tried again with the next record.
    """

    def __init__(self, path: str | Path, redactor: Redactor) -> None:
        self.path = Path(path)
        self._redactor = redactor
        self._failed = False
        self._torn = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # a pipe without a reader is an error, instead of a wait
            waits = getattr(os, "O_NONBLOCK", 0)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | waits, 0o644)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}", hint="--log-file takes another path") from error
        self._queue = queue_of(self._descriptor)
        super().__init__(logging.INFO)
        self.formatter: JsonFormatter = JsonFormatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, unless it is of another run."""
        run_id = record.__dict__.get("run_id")
        if run_id is not None and self.formatter.run_id and run_id != self.formatter.run_id:
            return
        try:
            self._write(self._redactor.redact_line(self.formatter.line(record)))
        except OSError as error:
            if not self._failed:
                self._failed = True  # first, because this handler is given the warning, too
                logger.warning("%s: %s; the run goes on without its log", self.path, error.strerror or error)
        except Exception:
            self.handleError(record)

    def _write(self, line: bytes) -> None:
        if self._queue is not None:
            self._queue.put(line, False)
            return
        data = b"\n" + line if self._torn else line
        written = os.write(self._descriptor, data)
        self._torn = written < len(data)
        while written < len(data):
            written += os.write(self._descriptor, data[written:])
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        if self._queue is not None:
            self._queue.flush(PATIENCE)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
        super().close()


@contextlib.contextmanager
def logging_to(path: str | Path, redactor: Redactor) -> Iterator[LogFile]:
    """Write what gym logs to a file, too."""
    handler = LogFile(path, redactor)
    with at_least_info():
        logger.addHandler(handler)
        try:
            yield handler
        finally:
            logger.removeHandler(handler)
            handler.close()


@contextlib.contextmanager
def at_least_info() -> Iterator[None]:
    """Let the logger pass records of level INFO."""
    before = logger.level
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)


def log(event: str, message: str, *, level: int = logging.INFO, told: bool = False, **about: Any) -> None:
    """Log an event. `told`: the user learns of it elsewhere. `about`: `run_id, task_id, repeat, fields`."""
    logger.log(level, "%s", message, extra={"event": event, "told": told, **about})


def log_rollout(rollout: Rollout, run_id: str) -> None:
    """Log a rollout that is on disk."""
    status, reward = rollout.status.value, rollout.reward
    about: Mapping[str, Any] = rollout.row["rollout"]
    seconds = about["timing"]["seconds"]
    fields: dict[str, Any] = {"status": status, "reward": reward, "seconds": seconds, "attempt": about["attempt"]}
    outcome = f"reward {reward:g}" if reward is not None else status
    if rollout.error:
        fields["error"] = dict(rollout.error)
        outcome += f", {rollout.error.get('class')}: {rollout.error.get('message')}"
    log(
        "rollout_finished", f"rollout {rollout.task_id}/{rollout.repeat}: {outcome} ({seconds:.1f} s)",
        run_id=run_id, task_id=rollout.task_id, repeat=rollout.repeat, fields=fields,
    )  # fmt: skip


def log_retry(role: str, key: tuple[str, int], error: GymError, *, attempt: int, delay: float) -> None:
    """Log that a model call is tried again."""
    if logger.isEnabledFor(logging.INFO):
        fields = {"role": role, "error": type(error).__name__, "attempt": attempt, "delay": round(delay, 3)}
        message = f"{role}: attempt {attempt} failed, next in {delay:.1f} s: {error.message}"
        log("model_call_retried", message, task_id=key[0], repeat=key[1], fields=fields)


def log_decrease(endpoint: str, limit: float) -> None:
    """Log that fewer requests are sent at once."""
    if logger.isEnabledFor(logging.INFO):
        log("inflight_lowered", f"{endpoint}: at most {int(limit)} requests at once from here on",
            fields={"endpoint": endpoint, "limit": round(limit, 1)})  # fmt: skip


def log_endpoint_down(endpoint: str, error: GymError) -> None:
    """Log that an endpoint, one of several, gets no rollouts for now."""
    log("endpoint_down", f"{endpoint} is down, its rollouts move: {error.message}", level=logging.WARNING,
        fields={"endpoint": endpoint, "error": type(error).__name__})  # fmt: skip


def log_endpoint_up(endpoint: str) -> None:
    """Log that an endpoint answers again."""
    log("endpoint_up", f"{endpoint} answers again", level=logging.WARNING, fields={"endpoint": endpoint})
