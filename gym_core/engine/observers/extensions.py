"""Extensions: what observes a run without being able to disturb it.

Each extension has a queue and a thread of its own, so its hooks may block and raise as they like: the event loop only
appends to the queue, and a hook that raises is reported once and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Protocol

import pluggy

from gym_core.contract.hookspecs import CallInfo, RunControl, RunInfo
from gym_core.domain.blame import blaming, described
from gym_core.domain.errors import PluginError
from gym_core.domain.group import Group
from gym_core.domain.json_text import encode_json, parse_json
from gym_core.domain.rollout import Rollout, Verdict
from gym_core.wiring.kinds import Kind
from gym_core.wiring.manager import PluginManager
from gym_core.wiring.secrets import Redactor

logger = logging.getLogger("gym")

ROOM = 10_000
"""Events that may wait for one extension; beyond that no new rollout starts until it has caught up."""
LIMIT = 10 * ROOM
"""Events that wait at most, whatever the rollouts under way still send."""
PATIENCE = 30.0
"""Seconds that the run waits for an extension that does not get on, at most once per stretch and once at the end."""

CHECK, CONTROL, STARTED, ROLLOUT, GROUP, MODEL, TOOL, FINISHED = (
    "gym_extension_check", "gym_run_control", "gym_run_started", "gym_rollout_finished", "gym_group_finished",
    "gym_model_called", "gym_tool_called", "gym_run_finished",
)  # fmt: skip

Hook = Callable[[Mapping[str, Any]], object]
Event = tuple[str, Callable[[], Mapping[str, Any]]]


class Room(Protocol):
    """What says whether new rollouts may start: an `asyncio.Event`, for example."""

    def is_set(self) -> bool: ...  # noqa: D102
    async def wait(self) -> object: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension that is switched on. `hooks`: its implementations by the name of the hook."""

    name: str
    distribution: str
    hooks: Mapping[str, Hook]


def load_extensions(manager: PluginManager, wanted: Sequence[str | object]) -> list[Extension]:
    """Find the extensions, given as names or as objects with hook implementations, and let each check whether it can
    work here. Raises `UsageError`, `PluginError`.
    """
    registered = [_register(manager, extension) for extension in dict.fromkeys(wanted)]
    # a caller leaves out what is registered when it is made: so all are first
    return [_load(manager, *extension) for extension in registered]


def _register(manager: PluginManager, wanted: str | object) -> tuple[str, object, str]:
    """Its name, what carries its hooks, and whom to blame for it."""
    if isinstance(wanted, str):
        return wanted, manager.load_extension(wanted), manager.find(Kind.EXTENSION, wanted).distribution
    manager.pluggy.register(wanted)
    return type(wanted).__name__, wanted, type(wanted).__module__


def _load(manager: PluginManager, name: str, subject: object, distribution: str) -> Extension:
    hooks: dict[str, Hook] = {}
    for hook in manager.pluggy.get_hookcallers(subject) or ():
        if any(one.hookwrapper or one.wrapper for one in hook.get_hookimpls() if one.plugin is subject):
            raise PluginError(distribution, f"the extension {name!r} wraps {hook.name}: it can only observe")
        hooks[hook.name] = _observing(manager.caller(subject, hook.name))
    with blaming(distribution, f"the extension {name!r} cannot start"):
        if CHECK in hooks:
            hooks[CHECK]({})
    return Extension(name, distribution, hooks)


def _observing(caller: pluggy.HookCaller) -> Hook:
    return lambda arguments: caller(**arguments)


