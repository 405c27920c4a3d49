"""An environment while it is checked: its sessions verify twice, on a clock, and close twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from gym_core import (
    GymError,
    ResourceServer,
    ResourceServerInfo,
    Rollout,
    Session,
    SessionContext,
    Task,
    TaskFile,
    Trajectory,
    Verdict,
)
from gym_core.spi import Deadlines, Executor, OpenSession, Watch, asked_to_end, checked_verdict, described
from gym_testing.checks.problem import Problem


class WatchedServer(ResourceServer):
    """A resource server that is open already, as a run sees it. Opening and closing it again does nothing.

    `tasks`: lists others than its own. `twice`: whether verdicts are asked for a second time. `opened`, `closed`: how
    many sessions. `seconds`: of every verification, the most of them on the task `slowest`. `problems`: the first of
    each kind, by task.
    """

    def __init__(
        self,
        server: ResourceServer,
        deadlines: Deadlines | None = None,
        tasks: Callable[[], Iterable[Task]] | None = None,
    ) -> None:
        super().__init__(server.options, server.context)
        self._server = server
        self._tasks = tasks
        self.deadlines = deadlines or Deadlines()
        self.executor = Executor()
        self.watch = Watch()
        self.twice = True
        self.opened = 0
        self.closed = 0
        self.seconds: list[float] = []
        self.slowest = ""
        self._problems: dict[tuple[str, str], Problem] = {}

    @property
    def problems(self) -> Sequence[Problem]:
        """What the sessions did wrong: `verify-unstable` and `close-fails`."""
        return tuple(self._problems.values())

    def verified(self, task_id: str, seconds: float) -> None:
        """Note how long a verification took."""
        if seconds > max(self.seconds, default=0.0):
            self.slowest = task_id
        self.seconds.append(seconds)

    def unstable(self, task_id: str, what: str) -> None:
        """Note that a session judged in two ways."""
        fix = "`verify` must change nothing and seed what is random in it (`self.rng`)"
        self._note(Problem("verify-unstable", f"task `{task_id}`: `verify` {what}", fix, task_id))

    def unclosed(self, task_id: str, what: str) -> None:
        """Note that a session does not close."""
        fix = "`close` must release what there is and be harmless when it is called again"
        self._note(Problem("close-fails", f"task `{task_id}`: the session does not close: {what}", fix, task_id))

    def _note(self, problem: Problem) -> None:
        self._problems.setdefault((problem.code, str(problem.task_id)), problem)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def describe(self) -> ResourceServerInfo:
        """What the server says."""
        return self._server.describe()

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks of the environment, or those it was given."""
        return self._server.tasks() if self._tasks is None else self._tasks()

    def read_tasks(self, source: str) -> TaskFile | None:
        """A file as the environment reads it."""
        return self._server.read_tasks(source)

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session of the environment, watched."""
        return _WatchedSession(self, self._server.open_session(task, context), task.task_id)

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[float | Verdict]:
        """What the environment says of rollouts together, where its author wants that to run."""
        seconds = self.deadlines.verify
        return await self.call("score_group", seconds, self._server.score_group, rollouts)  # type: ignore[no-any-return]

    async def call(self, phase: str, seconds: float, function: Any, *arguments: Any) -> Any:
        """Call a function of a session where its author wants it to run, within a bound."""
        alarm = self.watch.alarm()
        try:
            return await self.executor.call(alarm, phase, seconds, function, *arguments)
        finally:
            alarm.close()


class _WatchedSession:
    def __init__(self, server: WatchedServer, opened: AbstractAsyncContextManager[Session[Any]], task_id: str) -> None:
        self._server = server
        self._opened = opened
        self._task_id = task_id

    async def __aenter__(self) -> Session[Any]:
        session = self._session = await self._opened.__aenter__()
        self._server.opened += 1
        # On the instance: the session keeps its class, by which it is known. It is taken off before anything of the
        # session runs, so that copies that go to another process are what the author made.
        vars(session)["verify"] = self._verify
        return session

    async def __aexit__(self, *error: Any) -> None:
        vars(self._session).pop("verify", None)
        seconds, attempt = self._server.deadlines.close, "once"
        try:
            if type(self._opened) is OpenSession:
                await self._server.call("close", seconds, self._session.close)
            else:
                await self._opened.__aexit__(*error)
            attempt = "a second time"
            await self._server.call("close", seconds, self._session.close)
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            self._server.unclosed(self._task_id, f"closed {attempt}, it raised {described(failed)}")
        self._server.closed += 1

    async def _verify(self, trajectory: Trajectory) -> float | Verdict:
        session, seconds = self._session, self._server.deadlines.verify
        vars(session).pop("verify", None)
        started = time.perf_counter()
        verdict: float | Verdict = await self._server.call("verify", seconds, session.verify, trajectory)
        self._server.verified(self._task_id, time.perf_counter() - started)
        if self._server.twice:
            await self._verify_again(trajectory, verdict)
        return verdict

    async def _verify_again(self, trajectory: Trajectory, first: float | Verdict) -> None:
        try:
            before = checked_verdict(first)
        except GymError:
            return  # no verdict at all, which the run finds out
        try:
            again = await self._server.call("verify", self._server.deadlines.verify, self._session.verify, trajectory)
            after = checked_verdict(again)
        except BaseException as failed:
            if asked_to_end(failed):
                raise
            problem = f"gave {before.reward:g}, and asked again it raised {described(failed)}"
        else:
            if before == after:
                return
            problem = f"gave {before.reward:g}, and asked again {after.reward:g}"
            if before.reward == after.reward:
                what = "info" if before.components == after.components else "components"
                problem = f"gave {before.reward:g} twice, but with different {what}"
        self._server.unstable(self._task_id, problem)
