"""The resource server and its session: the tools in front of `counters`, the steps they take, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from pydantic import Field

from gym_core import Done, Item, ResourceServer, Session, Task, Trajectory, Verdict, tool, user_message
from gym_stateful_counter.counters import STRIDE, Counters
from gym_stateful_counter.puzzle import Puzzle
from gym_stateful_counter.tasks import all_tasks

STEP_LIMIT = "step_limit"
"""The stop reason of a session that used up its steps."""

By = Annotated[int, Field(ge=1, le=STRIDE, description=f"How much, 1 to {STRIDE}.")]
Name = Annotated[str, Field(description="The counter's name.")]


class CounterSession(Session["StatefulCounter"]):
    """One set of counters. Every call of a tool but `submit` is a step, also one that fails."""

    def setup(self) -> Sequence[Item]:
        """Put the counters in place and tell the model of them, except for the values that it has to read."""
        self.puzzle = puzzle = Puzzle.of(self.task)
        self.counters = Counters(puzzle.start)
        self.steps = 0
        lines = [f"{name}: {'unknown' if name in puzzle.hidden else value}" for name, value in puzzle.start.items()]
        return [user_message("\n".join(["Counters:", *lines, f"Steps you may take: {puzzle.limit}"]))]

    @tool
    def read(self, counter: Name) -> str | Done:
        """Return the value of a counter. It is a step."""
        return self._step(lambda: f"{counter} is {self.counters.read(counter)}.")

    @tool
    def increment(self, counter: Name, by: By) -> str | Done:
        """Add to a counter and return its new value. It is a step."""
        return self._step(lambda: f"{counter} is now {self.counters.change(counter, by)}.")

    @tool
    def decrement(self, counter: Name, by: By) -> str | Done:
        """Take from a counter and return its new value. It is a step."""
        return self._step(lambda: f"{counter} is now {self.counters.change(counter, -by)}.")

    @tool
    def double(self, counter: Name) -> str | Done:
        """Multiply a counter by 2 and return its new value. It is a step."""
        return self._step(lambda: f"{counter} is now {self.counters.double(counter)}.")

    @tool
    def reset(self, counter: Name) -> str | Done:
        """Set a counter to 0. It is a step."""
        return self._step(lambda: f"{counter} is now {self.counters.reset(counter)}.")

    @tool
    def swap(self, first: Name, second: Name) -> str | Done:
        """Exchange the values of two counters, without showing them. It is a step."""

        def exchange() -> str:
            self.counters.swap(first, second)
            return f"{first} and {second} have exchanged their values."

        return self._step(exchange)

    @tool
    def submit(self) -> Done:
        """Say that the goal is reached. Nothing can be changed afterwards."""
        return Done("Submitted.")

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Compare where the counters stand with where they should, and the steps taken with the fewest possible."""
        puzzle, values = self.puzzle, self.counters.values
        start, goal = puzzle.start, puzzle.goal
        moved = [name for name in goal if goal[name] != start[name]]
        reached = float(values == goal)
        efficiency = reached * puzzle.par / max(self.steps, puzzle.par)
        components = {
            "reached": reached,
            "efficiency": efficiency,
            "progress": sum(values[name] == goal[name] for name in moved) / len(moved) if moved else reached,
        }
        info = {"values": dict(values), "steps": self.steps}
        return Verdict((reached + efficiency) / 2, components, info)

    def _step(self, act: Callable[[], str]) -> str | Done:
        self.steps += 1
        last = self.steps >= self.puzzle.limit
        try:
            said = act()
        except ValueError as error:
            if not last:
                raise
            said = str(error)
        return Done(f"{said} That was the last step.", reason=STEP_LIMIT) if last else said


class StatefulCounter(ResourceServer):
    """Bring several counters to a goal with few steps.

    Ships 40 tasks of 8 kinds and 5 levels. Some values are unknown until they are read, and each task has a limit of
    steps. The reward is 0 unless every counter ends where it should; then it is 1 for the fewest possible steps, and
    less for more.
    """

    session_type = CounterSession

    def tasks(self) -> Iterable[Task]:
        """The tasks, all kinds of one level before the next level."""
        return all_tasks()
