"""An environment's own metrics: in the row, in the summary, in `gym stats`, after resuming, over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gym_core import Session, Status, Trajectory, Verdict
from gym_core.engine.metrics.progress import Progress
from gym_testing import GymCommand, Served
from gym_workers.encoded import EncodedRollout, account_of
from tests.support.envs import ask, env
from tests.support.running import config, execute, rollout, run


class Measuring(Session[Any]):
    def verify(self, trajectory: Trajectory) -> Verdict:
        number = self.task.get("steps")
        return Verdict(1.0, metrics={} if number is None else {"steps": number, "half": number / 2})


def tasks(*numbers: int | None) -> list[Any]:
    return [ask(place, steps=number) for place, number in enumerate(numbers)]


FOUND = {
    "half": {"mean": 1.5, "min": 0.5, "max": 2.5, "rollouts": 3},
    "steps": {"mean": 3.0, "min": 1.0, "max": 5.0, "rollouts": 3},
}


def test_they_stand_in_the_row_and_folded_in_the_summary() -> None:
    ended = run(None, env(Measuring, tasks(3, 1, None, 5)))
    assert ended.summary["metrics"] == FOUND
    assert [one.metrics.get("steps") for one in ended.rollouts] == [3.0, 1.0, None, 5.0]
    assert "metrics" not in ended.rollouts[2].row["rollout"]


def test_resuming_counts_what_was_there(tmp_path: Path, gym_cli: GymCommand) -> None:
    output = tmp_path / "x.jsonl"
    some = tasks(3, 1, None, 5)
    run(None, env(Measuring, some), output=output, limit=2)
    assert run(None, env(Measuring, some), output=output, mode="resume").summary["metrics"] == FOUND
    shown = gym_cli("stats", str(output)).out
    assert "metrics" in shown
    assert "steps" in shown
    assert "3 (1 to 5)" in shown


def test_the_account_that_workers_send_has_them() -> None:
    progress = Progress()
    for number in (1, 4):
        row = rollout(session=Measuring, task=ask(number, steps=number)).row
        progress.add(EncodedRollout(b"{}", account_of(row), 0, source=None, names_task=False).account)
    assert progress.metrics["steps"].to_wire() == {"mean": 2.5, "min": 1.0, "max": 4.0, "rollouts": 2}


def test_they_come_over_http() -> None:
    async def main() -> None:
        async with Served(env(Measuring)) as server, server.remote() as there:
            ended = await execute(config(None, there, tasks=tasks(3)))
        assert ended.rollouts[0].metrics == {"steps": 3.0, "half": 1.5}

    asyncio.run(main())


@pytest.mark.parametrize("metrics", [["steps"], {"steps": "many"}, {3: 1}, {"steps": float("nan")}])
def test_what_is_no_number_by_name_is_the_failure_of_the_verifier(metrics: Any) -> None:
    class Odd(Session[Any]):
        def verify(self, trajectory: Trajectory) -> Verdict:
            return Verdict(1.0, metrics=metrics)

    assert rollout(session=Odd).status is Status.VERIFIER_ERROR
