"""Where rollouts go among several endpoints, and when one counts as down; on a clock that nobody waits for."""

from __future__ import annotations

from typing import Any

from gym_core.domain import errors
from gym_core.engine.model_calls.placement import FIRST_PROBE, LAST_PROBE, PATIENCE, Placement
from gym_core.spi import Limiters
from tests.support.clock import FakeClock
from tests.support.models import ScriptedModel
from tests.support.running import rollout


class Several(ScriptedModel):
    """A model at several places."""

    places: tuple[str, ...] = ("a", "b", "c")

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self.places


class Bench:
    """A placement, and its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.model = Several()
        self.limiters = Limiters()
        self.placement = Placement(self.model, self.limiters, lambda: self.now)

    def at(self, task: str, **asked: Any) -> str:
        return self.placement.of((task, 0), **asked).name

    def fail(self, task: str, error: errors.ModelError, times: int = 1) -> None:
        place = self.placement.of((task, 0), probe=False)
        for _ in range(times):
            place.failed(error, self.now)


def unsent() -> errors.ModelError:
    error = errors.ConnectionFailedError("refused")
    error.unsent = True
    return error


def test_a_rollout_stays_and_a_new_one_goes_where_least_is_under_way() -> None:
    bench = Bench()
    assert [bench.at("one"), bench.at("one"), bench.at("one")] == ["a"] * 3
    bench.limiters.of("a").inflight = 2
    bench.limiters.of("b").inflight = 1
    assert bench.at("two") == "c"
    bench.limiters.of("c").inflight, bench.limiters.of("c").limit = 1, 1
    assert bench.at("three") == "b"  # the other has no slot free
    assert bench.at("one") == "a"


def test_one_that_is_down_is_tried_again_now_and_then_by_one_call() -> None:
    bench = Bench()
    assert bench.at("one") == "a"
    bench.fail("one", unsent())
    assert bench.at("one") == "b"
    pause = FIRST_PROBE
    for number in range(10):
        bench.now += pause - 0.01
        assert bench.at(f"before {number}") != "a"
        bench.now += 0.02
        assert bench.at(f"no probe {number}", probe=False) != "a"
        probe = bench.placement.of((f"probe {number}", 0))
        assert probe.name == "a"
        assert bench.at(f"another {number}") != "a"
        probe.failed(unsent(), bench.now)
        pause = min(2 * pause, LAST_PROBE)
    bench.now += LAST_PROBE
    probe = bench.placement.of(("good", 0))
    probe.answered()
    assert probe.up
    assert bench.at("one") == "b"  # it has moved
    assert bench.placement.counts["a"].downs == 1


def test_failures_in_a_row_take_one_down_and_an_answer_ends_the_row() -> None:
    bench = Bench()
    bench.at("one")
    bench.fail("one", errors.ServerError("500"), 2)
    bench.placement.of(("one", 0)).answered()
    bench.fail("one", errors.ServerError("500"), 2)
    assert bench.at("one") == "a"
    bench.fail("one", errors.ModelTimeoutError("late"))
    assert bench.at("one") == "b"


def test_what_speaks_for_the_request_or_the_rate_takes_nothing_down() -> None:
    bench = Bench()
    bench.at("one")
    for error in (errors.RateLimitError("429"), errors.BadRequestError("400"), errors.ContextLengthError("long")):
        bench.fail("one", error, 10)
    bench.fail("one", errors.OverloadedError("503"), 10)
    assert bench.at("one") == "a"
    bench.now += PATIENCE
    bench.fail("one", errors.OverloadedError("503"))
    assert bench.at("one") == "b"


def test_where_all_are_down_calls_go_on_to_whoever_is_due_first() -> None:
    bench = Bench()
    for task in ("one", "two", "three"):
        place = bench.placement.of((task, 0), probe=False)
        place.failed(unsent(), bench.now)
        bench.now += 0.1
    assert not bench.placement.any_up
    assert bench.at("four", probe=False) == "a"


def test_the_list_may_change_and_never_ends() -> None:
    bench = Bench()
    assert bench.at("one") == "a"
    bench.model.places = ("b", "d")
    assert bench.at("one") in ("b", "d")
    bench.model.places = ()
    assert bench.at("two") in ("b", "d")
    bench.model.places = ("a",)
    assert bench.at("two") == "a"


def test_an_unreachable_endpoint_among_others_is_no_reason_to_stop_a_run() -> None:
    gone = errors.EndpointError("no such host")
    gone.unsent = True
    clock, model = FakeClock(1.0), Several(gone, "done")
    ended = rollout(model, clock=clock)
    assert ended.status.value == "completed"
    assert clock.slept == []
    assert len(model.requests) == 2
