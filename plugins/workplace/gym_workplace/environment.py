"""The resource server and its session: the tools in front of `world`, the tasks in front of `verifier`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, get_args

from pydantic import Field

from gym_core import Options, ResourceServer, Selector, Session, SessionContext, Task, Trajectory, Verdict, errors
from gym_workplace.tools.calendar import CalendarTools
from gym_workplace.tools.contacts import ContactTools
from gym_workplace.tools.mail import MailTools
from gym_workplace.tools.tasks import TaskTools
from gym_workplace.verifier import Goal, verify
from gym_workplace.world import Office, World

Level = Literal["all", "easy", "medium", "hard"]


@cache
def shipped_office() -> Office:
    """The office of `office.json` in this package, which all sessions of a process share."""
    return Office.parse(json.loads((files("gym_workplace") / "office.json").read_text(encoding="utf-8")))


class WorkplaceSession(MailTools, CalendarTools, ContactTools, TaskTools, Session["Workplace"]):
    """One office of its own, and one thing to get done in it."""

    def __init__(self, task: Task, server: Workplace, context: SessionContext) -> None:
        super().__init__(task, server, context)
        with _field("expected"):
            self.goal = Goal.parse(task["expected"])
        with _field("world"):
            self.world = World(shipped_office(), task.get("world"))

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Judge what became of the office, and the final answer where the task asks a question."""
        return verify(self.world, self.goal, trajectory.output_text)


@contextmanager
def _field(name: str) -> Iterator[None]:
    """What is wrong with a field is the row's fault."""
    try:
        yield
    except ValueError as error:
        raise errors.FieldError(
            name, f"does not fit: {error}", hint="see the README of gym-workplace for the row"
        ) from None


class WorkplaceOptions(Options):
    """Options of the environment."""

    level: Annotated[Level, Selector()] = Field(
        "all", description="Only tasks of this level: `easy` takes 1 or 2 steps, `medium` 3 or 4, `hard` 5 or more."
    )


class Workplace(ResourceServer[WorkplaceOptions]):
    """Office work with mail, calendar, contacts and tasks, judged by its final state.

    Every session has an office of its own, with 24 tools. The reward is the product of `goal` (the changes that the
    task asks for, exactly right), `harmless` (nothing else changed) and, where the task asks something, `answer`.
    """

    session_type = WorkplaceSession

    @classmethod
    def choices(cls) -> Sequence[str]:
        """The levels."""
        return get_args(Level)

    def tasks(self) -> Iterator[Task]:
        """The tasks of `tasks.jsonl` in this package."""
        with (files("gym_workplace") / "tasks.jsonl").open(encoding="utf-8") as lines:
            index = 0
            for line in lines:
                row = json.loads(line)
                if self.options.level in ("all", row["level"]):
                    yield Task(row, index=index)
                    index += 1
