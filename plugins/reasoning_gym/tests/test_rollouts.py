"""Whole rollouts: tasks made, answered, and verified where their family's scorer runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_core import Rollout, SessionContext, Status, Task, Verdict
from gym_core.errors import FieldError, SessionError
from gym_reasoning_gym.environment import ExpressionSession, ReasoningGym, ReasoningSession
from gym_reasoning_gym.guards import EXPRESSIONS

FAMILIES = "spell_backward,countdown,arc_1d,simple_integration,prime_factorization"
MakeTasks = Callable[..., list[Task]]
Roll = Callable[..., list[Rollout]]


@pytest.mark.slow
def test_right_answers_earn_everything(
    make_env: Callable[..., ReasoningGym], make_tasks: MakeTasks, roll: Roll
) -> None:
    answers = {task.task_id: task["answer"] for task in make_tasks(FAMILIES, 10)}
    rollouts = roll(make_env(FAMILIES, size=10), lambda task_id: f"<answer>{answers[task_id]}</answer>", repeats=2)
    assert len(rollouts) == 20
    for rollout in rollouts:
        assert rollout.status is Status.COMPLETED, rollout.error
        assert rollout.reward == 1.0
        assert rollout.reward_components == {"score": 1.0, "formatted": 1.0}
        assert rollout.info == {"answer": answers[rollout.task_id]}


@pytest.mark.slow
def test_wrong_ones_do_not_and_an_endless_source_is_cut(make_env: Callable[..., ReasoningGym], roll: Roll) -> None:
    rollouts = roll(make_env(FAMILIES), lambda task_id: "I do not know.", limit=5)
    assert len(rollouts) == 5
    for rollout in rollouts:
        assert rollout.status is Status.COMPLETED, rollout.error
        assert rollout.reward is not None
        assert rollout.reward < 0.1
        assert rollout.reward_components["formatted"] == 0.0


@pytest.mark.slow
def test_a_run_is_resumed_where_it_stopped(make_env: Callable[..., ReasoningGym], roll: Roll, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    roll(make_env("lcm,ransom_note"), lambda task_id: "<answer>1</answer>", limit=3, output=output)
    more = roll(
        make_env("lcm,ransom_note"), lambda task_id: "<answer>1</answer>", limit=6, output=output, mode="resume"
    )
    assert {rollout.task_id for rollout in more} == {"ransom_note-0-1", "lcm-0-2", "ransom_note-0-2"}
    assert len(output.read_bytes().splitlines()) == 6


@pytest.mark.slow
def test_rows_from_a_file_need_no_family(
    make_env: Callable[..., ReasoningGym], make_tasks: MakeTasks, roll: Roll, tmp_path: Path
) -> None:
    tasks = make_tasks("lcm,arc_agi", 2)
    lines = [json.dumps(task.row) for task in tasks]
    # as in published data: what is not needed is not there
    bare = {name: tasks[0][name] for name in ("responses_create_params", "question", "answer", "metadata")}
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join([*lines, json.dumps({"id": "bare", **bare})]), encoding="utf-8")
    answers = {task.task_id: task["answer"] for task in tasks} | {"bare": tasks[0]["answer"]}
    rollouts = roll(make_env(), lambda task_id: f"<answer>{answers[task_id]}</answer>", input=file)
    assert sorted(rollout.task_id for rollout in rollouts) == sorted(answers)
    assert {rollout.reward for rollout in rollouts} == {1.0}


def test_expressions_are_judged_in_a_process_of_their_own(sample: Callable[[str], Task]) -> None:
    async def kind(family: str) -> type:
        async with ReasoningGym().open_session(sample(family), SessionContext()) as session:
            return type(session)

    assert {asyncio.run(kind(family)) for family in EXPRESSIONS} == {ExpressionSession}
    assert asyncio.run(kind("boxnet")) is ReasoningSession


@pytest.mark.parametrize(
    ("family", "answer"),
    [("prime_factorization", "2 and 3"), ("boxnet", "3"), ("boxnet", '{"a": 1}'), ("game_of_life", '{"a": 1}')],
)
def test_an_answer_that_a_scorer_cannot_read_is_wrong(
    sample: Callable[[str], Task], judge_text: Callable[[Task, str], Verdict], family: str, answer: str
) -> None:
    verdict = judge_text(sample(family), f"<answer>{answer}</answer>")
    assert verdict.components == {"score": 0.0, "formatted": 1.0}
    assert str(verdict.info["refused"]).startswith("the answer cannot be read")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "`family` is None"),
        ({"family": "lcmm"}, "`family` is 'lcmm'"),
        ({"family": "lcm"}, "`answer` is missing"),
        ({"family": "lcm", "answer": "1"}, "`metadata` is missing"),
        ({"family": "lcm", "answer": "1", "metadata": ["1"]}, "`metadata` must be an object"),
        ({"family": "lcm", "answer": "1", "metadata": {}, "config": "x"}, "`config` must be an object"),
    ],
)
def test_a_row_that_cannot_be_scored_is_a_failure(
    judge_text: Callable[[Task, str], Verdict], row: dict[str, Any], message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        judge_text(Task.ask("?", **row), "<answer>[1]</answer>")
    with pytest.raises(SessionError, match="the scorer of kakurasu failed: KeyError"):
        judge_text(Task.ask("?", family="kakurasu", answer="x", metadata={}), "<answer>[1]</answer>")
    assert ReasoningSession.judges_trajectory
    assert ExpressionSession.judges_trajectory
