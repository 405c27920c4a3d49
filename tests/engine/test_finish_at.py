"""Letting the last stragglers go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gym_core import UsageError
from tests.support.envs import env
from tests.support.models import ScriptedModel
from tests.support.running import config, read_jsonl, run


class Straggling(ScriptedModel):
    """Never answers for the tasks of these numbers; tells when such a call was given up."""

    def __init__(self, *stuck: int) -> None:
        super().__init__()
        self.stuck = {f"t{number}" for number in stuck}
        self.given_up: list[str] = []

    async def respond(self, request: Any, context: Any) -> Any:
        if context.key[0] in self.stuck:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.given_up.append(context.key[0])
                raise
        return await super().respond(request, context)


def test_stragglers_are_cancelled_and_run_again_on_resume(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    model = Straggling(0, 7)
    ended = run(model, env(tasks=10), output=output, finish_at=0.8, concurrency=3)
    assert ended.summary["state"] == "finished"
    assert ended.error is None
    assert ended.summary["rollouts"] == ended.summary["rollouts"] | {"with_verdict": 8, "failed": 0, "cancelled": 2}
    assert sorted(model.given_up) == ["t0", "t7"]
    failures = read_jsonl(tmp_path / "x.failures.jsonl")
    assert {(row["rollout"]["status"], row["rollout"]["stop_reason"]) for row in failures} == {
        ("cancelled", "finish_at")
    }
    again = run(ScriptedModel(), env(tasks=10), output=output, mode="resume")
    assert again.summary["rollouts"]["with_verdict"] == 10
    assert again.summary["rollouts"]["cancelled"] == 0


def test_nothing_is_cancelled_while_there_are_jobs() -> None:
    ended = run(ScriptedModel(), env(tasks=50), finish_at=0.1, concurrency=1)
    assert ended.statuses() == ["completed"] * 50


def test_without_it_everything_runs_to_its_end() -> None:
    assert run(ScriptedModel(), env(tasks=5)).statuses() == ["completed"] * 5


@pytest.mark.parametrize("wrong", [0, -0.5, 1.5])
def test_it_is_a_share(wrong: float) -> None:
    with pytest.raises(UsageError, match="finish-at"):
        config(finish_at=wrong)
