"""Attempts, delays and slots of model calls, on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import ModelError, Status
from gym_core.domain import errors
from gym_core.engine.model_calls.rate_limits import Limiter
from gym_core.engine.model_calls.retries import POLICY, RETRY_AFTER_CAP, next_delay, retry_for
from tests.support.clock import FakeClock
from tests.support.envs import PlainSession
from tests.support.models import ScriptedModel, response, say
from tests.support.running import rollout


def attempts(*turns: Any, jitter: float = 1.0, **settings: Any) -> tuple[Any, ScriptedModel, FakeClock]:
    """A rollout whose one model call meets these turns."""
    clock, model = FakeClock(jitter), ScriptedModel(*turns)
    model.retries = settings.pop("max_retries", None)
    return rollout(model, clock=clock, **settings), model, clock


@pytest.mark.parametrize("kind", list(POLICY), ids=lambda kind: kind.__name__)
def test_a_transient_error_is_tried_again(kind: type[ModelError]) -> None:
    ended, model, clock = attempts(kind("once", status=500), kind("twice", status=500), "done")
    assert ended.status is Status.COMPLETED
    assert len(model.requests) == 3
    base = POLICY[kind].base
    assert clock.slept == [base, 2 * base]
    (recorded,) = ended.model_calls
    assert recorded["attempts"] == 3
    assert recorded["waited"] == pytest.approx(3 * base)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in errors.model_error_classes() if not kind.retryable],
    ids=lambda kind: kind.__name__,
)
def test_any_other_error_is_not(kind: type[ModelError]) -> None:
    _, model, clock = attempts(kind("no"))
    assert len(model.requests) == 1
    assert clock.slept == []


def test_every_retryable_class_has_a_row_in_the_table() -> None:
    assert {kind for kind in errors.model_error_classes() if kind.retryable} == set(POLICY)


def test_a_backends_own_subclass_is_treated_as_its_base() -> None:
    class Busy(errors.OverloadedError):
        """A vendor's word for it."""

    ended, model, _ = attempts(Busy("busy", status=503), "done")
    assert ended.status is Status.COMPLETED
    assert len(model.requests) == 2


@pytest.mark.parametrize("kind", list(POLICY), ids=lambda kind: kind.__name__)
def test_attempts_end_with_the_table(kind: type[ModelError]) -> None:
    ended, model, clock = attempts(kind("again", status=500), jitter=0.0)
    assert len(model.requests) == POLICY[kind].attempts
    assert ended.status is Status.MODEL_ERROR
    assert ended.error["class"] == kind.__name__
    assert sum(clock.slept) == 0


@pytest.mark.parametrize("kind", list(POLICY), ids=lambda kind: kind.__name__)
def test_no_attempt_starts_after_the_total_time(kind: type[ModelError]) -> None:
    _, _, clock = attempts(kind("again", status=500))
    assert sum(clock.slept) <= POLICY[kind].total
    assert max(clock.slept) <= POLICY[kind].cap


def test_transient_errors_ride_out_half_a_minute() -> None:
    for kind in (errors.ServerError, errors.OverloadedError, errors.RateLimitError, errors.ConnectionFailedError):
        error, slept, attempt = kind("x"), 0.0, 0
        policy = retry_for(error, answered=True)
        while True:
            attempt += 1
            delay = next_delay(policy, error, attempt=attempt, elapsed=slept, jitter=0.5)
            if delay is None:
                break
            slept += delay
        assert slept >= 30


@pytest.mark.parametrize("seconds", [0.0, 2.5, 120.0])
def test_retry_after_is_honoured(seconds: float) -> None:
    _, _, clock = attempts(errors.RateLimitError("slow", status=429, retry_after=seconds), "done", jitter=0.5)
    assert clock.slept == [seconds + 0.5]


def test_retry_after_is_capped() -> None:
    _, _, clock = attempts(errors.RateLimitError("slow", status=429, retry_after=86400), "done", jitter=0.0)
    assert clock.slept == [RETRY_AFTER_CAP]


@pytest.mark.parametrize(("most", "calls"), [(0, 1), (1, 2), (4, 5)])
def test_max_retries_shortens_the_table(most: int, calls: int) -> None:
    _, model, _ = attempts(errors.RateLimitError("slow", status=429), max_retries=most)
    assert len(model.requests) == calls


def test_max_retries_does_not_lengthen_it() -> None:
    _, model, _ = attempts(errors.ModelTimeoutError("slow"), max_retries=1000)
    assert len(model.requests) == POLICY[errors.ModelTimeoutError].attempts


def test_an_endpoint_that_never_answered_is_given_up_soon_and_is_fatal() -> None:
    ended, model, clock = attempts(errors.ConnectionFailedError("refused"))
    assert ended.status is Status.CANCELLED
    assert ended.error["class"] == "EndpointError"
    assert "nothing has answered" in ended.error["message"]
    assert len(model.requests) < 10
    assert sum(clock.slept) <= 15


