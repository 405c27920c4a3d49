"""Sessions with isolated functions: a process finds them by their module's name."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from gym_core import Session, Trajectory, Verdict, isolated, tool


class Pure(Session[Any]):
    """Judges in a process of its own; what it notes there stays there."""

    pid = 0

    @isolated
    def verify(self, trajectory: Trajectory) -> float:
        print("a stray word on standard output")
        self.pid = os.getpid()
        return float(os.getpid() != self.task["pid"] and trajectory.output_text == "done")


class Hanging(Session[Any]):
    """Never comes to a verdict, and starts a program that does not end either. Its first line says it is there."""

    @isolated
    def verify(self, trajectory: Trajectory) -> float:
        import subprocess

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self.task["note"]).write_text(f"{os.getpid()} {child.pid}\n")
        time.sleep(600)
        return 1.0


class Dying(Session[Any]):
    """Dies while it judges: of a signal, or by leaving."""

    @isolated
    def verify(self, trajectory: Trajectory) -> float:
        if self.task["how"] == "signal":
            os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(7)


class Raising(Session[Any]):
    """Fails in its process."""

    @isolated
    def verify(self, trajectory: Trajectory) -> float:
        if self.task["how"] == "exit":
            sys.exit(3)
        if self.task["how"] == "models":
            self.models["judge"]
        raise ValueError("a bad answer")


class Unpicklable(Session[Any]):
    """Holds what no other process can be given."""

    def setup(self) -> None:
        self.lock = threading.Lock()

    @isolated
    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


class Explaining(Session[Any]):
    """Explains its verdict with what cannot be pickled."""

    @isolated
    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(1.0, info={"steps": (step for step in ("a", "b"))})


class Tools(Session[Any]):
    """Isolated tools."""

    @tool(isolated=True)
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @tool(isolated=True)
    def count(self, to: int) -> Any:
        """Count."""
        return (number for number in range(to))

    @tool(isolated=True)
    def crash(self) -> str:
        """Die."""
        os._exit(9)

    @tool(isolated=True, timeout=0.5)
    def hang(self) -> str:
        """Take for ever."""
        time.sleep(600)
        return ""

    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


def pid_and(number: int) -> tuple[int, int]:
    return os.getpid(), number


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "awake"


def die() -> str:
    os._exit(7)


def refuse(word: str) -> str:
    raise ValueError(word)


class Helped(Session[Any]):
    """Has functions called in processes of their own, as its task says."""

    async def verify(self, trajectory: Trajectory) -> Verdict:
        match self.task["how"]:
            case "result":
                pid, number = await self.isolated(pid_and, 3)
                return Verdict(float(pid != os.getpid() and number == 3))
            case "default":
                late = await self.isolated(sleep, 60.0, timeout=0.3, default="late")
                dead = await self.isolated(die, default=None)
                return Verdict(float((late, dead) == ("late", None)))
            case "raises":
                try:
                    await self.isolated(refuse, "not that", default="given")
                except ValueError as error:
                    return Verdict(float(str(error) == "not that"))
            case "late":
                await self.isolated(sleep, 60.0, timeout=0.3)
            case "dead":
                await self.isolated(die)
            case "lambda":
                await self.isolated(lambda: 1)
        return Verdict(0.0)
