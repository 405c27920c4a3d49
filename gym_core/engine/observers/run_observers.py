"""All that watches a run: its log, its extensions, the heartbeat of its event loop and the watchdog."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from gym_core.contract.hookspecs import CallInfo, RunControl, RunInfo
from gym_core.domain.group import Group
from gym_core.domain.rollout import Rollout
from gym_core.engine.events.logs import LogFile, log, log_rollout, logger, logging_to
from gym_core.engine.model_calls.gate import ModelGate
from gym_core.engine.observers.extensions import (
    CONTROL,
    GROUP,
    MODEL,
    ROLLOUT,
    TOOL,
    Extension,
    Extensions,
    Room,
    Rooms,
    load_extensions,
)
from gym_core.engine.observers.health import gates_health
from gym_core.engine.observers.watchdog import Watchdog
from gym_core.wiring.manager import PluginManager
from gym_core.wiring.secrets import Redactor

Announce = Callable[[Rollout], None]


class RunObservers:
    """The observers of one run. Entering opens the log file, leaving closes it. Raises `UsageError`."""

    def __init__(self, log_file: str | Path | None, redactor: Redactor) -> None:
        self._log_path = log_file
        self._redactor = redactor
        self._stack = ExitStack()
        self._file: LogFile | None = None
        self._gates: list[ModelGate] = []
        self._found: list[Extension] = []
        self._extensions: Extensions
        self._info: RunInfo | None = None
        self._watchdog = Watchdog()

    def __enter__(self) -> Self:
        if self._log_path is not None:
            self._file = self._stack.enter_context(logging_to(self._log_path, self._redactor))
        return self

    def __exit__(self, *error: object) -> None:
        self._watchdog.stop()
        self._stack.close()

    def load(self, manager: PluginManager, extensions: Sequence[str | object]) -> None:
        """Find the extensions. Raises `UsageError`, `PluginError`."""
        self._found = load_extensions(manager, extensions)

    def watch(self, gates: Mapping[str, ModelGate]) -> None:
        """Say of these gates, too, how they did."""
        self._gates += gates.values()

    @property
    def model_called(self) -> Callable[[CallInfo], None] | None:
        """What is to be told of model calls, if anybody listens."""
        return self._telling(MODEL)

    @property
    def tool_called(self) -> Callable[[CallInfo], None] | None:
        """What is to be told of tool calls, if anybody listens."""
        return self._telling(TOOL)

    def start(self, info: RunInfo, notices: Sequence[str]) -> None:
        """The run is about to start its first rollout."""
        self._info = info
        if self._file is not None:
            self._file.formatter.run_id = info.run_id
        self._watchdog.start()
        for notice in notices:
            log("notice", notice, level=logging.WARNING, told=True, run_id=info.run_id)
        planned = info.rollouts if info.rollouts is not None else "an unknown number of"
        fields = {"rollouts": info.rollouts, "output": info.output or None, "settings": info.manifest.get("settings")}
        log("run_started", f"run {info.run_id}: {planned} rollouts", run_id=info.run_id, fields=fields)
        self._extensions = Extensions(self._found, info, self._redactor)
        self._extensions.run_started()

    @property
    def steer(self) -> bool:
        """Whether an extension wants to steer the run."""
        return self._heard(CONTROL)

    def hand_over(self, control: RunControl) -> None:
        """Give the control of the run to those who steer it."""
        self._extensions.run_control(control)

    def announcing(self, announce: Announce) -> Announce:
        """`announce`, and what the log and the extensions are told of a rollout that is on disk."""
        told: list[Announce] = [announce]
        if self._heard(ROLLOUT):
            told.append(self._extensions.rollout_finished)
        if self._info is not None and logger.isEnabledFor(logging.INFO):
            run_id = self._info.run_id
            told.append(lambda rollout: log_rollout(rollout, run_id))
        if len(told) == 1:
            return announce

        def tell_all(rollout: Rollout) -> None:
            for tell in told:
                tell(rollout)

        return tell_all

    def announcing_groups(self, announce: Callable[[Group], None] | None) -> Callable[[Group], None] | None:
        """`announce`, and what the extensions are told of a group; None where nobody listens."""
        if not self._heard(GROUP):
            return announce
        tell = self._extensions.group_finished
        if announce is None:
            return tell

        def tell_both(group: Group) -> None:
            announce(group)
            tell(group)

        return tell_both

    def room(self, room: Room | None) -> Room | None:
        """What says whether new rollouts may start."""
        return Rooms(room, self._extensions.room) if self._found else room

    async def drain(self) -> None:
        """The last rollout is on disk: what is queued is delivered, and the loop is watched no longer."""
        self._watchdog.stop()
        await self._extensions.drain()

    async def finish(self, summary: Mapping[str, Any], error: BaseException | None) -> None:
        """The summary is on disk."""
        seconds = summary["seconds"]
        fields = {name: summary[name] for name in ("state", "rollouts", "seconds", "usage", "cost")}
        fields["reward"] = summary["reward"]["mean"]
        text = f"the run {summary['state']} after {seconds:.1f} s"
        if error is not None:
            fields["error"] = {"class": type(error).__name__, "message": str(error)}
        if summary["message"]:
            text += f": {summary['message']}"
        level = logging.INFO if error is None else logging.ERROR
        log("run_finished", text, level=level, told=True, run_id=summary["run_id"], fields=fields)
        await self._extensions.finish(summary)

    def health(self) -> dict[str, Any]:
        """How well the event loop and the ways to the models did, by role; seconds, added up over all calls."""
        models: dict[str, list[ModelGate]] = {}
        for gate in self._gates:
            models.setdefault(gate.role, []).append(gate)
        return {
            **self._watchdog.to_wire(),
            "models": {role: gates_health(gates) for role, gates in models.items()},
            "extensions": self._extensions.to_wire(),
        }

    def _heard(self, hook: str) -> bool:
        return any(hook in extension.hooks for extension in self._found)

    def _telling(self, hook: str) -> Callable[[CallInfo], None] | None:
        return (lambda call: self._extensions.called(hook, call)) if self._heard(hook) else None
