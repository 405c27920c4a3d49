"""How an exception becomes the status and the error of a rollout."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core.domain.error_json import error_json
from gym_core.domain.errors import (
    BudgetExceeded,
    MissingField,
    ModelError,
    SessionError,
)
from gym_core.domain.rollout import Status
from gym_core.domain.stop_reasons import BUDGET
from gym_core.engine.bounds.deadlines import DeadlineExceeded

PHASE_STATUS = {
    "setup": Status.ENV_ERROR,
    "tool": Status.ENV_ERROR,
    "reply": Status.ENV_ERROR,
    "verify": Status.VERIFIER_ERROR,
    "model": Status.MODEL_ERROR,
    "agent": Status.AGENT_ERROR,
}
"""Whose failure it is, by where it happened."""


_FIELD = re.compile(r"[\w.-]+")
"""What may be the name of a field, rather than a sentence that somebody put into a `KeyError`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rollout has no verdict."""

    status: Status
    error: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    cause: BaseException | None = None


def failure_of(error: BaseException, phase: str) -> Failure:
    """The failure that `error`, caught in `phase`, stands for.

    A fatal error of a model call hits every rollout alike: it is recorded as `cancelled`, so that the rollout runs
    again when the run is resumed. An environment that is gone is not to be blamed on its verifier.
    """
    if phase == "agent" and isinstance(error, ModelError):
        phase = "model"
    if isinstance(error, DeadlineExceeded):
        return Failure(Status.TIMED_OUT, error_json(error, error.phase, retryable=True), cause=error)
    if isinstance(error, ModelError) and error.fatal:
        spent = isinstance(error, BudgetExceeded)
        return Failure(Status.CANCELLED, error_json(error, phase, retryable=True), BUDGET if spent else None, error)
    if isinstance(error, SessionError) and error.unreachable and phase != "agent":
        return Failure(Status.ENV_ERROR, error_json(error, phase, retryable=True), cause=error)
    retryable = isinstance(error, ModelError) and error.retryable
    return Failure(PHASE_STATUS[phase], error_json(error, phase, retryable=retryable), cause=error)


def blame_row(error: BaseException, task: Mapping[str, Any]) -> BaseException:
    """What to blame for an error in `setup`: the row, where a field of that name was looked up and it has none."""
    name = error.args[0] if type(error) is KeyError and error.args else None
    if not isinstance(name, str) or name in task or not _FIELD.fullmatch(name) or _looked_up_elsewhere(error, task):
        return error
    missing = MissingField(name)
    missing.__cause__ = error
    return missing


def _looked_up_elsewhere(error: BaseException, task: Mapping[str, Any]) -> bool:
    """Whether it was in the standard library, such as `os.environ`, or what the row says was looked up in a table."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_globals.get("__name__", "").partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(
        error.args[0] == value or (isinstance(value, list) and error.args[0] in value) for value in task.values()
    )
