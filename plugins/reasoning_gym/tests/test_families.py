"""Every family: a task is made, its right answer earns everything, and nothing else does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from gym_core import Task, Verdict
from gym_reasoning_gym.families import FAMILIES
from gym_reasoning_gym.package import registry

Judge = Callable[[Task, str], Verdict]


def test_the_list_is_that_of_the_installed_package() -> None:
    assert set(FAMILIES) == set(registry()) - {"composite"}
    assert list(FAMILIES) == sorted(FAMILIES)


@pytest.mark.slow
def test_right_answers_earn_everything_and_policies_without_thought_nearly_nothing(
    make_tasks: Callable[..., list[Task]],
    judge_text: Judge,
    right_answer: Callable[[Task], str],
    without_answers: frozenset[str],
) -> None:
    easy_cars = {"rush_hour": {"max_moves": 6}}
    tasks = make_tasks("all", len(FAMILIES), seed=1, config=easy_cars)
    assert [task["family"] for task in tasks] == list(FAMILIES)
    assert {task["family"] for task in tasks if task["answer"] is None} == without_answers
    rewards: dict[str, list[float]] = defaultdict(list)
    for task in tasks:
        verdict = judge_text(task, f"Let me see.\n<answer>{right_answer(task)}</answer>")
        assert verdict.components == {"score": 1.0, "formatted": 1.0}, (task, verdict)
        question, prompt = task["question"], str(task.input[0]["content"])
        for name, text in {
            "null": "",
            "refuse": "I am sorry, I cannot help with that.",
            "garbage": "<answer>@#! 17 {]</answer>",
            "word": "<answer>something</answer>",
            "zero": "<answer>0</answer>",
            "parrot": prompt,
            "question": f"<answer>{question}</answer>",
        }.items():
            reward = judge_text(task, text).reward
            rewards[name].append(reward)
            # 0 may be the answer, and some scorers give a part for what looks like one
            assert reward < 0.7 or name == "zero", (task, name, reward)
    assert max(rewards["null"]) == 0.0
    for name, earned in rewards.items():
        assert sum(earned) / len(earned) < 0.06, name


@pytest.mark.slow
def test_a_task_is_a_row_with_all_that_its_verifier_needs(make_tasks: Callable[..., list[Task]]) -> None:
    (task,) = make_tasks("spell_backward", 1, seed=7, config={"max_word_len": 4})
    assert list(task) == [
        "task_id",
        "responses_create_params",
        "family",
        "seed",
        "index",
        "config",
        "question",
        "answer",
        "metadata",
    ]
    assert task.task_id == "spell_backward-7-0"
    assert (task["family"], task["seed"], task["index"], task["config"]) == (
        "spell_backward",
        7,
        0,
        {"max_word_len": 4},
    )
    prompt = task.input[0]["content"]
    assert prompt.startswith(task["question"])
    assert "between the tags <answer> and </answer>" in prompt
    assert task["answer"] not in prompt
