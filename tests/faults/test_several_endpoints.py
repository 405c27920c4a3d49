"""Several endpoints behind one role: where rollouts go, and what becomes of them when an endpoint does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from gym_core.spi import RunConfig, run_config
from gym_testing import FakeOpenAI, Received, Reply, Turn, faults
from gym_testing.isolation import IsolatedPlugins
from tests.support import spread
from tests.support.endpoints import Outcome, VirtualClock, config, execute, work
from tests.support.loop import asynchronous
from tests.support.running import execute as execute_plainly

SESSION = "x-session-id"


def urls(servers: Sequence[FakeOpenAI]) -> str:
    return ",".join(server.base_url for server in servers)


async def started(stack: AsyncExitStack, *scripts: Any) -> list[FakeOpenAI]:
    return [await stack.enter_async_context(FakeOpenAI(script)) for script in scripts]


def sessions(server: FakeOpenAI) -> set[str]:
    """The rollouts that an endpoint was asked for."""
    return {request.headers[SESSION] for request in server.received}


def about(outcome: Outcome, server: FakeOpenAI) -> dict[str, int]:
    """What the summary says of an endpoint."""
    found: dict[str, int] = outcome.summary["health"]["models"]["policy"]["endpoints"][server.base_url]
    return found


@asynchronous
async def test_a_rollout_stays_where_it_began_and_all_have_their_share(transport: str) -> None:
    async with AsyncExitStack() as stack:
        servers = await started(stack, work, work, work)
        ended = await execute(config(urls(servers), tasks=30, transport=transport, concurrency=6))
    assert set(ended.statuses.values()) == {"completed"}
    seen = [sessions(server) for server in servers]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 30
    assert all(len(each) >= 6 for each in seen)
    for server in servers:
        assert about(ended, server) == {"calls": len(server.received), "failures": 0, "downs": 0}


@asynchronous
async def test_a_new_rollout_goes_where_fewest_requests_are_under_way() -> None:
    release = asyncio.Event()

    async def slow(request: Received) -> Turn:
        await release.wait()
        return "done"

    async with AsyncExitStack() as stack:
        servers = await started(stack, slow, "done")

        async def let_go(_: object) -> None:
            await servers[1].wait_received(18)
            release.set()

        await execute(config(urls(servers), tasks=20, concurrency=3), stop=let_go)
    assert len(servers[0].received) <= 2


def dies_at(server: FakeOpenAI, number: int) -> asyncio.Event:
    """Have an endpoint die of a call."""
    died, dying = asyncio.Event(), []

    async def die(request: Received) -> Turn:
        if request.number == number and not died.is_set():
            died.set()
            dying.append(asyncio.ensure_future(server.go_down()))
            await asyncio.sleep(30)
        return work(request)

    server.script(die)
    return died


@asynchronous
async def test_the_rollouts_of_one_that_dies_go_on_elsewhere(transport: str) -> None:
    async with AsyncExitStack() as stack:
        servers = await started(stack, work, work)
        dies_at(servers[0], 4)
        ended = await execute(config(urls(servers), tasks=20, transport=transport, concurrency=4))
    assert set(ended.statuses.values()) == {"completed"}
    assert about(ended, servers[0])["downs"] == 1
    assert sessions(servers[0]) & sessions(servers[1])


@asynchronous
async def test_one_that_answers_again_gets_its_share_back(transport: str) -> None:
    clock = VirtualClock(0)
    async with AsyncExitStack() as stack:
        servers = await started(stack, work, work)
        died = dies_at(servers[0], 4)

        async def restart(_: object) -> None:
            await died.wait()
            await servers[1].wait_received(40)
            await servers[0].come_back()
            clock.now += 100

        ended = await execute(config(urls(servers), tasks=60, transport=transport, concurrency=4), clock, stop=restart)
    assert set(ended.statuses.values()) == {"completed"}
    assert len(servers[0].received) > 20


@asynchronous
async def test_one_that_is_not_there_costs_nobody_a_wait() -> None:
    async with AsyncExitStack() as stack:
        servers = await started(stack, work)
        base_url = f"http://127.0.0.1:9/v1,{servers[0].base_url},http://no-such-host.invalid/v1"
        clock = VirtualClock(0)
        ended = await execute(config(base_url, tasks=8), clock)
    assert set(ended.statuses.values()) == {"completed"}
    assert clock.slept == []
    assert [notice for notice in ended.run.notices if "127.0.0.1:9" in notice]


@asynchronous
async def test_where_nobody_is_there_the_run_is_refused() -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9"):
        await execute(config("http://127.0.0.1:9/v1,http://127.0.0.1:19/v1"))


@pytest.mark.parametrize("fault", [faults.server_error(500), faults.drop_before()], ids=["500", "dropped"])
@asynchronous
async def test_one_that_only_fails_is_down_after_a_few(fault: Reply) -> None:
    async with AsyncExitStack() as stack:
        servers = await started(stack, fault, work)
        ended = await execute(config(urls(servers), tasks=12, concurrency=2))
    assert set(ended.statuses.values()) == {"completed"}
    assert about(ended, servers[0])["downs"] == 1
    assert len(servers[0].received) < 10


@asynchronous
async def test_one_that_is_limited_slows_itself_alone() -> None:
    async def limited(request: Received) -> Turn:
        await asyncio.sleep(0.005)
        return faults.rate_limited(retry_after_ms=5) if request.in_flight > 2 else work(request)

    async with AsyncExitStack() as stack:
        servers = await started(stack, limited, work)
        ended = await execute(config(urls(servers), tasks=60, concurrency=30))
        policy = ended.run.gates["policy"]
        assert policy.placement is not None
        first, second = policy.limiters
    assert set(ended.statuses.values()) == {"completed"}
    assert first.decreases >= 1
    assert second.decreases == 0
    assert about(ended, servers[0])["downs"] == 0


@asynchronous
async def test_a_wrong_key_at_one_stops_the_run_and_names_it() -> None:
    async with AsyncExitStack() as stack:
        servers = await started(stack, work, faults.wrong_key())
        ended = await execute(config(urls(servers), tasks=8))
    assert ended.error is not None
    assert servers[1].base_url in str(ended.error)


@asynchronous
async def test_a_file_of_endpoints_may_change_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gym_openai_model.addresses.LOOK_SECONDS", 0.01)
    async with AsyncExitStack() as stack:
        servers = await started(stack, work, work)
        listed = tmp_path / "endpoints.txt"
        listed.write_text(f"# ours\n{servers[0].base_url}\n")

        async def slow(request: Received) -> Turn:
            await asyncio.sleep(0.01)
            return work(request)

        for server in servers:
            server.script(slow)

        async def change(_: object) -> None:
            await servers[0].wait_received(6)
            listed.write_text("nonsense\n")
            while "nonsense" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            listed.unlink()
            await servers[0].wait_received(12)
            listed.write_text(f"{servers[1].base_url}\n")

        ended = await execute(config(f"@{listed}", tasks=60, concurrency=2), stop=change)
    assert set(ended.statuses.values()) == {"completed"}
    assert servers[1].received
    assert servers[0].received
    assert caplog.text.count("the endpoints stay as they were") == 1
    left = servers[1].received[2:]
    assert left


class TestWorkers:
    """Each worker places its own rollouts; limits are shared by endpoint."""

    def config(self, servers: Sequence[FakeOpenAI], base_url: str = "", **options: Any) -> RunConfig:
        given = {"base_url": base_url or urls(servers), **options}
        tasks = [spread.told(number) for number in range(40)]
        return run_config(
            models={"policy": "openai:fake-model"}, env="spread_env", agent="spread_agent", tasks=tasks,
            model_options={"policy": given}, concurrency=20, workers=2,
        )  # fmt: skip

    @pytest.mark.slow
    @asynchronous
    async def test_a_cap_holds_for_each_endpoint(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.keep("openai")
        spread.install(isolated_plugins)
        async with AsyncExitStack() as stack:
            servers = await started(stack, "done", "done")
            ended = await execute_plainly(self.config(servers, max_inflight=3))
        assert ended.statuses() == ["completed"] * 40
        assert all(1 <= server.peak <= 3 for server in servers)
        told = ended.summary["health"]["models"]["policy"]["endpoints"]
        assert sum(about["calls"] for about in told.values()) == 40

    @pytest.mark.slow
    @asynchronous
    async def test_a_dead_one_costs_no_rollout(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.keep("openai")
        spread.install(isolated_plugins)
        async with AsyncExitStack() as stack:
            servers = await started(stack, "done")
            ended = await execute_plainly(self.config(servers, f"{servers[0].base_url},http://127.0.0.1:9/v1"))
        assert ended.statuses() == ["completed"] * 40
        assert ended.summary["health"]["models"]["policy"]["endpoints"]["http://127.0.0.1:9/v1"]["downs"] >= 1

    @pytest.mark.slow
    @asynchronous
    async def test_one_that_joins_the_file_is_asked_by_all(
        self, isolated_plugins: IsolatedPlugins, tmp_path: Path
    ) -> None:
        isolated_plugins.keep("openai")
        spread.install(isolated_plugins)

        async def slow(request: Received) -> Turn:
            await asyncio.sleep(0.5)
            return faults.rate_limited(retry_after_ms=5) if request.number == 5 else "done"

        async with AsyncExitStack() as stack:
            servers = await started(stack, slow, slow)
            listed = tmp_path / "endpoints"
            listed.write_text(servers[0].base_url)
            wanted = self.config(servers, f"@{listed}", max_inflight=2)
            running = asyncio.create_task(execute_plainly(wanted))
            await servers[0].wait_received(1, 60)
            listed.write_text(f"{servers[0].base_url}\n{servers[1].base_url}")
            ended = await running
        assert ended.statuses() == ["completed"] * 40
        assert len(servers[1].received) >= 5
        assert servers[1].peak <= 2
