"""The ready benchmarks, on rows of our own in the shape of theirs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from gym_core import ComponentContext, Task
from gym_qa.benchmarks import NAMES, read_benchmark
from gym_qa.environment import QA
from gym_qa.grading import grader_of
from gym_qa.options import QAOptions
from gym_qa.rows import expected_of

ROWS: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [
        {
            "question": "Ann has 12 pens and buys 1,000 more. How many has she?",
            "answer": "She has 12 + 1000 = <<12+1000=1012>>1012 pens.\n#### 1,012",
        }
    ],
    "mmlu": [{"question": "Which is a prime?", "subject": "math", "choices": ["1", "4", "7", "9"], "answer": 2}],
    "ifeval": [
        {
            "key": 1000,
            "prompt": "Name a fruit in lower case, without commas.",
            "instruction_id_list": ["change_case:english_lowercase", "punctuation:no_comma"],
            "kwargs": [{"num_words": None}, {"num_words": None}],
        },
        {
            "key": 1001,
            "prompt": "Name a fruit in German.",
            "instruction_id_list": ["language:response_language"],
            "kwargs": [{"language": "de"}],
        },
    ],
}
REPLIES = {
    "gsm8k": ("12 + 1000 = 1012\n\nAnswer: $1,012", "Answer: 12"),
    "mmlu": ("Answer: C", "Answer: A"),
    "ifeval": ("an apple", "An apple"),
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def library(name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `datasets` is asked for."""
    asked: list[Any] = []

    class Library:
        @staticmethod
        def load_dataset(*arguments: Any, **settings: Any) -> Iterable[dict[str, Any]]:
            asked.append((arguments, settings["split"]))
            return ROWS[name]

    monkeypatch.setitem(sys.modules, "datasets", Library())
    return asked


def tasks_of(name: str) -> tuple[QAOptions, list[Task]]:
    options = QAOptions.model_validate({"benchmark": name})
    return options, list(QA(options, ComponentContext()).tasks())


def test_rows_in_its_shape_are_asked_and_graded(name: str, library: list[Any]) -> None:
    options, (task,) = tasks_of(name)
    grader = grader_of(options.match)
    right, wrong = REPLIES[name]
    expected = expected_of(task, task["qa"], options)
    assert grader.grade(right, expected).score == 1
    assert grader.grade(wrong, expected).score == 0
    assert library[0][1] in read_benchmark(name)["data"]


def test_what_cannot_be_checked_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Library:
        @staticmethod
        def load_dataset(*arguments: Any, **settings: Any) -> Iterable[dict[str, Any]]:
            return ROWS["ifeval"]

    monkeypatch.setitem(sys.modules, "datasets", Library())
    tasks_of("ifeval")
    assert "left out: hf://google/IFEval?split=train, row 2: " in caplog.text
    assert "language:response_language" in caplog.text


def test_options_go_over_those_of_a_benchmark() -> None:
    options = QAOptions.model_validate({"benchmark": "gsm8k", "data": "mine.csv", "tolerance": 0.1})
    assert (options.data, options.match, options.tolerance) == ("mine.csv", "number", 0.1)


def test_a_benchmark_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="did you mean `gsm8k`"):
        QAOptions.model_validate({"benchmark": "gsm8"})


def test_the_files_are_options(name: str, read: Callable[..., Any]) -> None:
    QAOptions.model_validate(read_benchmark(name))
    assert set(QA.choices()) == set(NAMES)
