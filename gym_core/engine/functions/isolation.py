"""Functions in processes of their own, which a deadline can end.

What a call needs is pickled: the function by its name, its arguments, and for a method the session. The process works
on copies: what it changes in them stays there, only the result comes back. It protects the run from a function that
hangs or crashes; it is no sandbox for code that nobody trusts.

What may be lost, and when. A process has one call at a time, so that ending it takes nothing but the call that is late
or whose rollout was cancelled, and whatever the function kept in its modules. A process that dies fails the one call
that it had; the next one gets a new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pickle
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from gym_core.contract.resource_server import ResourceServer, SessionContext, SessionHost
from gym_core.domain.blame import as_exception
from gym_core.domain.errors import GymError, SessionError, UsageError
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.child_processes.child import read_message, write_message
from gym_core.engine.child_processes.parent import ChildProcess, how_ended
from gym_core.engine.functions.isolated_child import READY
from gym_core.engine.functions.threads import Threads
from gym_core.engine.model_calls.gate import Models
from gym_core.wiring.scripts import member_of_script

START_SECONDS = 60.0
"""How long a new process may take until it can be given work."""


class ProcessDied(GymError):
    """The process of an isolated function ended before the function did. `exit_code`: as `subprocess` has it."""

    def __init__(self, function: str, exit_code: int) -> None:
        super().__init__(f"the process of the isolated function {function} died: {how_ended(exit_code)}")
        self.child_exit_code = exit_code


class RaisedInProcess(Exception):
    """The cause of an error that came from another process: its traceback there, as text."""


class NoModels(Mapping[str, Any]):
    """What an isolated function finds as `self.models`."""

    def __getitem__(self, role: str) -> Any:
        raise UsageError("an isolated function cannot ask models", hint="ask them in a function that is not isolated")

    def actor(self, name: str, role: str) -> Any:
        """There is none."""
        return self[role]

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


class Processes:
    """A pool of processes, at most `size` at once: one per processor by default. One that was ended is replaced."""

    def __init__(self, size: int | None = None) -> None:
        self._slots = asyncio.Semaphore(size or os.cpu_count() or 1)
        self._threads = Threads("gym-isolated")
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()

    async def call(
        self,
        alarm: Alarm,
        phase: str,
        seconds: float,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        """Call a function in a process and wait for its result.

        Waiting for a free process does not count towards `seconds`. Raises what the function raises,
        `DeadlineExceeded(phase)`, `ProcessDied`, and `SessionError` for what cannot be pickled.
        """
        name = getattr(function, "__qualname__", repr(function))
        message = _pickled(name, function, arguments, keywords)
        async with self._slots:
            process = self._idle.pop() if self._idle else await self._start(alarm, phase)
            try:
                with alarm.within(phase, seconds):
                    answer = await self._threads.call(process.ask, name, message)
            except BaseException:
                self._discard(process)
                raise
            self._idle.append(process)
        return _result(name, answer)

    async def _start(self, alarm: Alarm, phase: str) -> _Process:
        process = _Process()
        self._all.add(process)
        try:
            with alarm.within(phase, START_SECONDS):
                await self._threads.call(process.greet)
        except BaseException:
            self._discard(process)
            raise
        return process

    def _discard(self, process: _Process) -> None:
        self._all.discard(process)
        process.kill()

    def close(self) -> None:
        """End all processes."""
        for process in self._all:
            process.kill()
        for process in self._all:
            process.reap()
        self._all.clear()
        self._idle.clear()
        self._threads.close()


class _Process:
    """One child process. Its methods block, except for `kill`."""

    def __init__(self) -> None:
        self.child = ChildProcess("gym_core.engine.functions.isolated_child:perform_calls")
        self.kill = self.child.kill
        self.reap = self.child.reap

    def greet(self) -> None:
        self.child.greet()
        if self._reply("(start)") != READY:
            raise SessionError("a process for isolated functions could not start")

    def ask(self, name: str, message: bytes) -> bytes:
        assert self.child.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it is dead: there is no reply then
            write_message(self.child.process.stdin, message)
        return self._reply(name)

    def _reply(self, name: str) -> bytes:
        process = self.child.process
        assert process.stdout is not None
        try:
            return read_message(process.stdout)
        except (EOFError, OSError, ValueError):
            raise ProcessDied(name, process.wait()) from None
        finally:
            if process.poll() is not None:
                self.child.release()


class LeftOut:
    """Stands in a process for a server that cannot be pickled."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "reason":
            raise AttributeError(name)
        raise SessionError(f"an isolated function has no `self.server.{name}`: it cannot be pickled ({self.reason})")


class _Pickler(pickle.Pickler):
    """Leaves a session's models and host out, which hold the whole run, and a server that cannot be pickled."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Models):
            return NoModels, ()
        if isinstance(value, (type, FunctionType)) and (member := member_of_script(value)) is not None:
            return member
        if isinstance(value, SessionHost):
            return SessionHost, ()
        if isinstance(value, SessionContext):  # it leads to the gateway, and so to the whole run
            return SessionContext, (value.seed, value.repeat)
        if isinstance(value, ResourceServer):
            reason = _why_not(value)
            if reason:
                return LeftOut, (reason,)
        return NotImplemented


def _why_not(server: ResourceServer) -> str:
    """Why a server cannot be pickled, empty when it can. Found out once per server."""
    reason = _reasons.get(server)
    if reason is None:
        try:
            pickle.dumps(server)
            reason = ""
        except Exception as error:
            reason = str(error) or type(error).__name__
        _reasons[server] = reason
    return reason


_reasons: weakref.WeakKeyDictionary[ResourceServer, str] = weakref.WeakKeyDictionary()


def _pickled(name: str, function: Callable[..., Any], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> bytes:
    if getattr(function, "__module__", "") == "__main__":
        raise SessionError(
            f"the isolated function {name} is defined in the script that is run, where no other process finds it",
            hint="move it into a module",
        )
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump((function, tuple(arguments), dict(keywords)))
    except Exception as error:
        raise SessionError(
            f"the isolated function {name} cannot be sent to a process: {error}",
            hint="its arguments and its session must be picklable, and defined in a module",
        ) from error
    return buffer.getvalue()


def _result(name: str, answer: bytes) -> Any:
    try:
        ok, value, *about = pickle.loads(answer)
    except Exception as error:
        raise SessionError(f"the result of the isolated function {name} cannot be read: {error}") from error
    if ok:
        return value
    shown, trace = about
    if value is None:
        raise SessionError(f"the isolated function {name} failed: {shown}") from RaisedInProcess(trace)
    value.__cause__ = RaisedInProcess(trace)
    raise as_exception(value)
