"""A session from its opening to its closing, whoever has it open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gym_core import Done, Item, Response, Session, SessionContext, Trajectory, Verdict, tool
from gym_core.domain.errors import SessionError, UsageError
from gym_core.engine.bounds.alarms import Watch
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.gate import Models
from gym_core.engine.rollout.live_session import LiveSession
from tests.support.envs import ask, env
from tests.support.models import call


class Counted(Session[Any]):
    """Counts how often it was closed."""

    closed = 0

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def verify(self, trajectory: Trajectory) -> float:
        return 0.5

    def close(self) -> None:
        type(self).closed += 1


async def never(role: str, request: Any, *, actor: str = "", sampling: Any = None) -> Response:
    raise AssertionError("no model is asked")


def live(session: type[Session[Any]]) -> LiveSession:
    executor, deadlines = Executor(), Deadlines()
    context = SessionContext(models=Models({}, never))
    alarm = Watch().alarm()
    return LiveSession(env(session), ask(), context, executor=executor, deadlines=deadlines, alarm=alarm)


def test_it_is_opened_set_up_asked_and_closed_once() -> None:
    class Mine(Counted):
        def setup(self) -> Sequence[Item]:
            return [{"role": "user", "content": "Begin."}]

    async def main() -> None:
        session = live(Mine)
        assert session.name == ""
        async with session:
            assert session.name == "Mine"
            assert session.tool_counts == (0, {})
            assert await session.set_up(None) == [{"role": "user", "content": "Begin."}]
            assert (await session.toolbox.call(call("add", {"a": 1, "b": 2})))["output"] == "3"
            await session.toolbox.call(call("add", {"a": 1}))
            assert await session.reply(Response({"output": []})) == Done()
            assert await session.verify(Trajectory([], [])) == Verdict(0.5)
        calls, errors = session.toolbox.calls, session.toolbox.errors
        assert (calls, sum(errors.values())) == (2, 1)
        assert session.toolbox.fault is not None
        await session.__aexit__(None, None, None)
        assert Mine.closed == 1

    asyncio.run(main())


def test_one_that_asks_a_model_which_is_lacking_is_closed_and_refused() -> None:
    class Judged(Counted):
        roles = ("judge",)

    async def main() -> None:
        with pytest.raises(UsageError, match="asks for a `judge` model"):
            await live(Judged).__aenter__()
        assert Judged.closed == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("part", "answer", "work"),
    [
        ("setup", 5, lambda session: session.set_up(None)),
        ("reply", 5, lambda session: session.reply(Response({"output": []}))),
        ("verify", "good", lambda session: session.verify(Trajectory([], []))),
    ],
)
def test_an_answer_of_the_wrong_form_is_the_sessions_error(
    part: str, answer: Any, work: Callable[[LiveSession], Any]
) -> None:
    odd = type("Odd", (Counted,), {part: lambda self, *given: answer, "closed": 0})

    async def main() -> None:
        with pytest.raises(SessionError, match=f"`{part}` returned"):
            async with live(odd) as session:
                await work(session)
        assert vars(odd)["closed"] == 1

    asyncio.run(main())
