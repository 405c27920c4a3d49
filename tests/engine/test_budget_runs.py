"""Runs with a limit: where they stop, what becomes of open rollouts, and how they go on."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gym_core
from gym_core import ModelError, Request, Rollout, Session, Trajectory, UsageError, tool
from gym_core.domain import errors
from gym_core.errors import BudgetExceeded
from gym_core.spi import open_run, run_config
from tests.support.agents import FunctionAgent
from tests.support.budgets import PRICES, bounded, until, using
from tests.support.envs import PlainSession, env
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel, call, response, say
from tests.support.running import config, execute, read_jsonl, run


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    file = tmp_path / "prices.toml"
    file.write_text(PRICES)
    return file


def test_a_run_stops_at_its_tokens_and_says_so() -> None:
    model = bounded(using(500, 100))
    ended = run(model, env(tasks=100), max_tokens=10_000, concurrency=7)
    assert isinstance(ended.error, BudgetExceeded)
    spent = sum(rollout.usage.total_tokens for rollout in ended.rollouts)
    assert 8_000 < spent <= 10_000
    assert ended.summary["state"] == "stopped"
    assert ended.summary["budget"]["spent_tokens"] == spent
    assert ended.summary["budget"]["unreported"]["calls"] == 0
    for rollout in ended.rollouts:
        if rollout.reward is None:
            assert (rollout.status, rollout.stop_reason) == ("cancelled", "budget")
            assert (rollout.error or {})["class"] == "BudgetExceeded"
    assert len(ended.rollouts) < 100
    assert not ended.notices


def test_a_run_stops_at_its_cost(prices: Path) -> None:
    ended = run(bounded(using(500, 100)), env(tasks=100), max_cost=0.02, prices=prices)
    assert isinstance(ended.error, BudgetExceeded)
    assert "--max-cost 0.02 is reached" in ended.error.message
    assert 0.015 < ended.summary["cost"] <= 0.02
    assert ended.summary["budget"]["spent_cost"] == pytest.approx(ended.summary["cost"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(st.integers(0, 550), st.integers(0, 100), st.integers(0, 3)), min_size=1),
    st.integers(1, 8_000),
    st.integers(1, 8),
)
def test_whatever_the_answers_take_the_limit_is_kept(
    answers: list[tuple[int, int, int]], limit: int, concurrency: int
) -> None:
    asked = itertools.cycle(answers)

    async def answer(request: Request, context: Any) -> Any:
        inputs, outputs, turns = next(asked)
        await settle(turns)
        return using(inputs, outputs)

    ended = run(bounded(answer), env(tasks=12), max_tokens=limit, concurrency=concurrency)
    assert ended.summary["budget"]["spent_tokens"] <= limit
    assert ended.error is None or isinstance(ended.error, BudgetExceeded)
    assert ended.error is not None or ended.statuses() == ["completed"] * 12


def test_an_answer_beyond_its_bound_is_counted_and_ends_the_run() -> None:
    model = bounded(using(20_000, 100))
    ended = run(model, env(tasks=5), max_tokens=10_000, concurrency=1)
    assert isinstance(ended.error, BudgetExceeded)
    assert len(model.requests) == 1
    assert ended.summary["budget"]["spent_tokens"] == 20_100


def test_within_the_limit_nothing_is_different(prices: Path) -> None:
    ended = run(bounded(using(500, 100)), env(tasks=10), max_tokens=10**6, max_cost=10, prices=prices)
    assert ended.error is None
    assert ended.statuses() == ["completed"] * 10


def test_a_limit_below_one_call_asks_nothing() -> None:
    model = bounded()
    ended = run(model, env(tasks=3), max_tokens=50)
    assert isinstance(ended.error, BudgetExceeded)
    assert not model.requests
    assert set(ended.statuses()) == {"cancelled"}


def test_retries_are_reserved_one_by_one_and_what_was_refused_is_free() -> None:
    def flaky(request: Request, context: Any) -> Any:
        return errors.ServerError("down", status=500, retry_after=0) if len(model.requests) % 2 else using(500, 100)

    model = bounded(flaky)
    ended = run(model, env(tasks=2), max_tokens=10_000, concurrency=1)
    assert ended.error is None
    assert ended.summary["budget"]["spent_tokens"] == 1_200


def test_an_attempt_that_may_have_been_paid_for_counts_in_full_and_stands_in_the_row(prices: Path) -> None:
    model = bounded(errors.BrokenReplyError("half a reply", status=200), using(500, 100))
    ended = run(model, env(tasks=1), max_tokens=10_000, prices=prices)
    (rollout,) = ended.rollouts
    lost = rollout.row["rollout"]["unreported"]
    assert lost["calls"] == 1
    assert lost["tokens"] > 612
    assert lost["cost"] > 0
    assert rollout.usage.total_tokens == 600
    assert ended.summary["budget"]["spent_tokens"] == 600 + lost["tokens"]
    assert ended.summary["budget"]["unreported"] == lost


def test_an_answer_that_tells_no_usage_counts_in_full() -> None:
    ended = run(bounded(response(say("done"), usage=None)), env(tasks=1), max_tokens=10_000)
    assert ended.rollouts[0].row["rollout"]["unreported"]["calls"] == 1


def test_without_a_limit_rows_say_nothing_of_it() -> None:
    ended = run(bounded(response(say("done"), usage=None)), env(tasks=1))
    assert "unreported" not in ended.rollouts[0].row["rollout"]
    assert ended.summary["budget"] is None


def test_an_unbounded_model_is_named_at_the_start() -> None:
    judge = bounded(role="judge")
    ended = run({"policy": ScriptedModel(), "judge": judge}, env(tasks=1), max_tokens=10**6)
    (notice,) = ended.notices
    assert "the policy model" in notice
    assert "-M max_output_tokens=N" in notice


QUESTION = "Is it good? " * 150


class Judged(Session[Any]):
    roles = ("judge",)

    async def verify(self, trajectory: Trajectory) -> float:
        await self.models["judge"].respond(QUESTION)
        return 1.0


class Forgiving(Session[Any]):
    async def verify(self, trajectory: Trajectory) -> float:
        try:
            await self.models["judge"].respond(QUESTION)
        except ModelError:
            return 0.0
        return 1.0


@pytest.mark.parametrize("session", [Judged, Forgiving])
def test_all_roles_count_and_a_refused_judge_is_no_reward(session: type[Session[Any]]) -> None:
    models = {"policy": bounded(using(500, 100)), "judge": bounded(using(2000, 100), role="judge")}
    ended = run(models, env(session, tasks=20), max_tokens=10_000, concurrency=3)
    assert isinstance(ended.error, BudgetExceeded)
    assert sum(rollout.usage.total_tokens for rollout in ended.rollouts) <= 10_000
    for rollout in ended.rollouts:
        whole = len(rollout.model_calls) == 2
        assert rollout.reward == (1.0 if whole else None)
        assert rollout.status == ("completed" if whole else "cancelled")


def test_an_agent_that_swallows_the_refusal_gets_no_verdict() -> None:
    async def stubborn(episode: gym_core.Episode) -> str:
        try:
            await episode.respond(episode.request.input)
        except ModelError:
            return "completed"
        return "completed"

    ended = run(bounded(using(500, 100)), env(tasks=30), FunctionAgent(stubborn), max_tokens=5_000)
    refused = [rollout for rollout in ended.rollouts if not rollout.model_calls]
    assert refused
    assert {(rollout.reward, rollout.stop_reason) for rollout in refused} == {(None, "budget")}


def test_what_needs_no_further_call_may_end() -> None:
    refused = asyncio.Event()

    class Slow(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            await refused.wait()
            return 1.0

    async def main() -> None:
        def tell(request: Request, context: Any) -> Any:
            return using(500, 100)

        async with open_run(config(bounded(tell), env(Slow, tasks=5), max_tokens=1_500, concurrency=5)) as going:
            rollouts: list[Rollout] = []
            collecting = asyncio.create_task(going.execute(rollouts.append))
            await until(lambda: going.record.budget and going.record.budget.exhausted)
            await settle()
            refused.set()
            await collecting
        assert isinstance(going.error, BudgetExceeded)
        verified = [rollout for rollout in rollouts if rollout.reward == 1.0]
        assert len(verified) == len([rollout for rollout in rollouts if rollout.model_calls]) > 0

    asyncio.run(asyncio.wait_for(main(), 30))


def test_a_second_stop_ends_what_was_left_to_end() -> None:
    class Endless(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            await asyncio.Event().wait()
            return 1.0

    async def main() -> None:
        async with open_run(config(bounded(using(500, 100)), env(Endless, tasks=5), max_tokens=1_500)) as going:
            rollouts: list[Rollout] = []
            collecting = asyncio.create_task(going.execute(rollouts.append))
            await until(lambda: going.record.budget and going.record.budget.exhausted)
            await settle()
            going.stop("enough")
            await collecting
        assert {(rollout.status, rollout.stop_reason) for rollout in rollouts} == {("cancelled", "budget")}

    asyncio.run(asyncio.wait_for(main(), 30))


def resumed(model: ScriptedModel, output: Path, **settings: Any) -> Any:
    async def main() -> Any:
        return await execute(config(model, env(tasks=30), output=output, mode="resume", **settings))

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_a_run_goes_on_with_what_is_left_of_its_budget(tmp_path: Path, prices: Path) -> None:
    output = tmp_path / "x.jsonl"
    limits: dict[str, Any] = {"max_tokens": 5_000, "max_cost": 1.0, "prices": prices, "concurrency": 4}
    first = run(bounded(using(500, 100)), env(tasks=30), output=output, **limits)
    assert isinstance(first.error, BudgetExceeded)
    spent = first.summary["budget"]["spent_tokens"]

    again = bounded(using(500, 100))
    second = resumed(again, output, **limits)
    assert isinstance(second.error, BudgetExceeded)
    assert not again.requests, "the limit counts what the files say"
    assert second.summary["budget"]["spent_tokens"] == spent

    limits["max_tokens"] = 100_000
    third = resumed(bounded(using(500, 100)), output, **limits)
    assert third.error is None
    assert third.summary["budget"]["spent_tokens"] == 30 * 600
    assert third.summary["budget"]["spent_cost"] == pytest.approx(30 * 1500 / 1e6)
    rows = read_jsonl(output)
    assert sorted(row["task_id"] for row in rows) == sorted(f"t{number}" for number in range(30))


def test_attempts_that_run_again_have_been_paid_for_too(tmp_path: Path) -> None:
    class Broken(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            raise RuntimeError("no verdict")

    output = tmp_path / "x.jsonl"
    script = (errors.BrokenReplyError("half", status=200), using(500, 100))
    first = run(bounded(*script), env(Broken, tasks=2), output=output, max_tokens=50_000)
    spent = first.summary["budget"]["spent_tokens"]
    assert spent > 2 * 600
    second = run(
        bounded(using(500, 100)), env(tasks=2), output=output, mode="resume", retry_failed=True, max_tokens=50_000
    )
    assert second.statuses() == ["completed"] * 2
    assert second.summary["budget"]["spent_tokens"] == spent + 2 * 600


@pytest.mark.parametrize("limits", [{"max_tokens": 0}, {"max_cost": 0}, {"max_cost": float("nan")}, {"max_cost": -1.0}])
def test_a_limit_that_is_none_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(limits)).replace("_", "-")):
        run_config(models={"policy": "openai"}, env="tiny", **limits)


def test_what_the_whole_run_will_take_is_known_after_a_few_rollouts(prices: Path) -> None:
    seen: list[tuple[int, Any]] = []

    async def main() -> None:
        async with open_run(config(bounded(using(500, 100)), env(tasks=50), prices=prices, concurrency=1)) as going:
            await going.execute(lambda rollout: seen.append((going.progress.finished, going.progress.expected)))

    asyncio.run(main())
    expected = dict(seen)
    assert expected[4] is None
    assert expected[5] == (pytest.approx(50 * 600), pytest.approx(50 * 1500 / 1e6))
    assert expected[50] is None, "the whole run is known by then"


def test_turns_of_a_conversation_are_paid_for_one_by_one() -> None:
    class Tools(PlainSession):
        @tool
        def look(self) -> str:
            """Look around."""
            return "nothing"

    turn: Callable[[Request, Any], Any] = lambda request, context: response(  # noqa: E731
        call("look"), usage={"input_tokens": 100 + 20 * len(request.input), "output_tokens": 30}
    )
    model = bounded(turn, turn, turn, "done")
    ended = run(model, env(Tools, tasks=1), max_tokens=4_000)
    assert ended.statuses() == ["completed"]
    assert ended.summary["budget"]["spent_tokens"] == ended.rollouts[0].usage.total_tokens


def test_the_manifest_says_the_limits_and_prices(tmp_path: Path, prices: Path) -> None:
    run(bounded(), env(tasks=1), output=tmp_path / "x.jsonl", max_cost=1.5, max_tokens=9_000, prices=prices)
    operational = orjson.loads((tmp_path / "x.run.json").read_bytes())["operational"]
    assert operational["max_cost"] == 1.5
    assert operational["max_tokens"] == 9_000
    assert operational["prices"] == {"policy": {"input": 1.0, "cached_input": 1.0, "output": 10.0}}


@asynchronous
async def test_python_hears_of_it_after_the_last_rollout() -> None:
    rollouts: list[Rollout] = []

    async def listen() -> None:
        async for rollout in gym_core.collect(model=bounded(using(500, 100)), env=env(tasks=50), max_tokens=5_000):
            rollouts.append(rollout)  # noqa: PERF401

    with pytest.raises(BudgetExceeded, match="max_tokens"):
        await listen()
    assert {rollout.status for rollout in rollouts} == {"completed", "cancelled"}
