"""The smallest environment: one tool, one task, one verdict."""

from collections.abc import Iterator, Mapping

from gym_core import ResourceServer, Session, Task, Trajectory, hookimpl, tool


class CounterSession(Session):
    """One counter."""

    def setup(self) -> None:
        self.count: int = self.task["start"]

    @tool
    def increment(self, by: int) -> str:
        """Add `by` to the counter and return its value."""
        self.count += by
        return str(self.count)

    def verify(self, trajectory: Trajectory) -> float:
        return float(self.count == self.task["target"])


class Counter(ResourceServer):
    """Bring a counter to a target with one tool."""

    session_type = CounterSession

    def tasks(self) -> Iterator[Task]:
        yield Task.ask("The counter is at 3. Make it 10.", start=3, target=10)


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    return {"counter": Counter}