def test_a_connection_that_breaks_later_is_ridden_out() -> None:
    first = errors.ServerError("up but failing", status=500)
    ended, model, _ = attempts(first, *[errors.ConnectionFailedError("refused")] * 10, "done", jitter=0.5)
    assert ended.status is Status.COMPLETED
    assert len(model.requests) == 12


def test_a_model_that_hangs_times_out_and_is_tried_again() -> None:
    async def hang(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    ended, model, _ = attempts(hang, "done", model_call=0.05)
    assert ended.status is Status.COMPLETED
    assert ended.model_calls[0]["attempts"] == 2
    assert len(model.requests) == 2


def test_a_model_that_hangs_for_good_fails_with_its_own_class() -> None:
    async def hang(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    ended, _, _ = attempts(hang, model_call=0.02, max_retries=1)
    assert ended.status is Status.MODEL_ERROR
    assert ended.error["class"] == "ModelTimeoutError"
    assert "0.02 s" in ended.error["message"]


def test_waiting_for_a_retry_does_not_bring_the_rollouts_deadline_nearer() -> None:
    """A tenth of a second is all the rollout has; its retries wait longer than that."""

    async def main() -> None:
        from gym_core.spi import run_rollout
        from tests.support.envs import ask
        from tests.support.running import stage

        clock = FakeClock()

        async def really_sleep(seconds: float) -> None:
            await asyncio.sleep(0.15)

        clock.sleep = really_sleep  # type: ignore[method-assign]
        model = ScriptedModel(errors.ServerError("x", status=500), errors.ServerError("x", status=500), "done")
        ended = await run_rollout(stage(model, clock=clock, rollout=0.1), ask())
        assert ended.status is Status.COMPLETED

    asyncio.run(main())


def test_waiting_for_a_slot_does_not_bring_the_rollouts_deadline_nearer() -> None:
    async def main() -> None:
        from gym_core.spi import run_rollout
        from tests.support.envs import ask
        from tests.support.running import stage

        limiter = Limiter(1)
        await limiter.acquire()
        made = stage(ScriptedModel(), limiter=limiter, rollout=0.1)
        under_way = asyncio.create_task(run_rollout(made, ask()))
        await asyncio.sleep(0.25)
        assert not under_way.done()
        assert limiter.waiting == 1
        limiter.release()
        assert (await under_way).status is Status.COMPLETED
        assert limiter.inflight == 0

    asyncio.run(main())


def test_waiting_for_a_slot_has_its_own_bound() -> None:
    async def main() -> None:
        from gym_core.spi import run_rollout
        from tests.support.envs import ask
        from tests.support.running import stage

        limiter = Limiter(1)
        await limiter.acquire()
        ended = await run_rollout(stage(ScriptedModel(), limiter=limiter, waiting=0.05), ask())
        assert ended.status is Status.MODEL_ERROR
        assert ended.error is not None
        assert ended.error["class"] == "OverloadedError"
        assert limiter.waiting == 0
        assert limiter.inflight == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "lowered"),
    [
        (errors.RateLimitError("x", status=429), True),
        (errors.OverloadedError("x", status=503), True),
        (errors.ServerError("x", status=500), False),
        (errors.BadRequestError("x", status=400), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_complaints_about_load_lower_the_requests_in_flight(error: ModelError, lowered: bool) -> None:
    limiter = Limiter(8)
    rollout(ScriptedModel(error, "done"), limiter=limiter)
    assert (limiter.decreases > 0) is lowered
    assert limiter.inflight == 0


def test_the_slot_is_given_back_before_waiting_for_a_retry() -> None:
    limiter = Limiter(1)
    held: list[int] = []
    clock = FakeClock()
    original = clock.sleep

    async def sleep(seconds: float) -> None:
        held.append(limiter.inflight)
        await original(seconds)

    clock.sleep = sleep  # type: ignore[method-assign]
    rollout(ScriptedModel(errors.ServerError("x", status=500), "done"), limiter=limiter, clock=clock)
    assert held == [0]


def test_roles_at_one_endpoint_share_its_limit_and_others_do_not() -> None:
    from gym_core.spi import open_run
    from tests.support.running import config

    class At(ScriptedModel):
        def __init__(self, endpoint: str) -> None:
            super().__init__()
            self.where = endpoint

        @property
        def endpoint(self) -> str:
            return self.where

    async def main() -> None:
        async with open_run(config({"policy": At("a"), "judge": At("a"), "user": At("b")})) as run:
            assert run.gates["policy"].limiters[0] is run.gates["judge"].limiters[0]
            assert run.gates["policy"].limiters[0] is not run.gates["user"].limiters[0]

    asyncio.run(main())


def test_usage_and_identity_of_a_response_stand_in_the_recorded_call() -> None:
    ended = rollout(ScriptedModel(response(say("x"), id="resp_1", model="m-1", usage=None)), PlainSession)
    (recorded,) = ended.model_calls
    assert (recorded["response_id"], recorded["model"]) == ("resp_1", "m-1")
    assert ended.usage.total_tokens == 0