class Listener:
    """One extension at work in its thread.

    `errors`: hooks that raised. `dropped`: events it never saw, because it was stuck.
    """

    def __init__(self, extension: Extension, made_room: Callable[[], None]) -> None:
        self.extension = extension
        self.errors = 0
        self.dropped = 0
        self.stuck = False
        self.crowded = False
        self._made_room = made_room
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._reported: set[str] = set()
        self._handled = 0
        self._put = 0
        threading.Thread(target=self._work, name=f"gym-extension-{extension.name}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Events that it has not finished with."""
        return self._put - self._handled

    def put(self, hook: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Queue an event, if it listens to it."""
        if hook not in self.extension.hooks:
            return
        if self.waiting >= (ROOM if self.stuck else LIMIT):
            self.dropped += 1
            return
        self._put += 1
        self._events.put((hook, arguments))

    def end(self) -> None:
        """Let its thread end after what is queued."""
        self._events.put(None)

    def _work(self) -> None:
        while True:
            event = self._events.get()
            if event is None:
                return
            hook, arguments = event
            try:
                self.extension.hooks[hook](arguments())
            except BaseException as error:  # its own thread: even `sys.exit` is just an error of this hook
                self._failed(hook, error)
            del event, arguments
            self._handled += 1
            if self.crowded and self.waiting <= ROOM // 2:
                self.stuck = self.crowded = False
                self._made_room()

    def _failed(self, hook: str, error: BaseException) -> None:
        self.errors += 1
        if hook not in self._reported:
            self._reported.add(hook)
            logger.warning(
                "%s: the extension %r raised in %s: %s; the run goes on, and further ones are only counted",
                self.extension.distribution, self.extension.name, hook, described(error),
                extra={"event": "extension_raised"},
            )  # fmt: skip

    def to_wire(self) -> dict[str, Any]:
        """Its line in the summary."""
        return {
            "name": self.extension.name,
            "distribution": self.extension.distribution,
            "errors": self.errors,
            "dropped": self.dropped,
        }


class Extensions:
    """The extensions of a run. To be made and used in the event loop; `room` is set while new rollouts may start."""

    def __init__(self, extensions: Sequence[Extension], info: RunInfo, redactor: Redactor) -> None:
        self.info = info
        self._redactor = redactor
        self._loop = asyncio.get_running_loop()
        self.room = asyncio.Event()
        self.room.set()
        self.listeners = [Listener(extension, self._room_made) for extension in extensions]
        self._giving_up: asyncio.TimerHandle | None = None

    def run_started(self) -> None:
        """Tell that the run starts."""
        self._put(STARTED, lambda: {"run": self.info})

    def run_control(self, control: RunControl) -> None:
        """Give the control of the run to those who steer it."""
        self._put(CONTROL, lambda: {"run": self.info, "control": control})

    def rollout_finished(self, rollout: Rollout) -> None:
        """Tell that a rollout is on disk."""
        self._put(ROLLOUT, lambda: {"run": self.info, "rollout": self._clean_rollout(rollout)})
        self._look_after()

    def group_finished(self, group: Group) -> None:
        """Tell that a group is whole."""
        self._put(GROUP, lambda: {"run": self.info, "group": self._clean_group(group)})
        self._look_after()

    def _look_after(self) -> None:
        """Start nothing new while somebody is far behind."""
        for listener in self.listeners:
            if listener.waiting >= ROOM and not listener.crowded:
                listener.crowded = True
                self.room.clear()
                if self._giving_up is None:
                    self._giving_up = self._loop.call_later(PATIENCE, self._give_up)

    def called(self, hook: str, call: CallInfo) -> None:
        """Tell that a call has ended, of a model or a tool by the hook."""
        self._put(hook, lambda: {"run": self.info, "call": self._clean_call(call)})

    async def drain(self) -> None:
        """Wait until all that is queued is delivered, or until it is clear that somebody is stuck."""
        await self._caught_up(self.listeners)
        for listener in self.listeners:
            if listener.waiting:
                listener.dropped += listener.waiting

    async def finish(self, summary: Mapping[str, Any]) -> None:
        """Tell that the run has ended, wait for that to be delivered, and let the threads end."""
        alive = [listener for listener in self.listeners if not listener.waiting]  # nobody is waited for twice
        for listener in alive:
            listener.put(FINISHED, lambda: {"run": self.info, "summary": summary})
        await self._caught_up(alive)
        if self._giving_up is not None:
            self._giving_up.cancel()
        for listener in self.listeners:
            listener.end()
            if listener.waiting:
                logger.warning(
                    "%s: the extension %r is stuck; %d events were not delivered to it",
                    listener.extension.distribution, listener.extension.name, max(listener.dropped, listener.waiting),
                    extra={"event": "extension_stuck"},
                )  # fmt: skip

    def to_wire(self) -> list[dict[str, Any]]:
        """The part of the summary."""
        return [listener.to_wire() for listener in self.listeners]

    def _put(self, hook: str, arguments: Callable[[], Mapping[str, Any]]) -> None:
        for listener in self.listeners:
            listener.put(hook, arguments)

    async def _caught_up(self, listeners: Sequence[Listener]) -> None:
        until = time.monotonic() + PATIENCE
        pause = 0.0005
        while any(listener.waiting for listener in listeners) and time.monotonic() < until:
            await asyncio.sleep(pause)
            pause = min(0.05, pause * 2)

    def _give_up(self) -> None:
        self._giving_up = None
        for listener in self.listeners:
            listener.stuck = listener.crowded
        self.room.set()

    def _room_made(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has been closed
            self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if any(listener.crowded and not listener.stuck for listener in self.listeners):
            return
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self.room.set()

    # Secrets are masked in the extension's thread, and only where there are any.

    def _clean_rollout(self, rollout: Rollout) -> Rollout:
        if not self._redactor:
            return rollout
        row = encode_json(rollout.row)
        clean = self._redactor.redact_bytes(row)
        return rollout if clean == row else Rollout(parse_json(clean))

    def _clean_group(self, group: Group) -> Group:
        if not self._redactor:
            return group
        said = encode_json([{repeat: verdict.to_wire() for repeat, verdict in group.verdicts.items()}, group.error])
        verdicts, error = parse_json(self._redactor.redact_bytes(said))
        return Group(
            group.task_id,
            tuple(map(self._clean_rollout, group.rollouts)),
            {int(repeat): Verdict(**verdict) for repeat, verdict in verdicts.items()},
            error,
        )

    def _clean_call(self, call: CallInfo) -> CallInfo:
        return replace(call, error=self._redactor.redact(call.error)) if call.error else call


class Rooms:
    """Several reasons to start nothing new."""

    def __init__(self, *rooms: Room | None) -> None:
        self._rooms = [room for room in rooms if room is not None]

    def is_set(self) -> bool:
        """Whether none of them holds."""
        return all(room.is_set() for room in self._rooms)

    async def wait(self) -> object:
        """Wait until none of them holds."""
        while not self.is_set():
            for room in self._rooms:
                await room.wait()
        return None
