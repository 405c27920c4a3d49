"""Names the function that holds the event loop, and with it every other rollout.

A plain function of a session, an agent or a backend runs on the event loop and cannot be ended. It can be seen: when
the loop's heartbeat fails to come, a thread looks at what the loop's thread is doing.
"""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import time
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from gym_core.engine.observers.health import Heartbeat

logger = logging.getLogger("gym")

LIMIT = 1.0
"""Seconds that a function may hold the loop."""
SAMPLE = 0.25
_ENGINE = "gym_core.engine"


@dataclass(slots=True)
class Hold:
    """A function that held the loop. `seconds`: the longest time that it was seen to."""

    function: str
    session: str
    task_id: str
    count: int
    seconds: float

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary; session and task are those of the first time."""
        return {
            "function": self.function,
            "session": self.session,
            "task_id": self.task_id,
            "count": self.count,
            "seconds": round(self.seconds, 3),
        }


class Watchdog:
    """Looks after the event loop of the thread that it is started in. `holds`: what held it, by code object."""

    def __init__(self) -> None:
        self.holds: dict[CodeType, Hold] = {}
        self._heartbeat = Heartbeat()
        self._stopped = threading.Event()
        self._watched = 0

    def start(self) -> None:
        """Watch the running event loop from now on."""
        self._heartbeat.start()
        self._watched = threading.get_ident()
        threading.Thread(target=self._watch, name="gym-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._heartbeat.stop()

    def to_wire(self) -> dict[str, Any]:
        """As it stands in the summary: how late the loop was, and what held it."""
        holds = [*self.holds.values()]
        return {"loop_lag": self._heartbeat.lag.to_wire(), "loop_held": [hold.to_wire() for hold in holds]}

    def _watch(self) -> None:
        beat = since = 0.0
        suspect: FrameType | None = None
        counted: Hold | None = None
        now, used = time.monotonic(), time.process_time()
        while not self._stopped.wait(SAMPLE):
            before, now = now, time.monotonic()
            used_before, used = used, time.process_time()
            last = self._heartbeat.last  # after `now`: had this thread to wait in between, a beat would seem late
            if now - before > 2 * SAMPLE and used - used_before < (now - before) / 2:
                # The whole process stood still: a busy machine is not a function's fault.
                beat, since, suspect = last, now, None
            if now - last < self._heartbeat.seconds + SAMPLE:
                suspect = counted = None
                continue
            stack = self._stack()
            frame = author_frame(stack)
            if last != beat or frame is not suspect:
                # Many short functions in a row make the beat late, too: it has to be the same call all the time.
                since = last if last != beat else now
                beat, suspect, counted = last, frame, None
            if frame is None or now - since < LIMIT:
                continue
            if counted is None:
                counted = self._count(frame, stack, now - since)
            counted.seconds = max(counted.seconds, now - since)
            del stack, frame

    def _stack(self) -> list[FrameType]:
        """What the watched thread is doing, outermost first."""
        stack: list[FrameType] = []
        frame = sys._current_frames().get(self._watched)
        while frame is not None:
            stack.append(frame)
            frame = frame.f_back
        return stack[::-1]

    def _count(self, frame: FrameType, stack: list[FrameType], seconds: float) -> Hold:
        hold = self.holds.get(frame.f_code)
        if hold is not None:
            hold.count += 1
        else:
            session, task_id = _whose(stack)
            hold = self.holds[frame.f_code] = Hold(_name(frame), session, task_id, 1, seconds)
            place = f" of {session}, task {task_id!r}" if session else ""
            logger.warning(
                "`%s`%s has held the event loop for %.1f s, and every other rollout with it: make it `async`, mark it "
                "`@blocking` or `@isolated`, or give it less to do",
                hold.function,
                place,
                seconds,
                extra={"event": "loop_held", "task_id": task_id or None},
            )
        return hold


def author_frame(stack: list[FrameType]) -> FrameType | None:
    """The function that the engine called last: the author's outermost. Without the engine, the innermost one."""
    found = stack[-1] if stack else None
    for outer, inner in itertools.pairwise(stack):
        if _module(outer).startswith(_ENGINE) and not _module(inner).startswith(_ENGINE):
            found = inner
    return found


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _name(frame: FrameType) -> str:
    return f"{_module(frame)}.{frame.f_code.co_qualname}"


def _whose(stack: list[FrameType]) -> tuple[str, str]:
    """The session class and the task id of the rollout that a stack belongs to, empty where there is none."""
    from gym_core.engine.rollout.rollout_run import RolloutRun

    for frame in stack:
        # while it is being made it has no session, nor all of its attributes: this is another thread
        if _module(frame) == RolloutRun.__module__ and frame.f_code.co_name != "__init__":
            run = frame.f_locals.get("self")
            if isinstance(run, RolloutRun):
                return run.session_name, run.task.task_id
    return "", ""
