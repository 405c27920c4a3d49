"""Whatever goes wrong wherever, every rollout ends once, as a row or as a failure, and the summary adds up."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gym_core import Episode, Rollout, Status, Stop, Trajectory, tool
from gym_core.domain import errors
from gym_core.spi import open_run
from tests.support.agents import FunctionAgent, LoopAgent
from tests.support.envs import PlainSession, ask, env
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute, read_jsonl

EXPECTED = {
    "fine": Status.COMPLETED,
    "tool raises": Status.COMPLETED,
    "context": Status.TRUNCATED,
    "policy": Status.COMPLETED,
    "setup": Status.ENV_ERROR,
    "reply": Status.ENV_ERROR,
    "refused": Status.MODEL_ERROR,
    "overloaded": Status.MODEL_ERROR,
    "broken": Status.MODEL_ERROR,
    "defect": Status.MODEL_ERROR,
    "agent": Status.AGENT_ERROR,
    "verify": Status.VERIFIER_ERROR,
    "nan": Status.VERIFIER_ERROR,
    "unwritable": Status.VERIFIER_ERROR,
}
MODEL_ERRORS: dict[str, Exception] = {
    "context": errors.ContextLengthError("too long"),
    "policy": errors.PolicyError("not allowed"),
    "overloaded": errors.OverloadedError("busy", status=503),
    "broken": errors.BrokenReplyError("no output"),
    "defect": ZeroDivisionError("oops"),
}


class Eventful(PlainSession):
    opened = 0

    async def setup(self) -> None:
        type(self).opened += 1
        for _ in range(self.seed % 3):
            await asyncio.sleep(0)
        if self.task["event"] == "setup":
            raise RuntimeError("setup")

    @tool
    def work(self) -> str:
        """Work."""
        if self.task["event"] == "tool raises":
            raise RuntimeError("tool")
        return "worked"

    def reply(self, response: Any) -> Any:
        if self.task["event"] == "reply":
            raise RuntimeError("reply")
        return super().reply(response)

    def verify(self, trajectory: Trajectory) -> Any:
        from gym_core import Verdict

        event = self.task["event"]
        if event == "verify":
            raise RuntimeError("verify")
        if event == "unwritable":
            return Verdict(1.0, info={"x": object()})
        return float("nan") if event == "nan" else 1.0

    async def close(self) -> None:
        await asyncio.sleep(0)
        type(self).opened -= 1


class EventfulModel(ScriptedModel):
    max_retries = 0

    def __init__(self, events: list[str]) -> None:
        def answer(request: Any, context: Any) -> Any:
            event = events[int(context.key[0][1:])]
            if event == "refused":
                return errors.BadRequestError(f"no {context.key[0]}", status=400)
            if event in MODEL_ERRORS:
                return MODEL_ERRORS[event]
            return call("work") if len(request.input) == 1 else "done"

        super().__init__(answer)


async def loop_or_fail(episode: Episode) -> Stop:
    reason = await LoopAgent().run(episode)
    if "fail" in (episode.request.instructions or ""):
        raise RuntimeError("agent")
    return reason


def tasks(events: list[str]) -> list[Any]:
    return [
        {**ask(number, event=event).row, "responses_create_params": {
            "input": "Work.", "instructions": "fail" if event == "agent" else "work",
        }}
        for number, event in enumerate(events)
    ]  # fmt: skip


# The first task succeeds, so that equal refusals at the start do not end the run.
EVENTS = st.lists(st.sampled_from(sorted(EXPECTED)), max_size=12).map(lambda events: ["fine", *events])


@pytest.mark.slow
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(EVENTS, st.integers(1, 6), st.integers(1, 3))
def test_every_rollout_ends_once_with_the_status_of_what_happened(
    tmp_path_factory: pytest.TempPathFactory, events: list[str], concurrency: int, repeats: int
) -> None:
    output = tmp_path_factory.mktemp("schedule") / "x.jsonl"
    Eventful.opened = 0
    ended = asyncio.run(
        execute(
            config(
                EventfulModel(events), env(Eventful), FunctionAgent(loop_or_fail), tasks=tasks(events),
                repeats=repeats, concurrency=concurrency, output=output,
            )
        )
    )  # fmt: skip
    assert ended.error is None
    written = read_jsonl(output) + read_jsonl(output.with_name("x.failures.jsonl"))
    expected = {
        (f"t{number}", repeat): EXPECTED[event].value
        for number, event in enumerate(events)
        for repeat in range(repeats)
    }
    assert {(row["task_id"], row["rollout"]["repeat"]): row["rollout"]["status"] for row in written} == expected
    assert len(written) == len(expected) == len(ended.rollouts)
    assert ended.summary["statuses"] == Counter(expected.values())
    assert all((row["reward"] is None) is (row["rollout"]["error"] is not None) for row in written)
    rewards = [row["reward"] for row in written if row["reward"] is not None]
    assert ended.summary["reward"]["rollouts"] == len(rewards)
    assert ended.summary["rollouts"]["failed"] == len(expected) - len(rewards)
    assert sum(group["count"] for group in ended.summary["errors"]) == len(expected) - len(rewards)
    assert Eventful.opened == 0


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(1, 6), st.integers(0, 60))
@asynchronous
async def test_a_run_stopped_at_any_moment_ends_every_rollout_it_began(
    events: list[str], concurrency: int, rounds: int
) -> None:
    rollouts: list[Rollout] = []
    Eventful.opened = 0
    wanted = config(
        EventfulModel(events), env(Eventful), FunctionAgent(loop_or_fail), tasks=tasks(events), concurrency=concurrency
    )
    async with open_run(wanted) as run:
        executing = asyncio.create_task(run.execute(rollouts.append))
        for _ in range(rounds):
            await asyncio.sleep(0)
        run.stop("enough")
        summary = await executing
    keys = [rollout.key for rollout in rollouts]
    assert len(keys) == len(set(keys))
    for rollout in rollouts:
        event = events[int(rollout.task_id[1:])]
        assert rollout.status in (EXPECTED[event], Status.CANCELLED)
    assert sum(summary["statuses"].values()) == len(rollouts)
    assert run.progress.in_flight == 0
    assert Eventful.opened == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["fine", "one", "two", "environment"]), max_size=14))
def test_the_first_five_alike_stop_the_run_and_only_they(outcomes: list[str]) -> None:
    class Picky(PlainSession):
        def setup(self) -> None:
            if self.task["outcome"] == "environment":
                raise RuntimeError("out of order")

    def answer(request: Any, context: Any) -> Any:
        outcome = outcomes[int(context.key[0][1:])]
        return "done" if outcome == "fine" else errors.BadRequestError(f"reason {outcome}", status=400)

    given_tasks = [ask(number, outcome=outcome) for number, outcome in enumerate(outcomes)]
    ended = asyncio.run(
        execute(config(ScriptedModel(answer), env(Picky), LoopAgent(), tasks=given_tasks, concurrency=1))
    )
    refusals = [outcome for outcome in outcomes if outcome in ("one", "two")]
    fine = outcomes.index("fine") if "fine" in outcomes else len(outcomes)
    before = [outcome for outcome in outcomes[:fine] if outcome in ("one", "two")]
    if len(before) >= 5 and len(set(before[:5])) == 1:
        assert isinstance(ended.error, errors.RunStopped)
        assert Counter(ended.statuses())["cancelled"] == 5
    elif len(set(before)) <= 1:
        assert ended.error is None
        assert Counter(ended.statuses())["model_error"] == len(refusals)
        assert len(ended.rollouts) == len(outcomes)
    assert len({rollout.key for rollout in ended.rollouts}) == len(ended.rollouts)
