"""Sandboxes of sessions: opened when a session asks, closed with it whatever happens, missed before a run starts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from gym_core import (
    ResourceServer,
    Rollout,
    SandboxSpec,
    Session,
    SessionContext,
    Status,
    Stop,
    Task,
    Trajectory,
    UsageError,
    tool,
)
from gym_core.errors import SandboxError
from gym_core.spi import run_rollout
from tests.support.agents import LoopAgent
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel, call
from tests.support.running import run, stage
from tests.support.sandboxes import Memory, MemoryOptions

OPENED = ["opening", "open", "closed"]


class Filing(Session[Any]):
    """Keeps a file in a sandbox."""

    sandbox_roles: ClassVar[tuple[str, ...]] = ("main",)

    async def setup(self) -> None:
        sandbox = await self.open_sandbox(SandboxSpec(env={"WHO": "me"}))
        await sandbox.write("file", "there")

    @tool
    async def look(self) -> str:
        """Look into the file."""
        return (await self.sandboxes["main"].exec("cat file")).stdout

    @tool
    async def wait(self) -> str:
        """Wait for long."""
        await asyncio.sleep(60)
        return ""

    async def verify(self, trajectory: Trajectory) -> float:
        return float(await self.sandboxes["main"].read("file") == b"there")


def carried_out(
    provider: Memory | None, *script: Any, session: type[Session[Any]] = Filing, **deadlines: Any
) -> Rollout:
    async def main() -> Rollout:
        made = stage(ScriptedModel(*script), session, **deadlines)
        return await asyncio.wait_for(run_rollout(replace(made, sandboxes=provider), ask()), 30)

    return asyncio.run(main())


def test_a_session_opens_one_uses_it_and_it_is_closed_with_it() -> None:
    provider = Memory()
    rollout = carried_out(provider, call("look", {}), "done")
    assert rollout.error is None
    assert rollout.reward == 1.0
    assert next(item for item in rollout.response.output if "output" in item)["output"] == "there"
    assert provider.log == OPENED
    assert provider.made[0].spec == SandboxSpec(env={"WHO": "me"})


def test_an_agent_sees_those_of_its_session() -> None:
    class Reading(LoopAgent):
        async def run(self, episode: Any) -> Stop:
            assert await episode.sandboxes["main"].read("file") == b"there"
            await episode.sandboxes["main"].write("file", "changed")
            return await super().run(episode)

    async def main() -> Rollout:
        made = replace(stage(ScriptedModel("done"), Filing, Reading()), sandboxes=Memory())
        return await run_rollout(made, ask())

    assert asyncio.run(main()).reward == 0.0


def test_several_by_role_are_closed_at_once() -> None:
    class Two(Filing):
        sandbox_roles = ("main", "judge")

        async def setup(self) -> None:
            await super().setup()
            await self.open_sandbox(role="judge")
            assert sorted(self.sandboxes) == ["judge", "main"]

    provider = Memory(MemoryOptions(closing=0.2))
    started = asyncio.new_event_loop().time()
    assert carried_out(provider, "done", session=Two).reward == 1.0
    assert provider.log[-2:] == ["closed", "closed"]
    assert asyncio.new_event_loop().time() - started < 5


def test_a_role_has_one_sandbox() -> None:
    class Twice(Filing):
        async def setup(self) -> None:
            await super().setup()
            await super().setup()

    provider = Memory()
    rollout = carried_out(provider, "done", session=Twice)
    assert rollout.status is Status.ENV_ERROR
    assert "has a sandbox `main` already" in (rollout.error or {})["message"]
    assert provider.log == OPENED


@pytest.mark.parametrize("script", [[call("wait", {})], [RuntimeError("the model broke")]])
def test_it_is_closed_where_a_rollout_is_cut_off_or_fails(script: list[Any]) -> None:
    provider = Memory()
    rollout = carried_out(provider, *script, tool=0.1)
    assert not rollout.status.has_verdict
    assert provider.log == OPENED


def test_it_is_closed_where_a_rollout_is_cancelled_from_outside() -> None:
    provider = Memory(MemoryOptions(closing=0.1))

    async def main() -> None:
        made = replace(stage(ScriptedModel(call("wait", {})), Filing), sandboxes=provider)
        rollout = asyncio.create_task(run_rollout(made, ask()))
        while "open" not in provider.log:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        rollout.cancel()
        await asyncio.wait([rollout])

    asyncio.run(main())
    assert provider.log == OPENED


def test_a_sandbox_that_opens_for_too_long_is_taken_back() -> None:
    provider = Memory(MemoryOptions(opening=60.0, closing=0.2))
    rollout = carried_out(provider, "done", setup=0.1)
    assert rollout.status is Status.TIMED_OUT
    assert (rollout.error or {})["phase"] == "setup"
    assert provider.log == ["opening", "closed"]


def test_what_a_provider_cannot_do_is_the_failure_of_the_setup() -> None:
    for provider, session, said in (
        (Memory(MemoryOptions(opening=-1.0)), Filing, "the sandbox `main` could not be opened: OSError: it is down"),
        (Memory(), _Imagined, "there is no image `none`"),
        (None, Filing, "and there is none (--sandbox REF)"),
    ):
        rollout = carried_out(provider, "done", session=session)
        assert rollout.status is Status.ENV_ERROR
        assert said in (rollout.error or {})["message"]


class _Imagined(Filing):
    async def setup(self) -> None:
        await self.open_sandbox(SandboxSpec(image="none"))


@pytest.mark.parametrize("closing", [-1.0, 60.0])
def test_one_that_does_not_close_costs_a_warning_and_no_verdict(
    closing: float, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "gym"):
        rollout = carried_out(Memory(MemoryOptions(closing=closing)), "done", close=0.1)
    assert rollout.reward == 1.0
    assert any("the sandbox `main`" in record.getMessage() for record in caplog.records)


def test_one_that_ends_the_rollout_within_a_tool_is_no_answer_to_the_model() -> None:
    class Broken(Filing):
        @tool
        async def look(self) -> str:
            """Look."""
            raise SandboxError("the container is gone")

    rollout = carried_out(Memory(), call("look", {}), "done", session=Broken)
    assert rollout.status is Status.ENV_ERROR
    assert rollout.reward is None


def test_an_own_opening_of_sessions_may_open_some() -> None:
    class Own(ResourceServer):
        """Opens its sessions itself."""

        required_sandboxes = ("main",)

        def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
            return self._opened(task, context)

        @asynccontextmanager
        async def _opened(self, task: Task, context: SessionContext) -> AsyncIterator[Session[Any]]:
            session = _Plain(task, self, context)
            sandbox = await session.open_sandbox()
            await sandbox.write("file", "there")
            if task["fails"]:
                raise OSError("no session today")
            yield session

    for fails in (False, True):
        provider = Memory()
        (rollout,) = run(None, Own(), tasks=[ask(fails=fails)], sandbox=provider).rollouts
        assert rollout.reward == (None if fails else 1.0)
        assert provider.log == OPENED


class _Plain(Session[Any]):
    async def verify(self, trajectory: Trajectory) -> float:
        return float(await self.sandboxes["main"].read("file") == b"there")


def test_a_closed_session_opens_none() -> None:
    class Keeping(Filing):
        kept: Session[Any]

        async def verify(self, trajectory: Trajectory) -> float:
            type(self).kept = self
            return 1.0

    assert carried_out(Memory(), "done", session=Keeping).reward == 1.0
    with pytest.raises(SandboxError, match="not open"):
        asyncio.run(Keeping.kept.open_sandbox())
    assert dict(Keeping.kept.sandboxes) == {}


def test_a_run_without_a_provider_is_refused_before_anything_is_asked() -> None:
    model = ScriptedModel()
    with pytest.raises(
        UsageError, match="tiny runs commands in a sandbox \\(`main`\\), which the run lacks"
    ) as refused:
        run(model, env(Filing))
    assert "--sandbox REF" in refused.value.hint
    assert not model.requests


def test_an_instance_serves_a_whole_run_and_stands_in_the_manifest() -> None:
    provider = Memory()
    ended = run(None, env(Filing, tasks=3), sandbox=provider)
    assert [rollout.reward for rollout in ended.rollouts] == [1.0, 1.0, 1.0]
    assert sorted(provider.log) == sorted(OPENED * 3)


def test_options_of_no_sandbox_are_refused() -> None:
    with pytest.raises(UsageError, match="-S is for a sandbox, and this run has none"):
        run(None, env(), sandbox_options={"closing": 1})
