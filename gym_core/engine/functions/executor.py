"""Calling an author's function, plain, `async`, blocking or isolated, within a bound."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core.contract.resource_server import Done
from gym_core.contract.tools import Place, place_of
from gym_core.domain.abandoned import within
from gym_core.domain.rollout import Verdict
from gym_core.engine.bounds.alarms import Alarm
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.functions.threads import Threads

if TYPE_CHECKING:
    from gym_core.engine.functions.isolation import Processes

_PLAIN = {str, type(None), float, int, list, tuple, dict, bool, Verdict, Done}
"""Types of results that are certainly not awaitable, which is cheaper to see than to find out."""


class Executor:
    """Runs what sessions define. A plain function runs inline: a thread hop costs more than most tools.

    `threads`: how many blocking functions run at once, not counting those that were given up; of isolated ones it is
    one per processor. Waiting for one of them counts towards the rollout's deadline only.
    """

    def __init__(self, threads: int = 64) -> None:
        self._slots = asyncio.Semaphore(threads)
        self._threads = Threads("gym-blocking")
        self._processes: Processes | None = None

    async def call(
        self, alarm: Alarm, phase: str, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Call a function and wait for what it returns. Raises `DeadlineExceeded(phase)` and whatever it raises."""
        place = place_of(function)
        if place is not None:
            return await self.call_in(place, alarm, phase, seconds, function, arguments, {})
        result = function(*arguments)
        return await self.bounded(alarm, phase, seconds, result) if waits(result) else result

    async def call_isolated(
        self,
        alarm: Alarm,
        seconds: float,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        default: Sequence[Any] = (),
    ) -> Any:
        """Call a function in a process of its own, within a bound of its own.

        `default`: what is given where it takes longer or its process dies, alone in a list. Raises `TimeoutError` and
        `ProcessDied` where there is none, and whatever the function raises.
        """
        from gym_core.engine.functions.isolation import ProcessDied

        name = getattr(function, "__qualname__", repr(function))
        phase = f"the isolated function {name}"
        try:
            return await self.call_in("process", alarm, phase, seconds, function, arguments, {})
        except ProcessDied:
            if default:
                return default[0]
            raise
        except DeadlineExceeded as error:
            if error.phase != phase:
                raise
            if default:
                return default[0]
            raise TimeoutError(error.message) from None

    async def call_in(
        self,
        place: Place,
        alarm: Alarm,
        phase: str,
        seconds: float,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        keywords: Mapping[str, Any],
    ) -> Any:
        """Call a function in a thread or a process, wherever it is marked for. Raises as `call` does."""
        if place == "process":
            if self._processes is None:
                from gym_core.engine.functions.isolation import Processes

                self._processes = Processes()
            return await self._processes.call(alarm, phase, seconds, function, arguments, keywords)
        async with self._slots:
            with alarm.within(phase, seconds):
                return await self._threads.call(lambda: function(*arguments, **keywords))

    @staticmethod
    async def bounded(alarm: Alarm, phase: str, seconds: float, awaitable: Awaitable[Any]) -> Any:
        """Wait for what an `async` function returned. Raises `DeadlineExceeded(phase)`."""
        with alarm.within(phase, seconds):
            return await (within(awaitable, None, f"`{phase}`") if alarm.detached else awaitable)

    def close(self) -> None:
        """Let go of the threads, of which one that still runs ends with the process, and end the processes."""
        self._threads.close()
        if self._processes is not None:
            self._processes.close()


def waits(result: Any) -> bool:
    """Whether a function's result is something to wait for."""
    return type(result) not in _PLAIN and inspect.isawaitable(result)
