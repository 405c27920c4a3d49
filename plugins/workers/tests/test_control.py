"""A run that is steered while it goes on, in one process and over two: paused, widened, a task cancelled, stopped."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_core import RunInfo, UsageError, hookimpl
from gym_core.spi import RunConfig, RunControl, open_run, run_config
from tests.support.running import Ended, execute
from tests.support.spread import COMPONENTS, told

pytestmark = [
    pytest.mark.usefixtures("spread_plugins"),
    pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets"),
]
PATIENCE = 60.0
COUNT = 12


class Steering:
    """An extension that keeps the control of the run."""

    def __init__(self) -> None:
        self.control: RunControl | None = None

    @hookimpl(contract=1)
    def gym_run_control(self, run: RunInfo, control: RunControl) -> None:
        self.control = control


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def config(steering: Steering, workers: int, **settings: Any) -> RunConfig:
    """Tasks that each wait for a file, and make one when they begin."""
    tasks = [told(n, mark=f"begun-{n}", wait_for=f"go-{n}") for n in range(COUNT)]
    parts = {**COMPONENTS, "workers": workers, "concurrency": 4, "tasks": tasks, "extensions": [steering], **settings}
    return run_config(models={"policy": parts.pop("model")}, **parts)


def steered(workers: int, steer: Callable[[RunControl], None], **settings: Any) -> Ended:
    """A run, and what a thread does with it meanwhile."""
    steering = Steering()

    def work() -> None:
        until(lambda: steering.control is not None)
        assert steering.control is not None
        try:
            steer(steering.control)
        finally:
            for number in range(COUNT):
                Path(f"go-{number}").touch()

    async def main() -> Ended:
        ended, _ = await asyncio.gather(execute(config(steering, workers, **settings)), asyncio.to_thread(work))
        return ended

    return asyncio.run(asyncio.wait_for(main(), PATIENCE))


def begun() -> set[int]:
    return {int(path.name.removeprefix("begun-")) for path in Path().glob("begun-*")}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_is_paused_made_wider_and_one_task_of_it_cancelled(workers: int) -> None:
    def steer(control: RunControl) -> None:
        until(lambda: len(begun()) == 4)
        state = control.state()
        assert (state["state"], state["concurrency"], state["rollouts"]["total"]) == ("running", 4, COUNT)
        assert {"task_id": "t0", "repeat": 0} in state["under_way"]
        control.pause()
        first = begun()
        for number in first:
            Path(f"go-{number}").touch()
        until(lambda: control.state()["rollouts"]["done"] == 4)
        time.sleep(0.3)
        assert begun() == first  # what workers were sent ahead waits, too
        assert control.state()["state"] == "paused"
        assert control.set_concurrency(6) is None
        control.resume()
        until(lambda: len(begun()) == 10)
        time.sleep(0.2)
        assert len(begun()) == 10
        cancelled = max(begun())
        assert control.cancel(f"t{cancelled}", 1) == 0
        assert control.cancel(f"t{cancelled}") == 1
        until(lambda: control.state()["rollouts"]["failed"] == 1)
        until(lambda: len(begun()) == 11)
        assert control.set_concurrency(2) is None
        for number in sorted(begun())[4:7]:
            Path(f"go-{number}").touch()
        until(lambda: control.state()["rollouts"]["done"] == 7)
        time.sleep(0.2)
        assert len(begun()) == 11  # 3 are under way, and 2 are wanted

    ended = steered(workers, steer)
    assert ended.error is None
    assert ended.summary["state"] == "finished"
    assert ended.summary["rollouts"]["with_verdict"] == COUNT - 1
    assert ended.summary["rollouts"]["cancelled"] == 1
    (row,) = [rollout for rollout in ended.rollouts if rollout.error]
    assert row.error is not None
    assert row.error["message"] == "the rollout was cancelled by hand"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_paused_run_can_be_stopped_and_goes_on_with_resume(workers: int) -> None:
    def steer(control: RunControl) -> None:
        until(lambda: len(begun()) == 4)
        control.pause()
        control.stop("by a test")

    ended = steered(workers, steer, output="x.jsonl")
    assert ended.summary["state"] == "stopped"
    assert ended.summary["message"] == "by a test"
    assert ended.summary["rollouts"]["with_verdict"] == 0
    again = steered(workers, lambda control: None, output="x.jsonl", mode="resume")
    assert again.summary["rollouts"]["with_verdict"] == COUNT


def test_what_cannot_be_is_refused() -> None:
    refused: list[str] = []

    def steer(control: RunControl) -> None:
        for concurrency in (0, 1):
            with pytest.raises(UsageError) as caught:
                control.set_concurrency(concurrency)
            refused.append(caught.value.message)

    assert steered(2, steer).summary["state"] == "finished"
    assert refused[0].startswith("a concurrency of 0")
    assert refused[1] == "2 workers have at least one rollout each"


def test_a_run_that_has_ended_says_so() -> None:
    steering = Steering()

    async def main() -> None:
        async with open_run(config(steering, 1, tasks=[told(0)])) as run:
            await run.execute()
            assert steering.control is not None
            with pytest.raises(UsageError, match="the run has ended"):
                await asyncio.to_thread(steering.control.pause)

    asyncio.run(main())
    assert steering.control is not None
    with pytest.raises(UsageError, match="the run has ended"):
        steering.control.state()


def test_a_run_without_somebody_who_steers_has_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*arguments: Any) -> None:
        raise AssertionError("nobody asked for it")

    monkeypatch.setattr("gym_core.engine.run.run.Control", made)

    class Watching:
        @hookimpl(contract=1)
        def gym_run_started(self, run: RunInfo) -> None:
            """It only watches."""

    parts = {**COMPONENTS, "tasks": [told(0)], "extensions": [Watching()]}
    ended = asyncio.run(execute(run_config(models={"policy": parts.pop("model")}, **parts)))
    assert ended.summary["rollouts"]["with_verdict"] == 1
