"""A child process in an isolated environment, seen from its parent: asked, listened to, ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from gym_core import UsageError, encode_json
from gym_core.errors import GymError, PluginError
from gym_core.spi import DISABLE_VARIABLE, ChildProcess, NoAnswer, Redactor
from gym_isolated.child import LEVEL_MARK
from gym_isolated.records import Environment

logger = logging.getLogger("gym")

ANSWER_SECONDS = 120.0
"""How long a child may take to describe, or to resolve options, imports included."""
# They lead an interpreter to packages, or to a home, that are not its own; and nothing is switched off there.
_LEFT_OUT = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV",
    DISABLE_VARIABLE,
)  # fmt: skip


def ask(environment: Environment, verb: str, request: Mapping[str, Any], *secrets: str) -> dict[str, Any]:
    """What a child answers that ends with that. Blocks. Raises as `IsolatedChild.answer` does."""
    redactor = Redactor(secrets)
    redactor.add_variables(os.environ, os.environ)
    child = IsolatedChild(environment, verb, redactor)
    try:
        return child.answer(request, ANSWER_SECONDS)
    finally:
        child.close()


class IsolatedChild:
    """A child that performs one of the functions of `child`, its `verb`. Its methods block, except for `kill`.

    `kill`, `close`, `ended` and `said`, its last lines, are those of `gym_core.spi.ChildProcess`.

    `grace`: seconds that it has for closing what is open. `logs`: whether what it writes is logged. Raises
    `PluginError` where its interpreter cannot be started.
    """

    def __init__(
        self, environment: Environment, verb: str, redactor: Redactor, *, grace: float = 0.0, logs: bool = False
    ) -> None:
        self.environment = environment
        self.redactor = redactor
        self._logs = logs
        try:
            self._child = ChildProcess(
                f"gym_isolated.child:{verb}",
                grace=grace,
                python=environment.python,
                environ={name: value for name, value in os.environ.items() if name not in _LEFT_OUT},
                heard=self._heard,
            )
        except OSError as error:
            why = f"cannot be started: {environment.python}: {error.strerror or error}"
            raise self._fault(f"its isolated environment {why}") from error
        self.kill, self.close, self.ended = self._child.kill, self._child.close, self._child.ended
        self.said = self._child.last_lines

    def answer(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer to the one request, within so many seconds.

        Raises `UsageError` and `PluginError` as it did there, and `PluginError` where there is no answer.
        """
        try:
            answer = self._child.answer(encode_json(request, fallback=_plain), seconds)
        except NoAnswer as error:
            raise self._fault(f"its isolated environment {error}{self.said()}") from None
        if "error" in answer:
            raise self._raised(answer["error"])
        return answer

    def _heard(self, line: str) -> str:
        level, text = logging.INFO, line
        if text.startswith(LEVEL_MARK):
            number, _, text = text[len(LEVEL_MARK) :].partition(" ")
            level = int(number) if number.isdecimal() else level
        text = self.redactor.redact(text)
        if text and self._logs:
            logger.log(level, "%s: %s", self.environment.distribution, text)
        return text

    def _raised(self, error: Mapping[str, Any]) -> GymError:
        message, hint = self.redactor.redact(str(error["message"])), self.redactor.redact(str(error["hint"]))
        if error["kind"] == "usage":
            return UsageError(message, hint=hint)
        if error["kind"] == "crash":
            message = f"failed in its isolated environment: {message}"
            hint = "the log of the run, or -v, shows where"
            if not self._logs:
                logger.info("%s%s", self.environment.distribution, self.said())
        return PluginError(self.environment.distribution, message, hint=hint)

    def _fault(self, message: str) -> PluginError:
        return PluginError(self.environment.distribution, message, hint=self.environment.remedy)


def _plain(value: Any) -> Any:
    """What has no JSON form, as it would be typed; secrets in clear."""
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
