"""Environments for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gym_core import ComponentContext, ResourceServer, Session, Task, Trajectory


class PlainSession(Session[Any]):
    """No tools; every rollout gets the reward of its task, 1 where it names none."""

    def verify(self, trajectory: Trajectory) -> Any:
        return float(self.task.get("reward_wanted", 1.0))


def env(
    session: type[Session[Any]] = PlainSession, tasks: Iterable[Any] | int = 1, name: str = "tiny"
) -> ResourceServer:
    """A resource server of one kind of session, with so many tasks, or with these."""

    class Tiny(ResourceServer):
        """A test's environment."""

        session_type = session

        def tasks(self) -> Iterable[Any]:
            return [ask(number) for number in range(tasks)] if isinstance(tasks, int) else tasks

    return Tiny(None, ComponentContext(name=name))


def ask(number: int = 0, **fields: Any) -> Task:
    """A numbered task."""
    return Task.ask(f"Task {number}.", task_id=f"t{number}", **fields)


def row(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A numbered task as a row."""
    return dict(ask(number, **fields).row)
