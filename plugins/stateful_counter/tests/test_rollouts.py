"""Whole rollouts: who earns what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gym_core import Request, Rollout, Status, Task
from gym_stateful_counter.environment import STEP_LIMIT, StatefulCounter
from gym_stateful_counter.plan import shortest_plan
from gym_stateful_counter.tasks import LEVELS

TASKS = {task.task_id: task for task in StatefulCounter().tasks()}
Play = Callable[..., dict[tuple[str, int], Rollout]]
Calls = list[tuple[str, dict[str, Any]]]


def winning_calls(task_id: str) -> Calls:
    """Reads of what has to be known, then the shortest way to the goal."""
    task = TASKS[task_id]
    steps: Calls = [(step.tool, dict(step.arguments)) for step in shortest_plan(task["start"], task["goal"])]
    reads: Calls = [("read", {"counter": name}) for name in task["hidden"]]
    return reads[: task["par"] - len(steps)] + steps


def test_the_shortest_way_earns_everything_on_every_task(play: Play) -> None:
    def win(request: Request, task_id: str, turn: int) -> Calls:
        return [*winning_calls(task_id), ("submit", {})][turn : turn + 1]

    rollouts = play(win)
    assert len(rollouts) == len(TASKS)
    for rollout in rollouts.values():
        assert rollout.reward == 1.0, rollout
        assert rollout.status is Status.COMPLETED
        assert rollout.stop_reason == "session_done"
        assert rollout.info["steps"] == TASKS[rollout.task_id]["par"]


def test_a_plain_answer_ends_it_and_one_response_may_hold_all_calls(play: Play) -> None:
    rollouts = play(lambda request, task_id, turn: winning_calls(task_id) if turn == 0 else "Done.")
    assert {rollout.reward for rollout in rollouts.values()} == {1.0}


def test_needless_steps_cost(play: Play) -> None:
    def dawdle(request: Request, task_id: str, turn: int) -> Calls:
        name = next(iter(TASKS[task_id]["start"]))
        there_and_back = [("increment", {"counter": name, "by": 1}), ("decrement", {"counter": name, "by": 1})]
        return [*there_and_back, *winning_calls(task_id), ("submit", {})]

    for rollout in play(dawdle).values():
        par = TASKS[rollout.task_id]["par"]
        assert rollout.reward_components == {"reached": 1.0, "efficiency": par / (par + 2), "progress": 1.0}
        assert rollout.reward == pytest.approx((1 + par / (par + 2)) / 2)


def test_one_step_too_few_earns_nothing(play: Play) -> None:
    rollouts = play(lambda request, task_id, turn: [*winning_calls(task_id)[:-1], ("submit", {})])
    assert {rollout.reward for rollout in rollouts.values()} == {0.0}


def every_tool(request: Request, task_id: str, turn: int) -> Sequence[tuple[str, dict[str, Any]]]:
    first, second = list(TASKS[task_id]["start"])[:2]
    given = {"counter": first, "first": first, "second": second, "by": 1}
    return [(tool["name"], {name: given[name] for name in tool["parameters"]["properties"]}) for tool in request.tools]


def parrot(request: Request, task_id: str, turn: int) -> str:
    return "\n".join(str(item["content"]) for item in request.input)


@pytest.mark.parametrize(
    "policy",
    [
        lambda request, task_id, turn: "",
        lambda request, task_id, turn: "I am sorry, I cannot do that.",
        lambda request, task_id, turn: "@#! 17 {]",
        lambda request, task_id, turn: [("submit", {})],
        parrot,
        every_tool,
    ],
    ids=["null", "refuse", "garbage", "submit", "parrot", "every_tool"],
)
def test_who_does_not_work_on_the_goal_earns_nothing(play: Play, policy: Any) -> None:
    assert {rollout.reward for rollout in play(policy).values()} == {0.0}


def test_the_limit_ends_the_session_after_carrying_out_the_last_step(play: Play) -> None:
    def wander(request: Request, task_id: str, turn: int) -> Calls:
        return [("reset", {"counter": "red"}), ("read", {"counter": "pink"})]

    for rollout in play(wander).values():
        assert rollout.stop_reason == STEP_LIMIT
        assert rollout.info["steps"] == TASKS[rollout.task_id]["limit"]
        assert rollout.info["values"]["red"] == 0
        outputs = [item["output"] for item in rollout.response.output if item["type"] == "function_call_output"]
        assert outputs[-1].endswith("That was the last step.")
        assert "there is no counter 'pink'; there are red" in outputs[1]


def test_the_last_step_counts_when_it_reaches_the_goal(play: Play) -> None:
    task = TASKS["set_one-1"]
    waste = [("read", {"counter": "red"})] * (task["limit"] - task["par"])
    rollout = play(lambda request, task_id, turn: [*waste, *winning_calls(task_id)], [task])[task.task_id, 0]
    assert rollout.stop_reason == STEP_LIMIT
    assert rollout.reward_components["reached"] == 1.0


def test_the_opening_observation_keeps_what_is_hidden(play: Play) -> None:
    seen: dict[str, str] = {}

    def look(request: Request, task_id: str, turn: int) -> str:
        seen[task_id] = request.input[-1]["content"]
        return "Done."

    play(look)
    for task_id, text in seen.items():
        task = TASKS[task_id]
        for name, value in task["start"].items():
            assert (f"{name}: unknown" if name in task["hidden"] else f"{name}: {value}") in text.splitlines()
        assert f"Steps you may take: {task['limit']}" in text


def test_sessions_share_nothing(play: Play) -> None:
    def win(request: Request, task_id: str, turn: int) -> Calls:
        return [*winning_calls(task_id), ("submit", {})][turn : turn + 1]

    rollouts = play(win, [TASKS["sort-5"]], repeats=8, concurrency=8)
    assert len(rollouts) == 8
    assert {rollout.reward for rollout in rollouts.values()} == {1.0}


def test_there_are_enough_tasks_and_each_needs_work() -> None:
    assert len(TASKS) == 8 * LEVELS
    assert len({str(task.input) + str(task["start"]) for task in TASKS.values()}) == len(TASKS)
    for task in TASKS.values():
        assert task["goal"] != task["start"], task
        assert task["par"] < task["limit"]
        assert set(task["hidden"]) <= set(task["start"]) == set(task["goal"])
    assert {task.task_id.rpartition("-")[2] for task in TASKS.values()} == {str(level + 1) for level in range(LEVELS)}
    assert max(task["par"] for task in TASKS.values()) >= 8


FIELDS: dict[str, Any] = {"start": {"a": 1, "b": 2}, "goal": {"a": 2, "b": 2}, "hidden": [], "limit": 5, "par": 1}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start": {}}, "start"),
        ({"start": {"a": 1, "b": "2"}}, "start.b"),
        ({"start": {"a": 1, "b": 200}}, "start.b"),
        ({"goal": {"a": 1}}, "goal"),
        ({"goal": {"a": 1, "b": 2, "c": 3}}, "goal"),
        ({"hidden": "a"}, "hidden"),
        ({"limit": 0}, "limit"),
        ({"limit": 2.5}, "limit"),
        ({"par": True}, "par"),
        ({"par": None}, "par"),
        *(({name: ...}, name) for name in FIELDS),
    ],
)
def test_a_row_that_does_not_fit_is_the_rows_fault(play: Play, fields: dict[str, Any], field: str) -> None:
    given = {name: value for name, value in {**FIELDS, **fields}.items() if value is not ...}
    (rollout,) = play(lambda request, task_id, turn: "done", [Task.ask("Count.", **given)]).values()
    assert rollout.error is not None
    assert rollout.error["field"] == field
    assert rollout.error["message"].startswith(f"`{field}` ")


def test_a_goal_that_is_reached_from_the_start_is_one(play: Play) -> None:
    (rollout,) = play(lambda request, task_id, turn: "done", [Task.ask("Count.", **FIELDS, task_id="x")]).values()
    assert rollout.reward == 0.0
    row = {**FIELDS, "goal": FIELDS["start"]}
    (rollout,) = play(lambda request, task_id, turn: "done", [Task.ask("Count.", **row)]).values()
    assert rollout.reward == 1.0
