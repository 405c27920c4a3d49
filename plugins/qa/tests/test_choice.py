"""`choice` against replies as models write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gym_core import TaskFile
from gym_qa.graders.choice import named_choice

CITIES = ("Rome", "Paris", "London", "Oslo")


@pytest.mark.parametrize(
    "reply",
    [
        *("B", "b", "(B)", "B.", "B)", "**B**", "`B`", "$B$", "Option B", "The answer is B", "The answer is (B)."),
        *("Answer: B", "answer: **B**", "**Answer:** B", "Answer: (B) Paris", "B) Paris", "B. Paris", "Paris"),
        "paris.",
        *(r"\boxed{B}", r"\boxed{\text{B}}", "<answer>B</answer>", "Rome is in Italy.\n\nAnswer: B", "Not A.\nB"),
        *("The correct answer is B. It is the capital.", "B: it is the capital", "Answer: B because it is the capital"),
        *("Answer: A\nWait, no.\nAnswer: B", "<think>A? No, C.</think>B", "The answer is: Paris", "B - Paris"),
    ],
)  # fmt: skip
def test_right(reply: str, score: Callable[..., float]) -> None:
    assert score("choice", reply, choices=CITIES, letter="B") == 1


@pytest.mark.parametrize(
    "reply",
    [
        *("", "A", "E", "A or B", "Answer: A or B", "A, B, C, D", "ABCD", "Answer: B or C", "B) or C)", "B and C"),
        *("Answer: not B", "B. Rome", "I think so.", "Banana", "Answer: A dog", "Paris or Rome", "A) Rome B) Paris"),
        *("Answer: B) Paris or C) London", "Answer: neither", "Answer: B\nAnswer: C"),
    ],
)
def test_wrong(reply: str, score: Callable[..., float]) -> None:
    assert score("choice", reply, choices=CITIES, letter="B") == 0


def test_a_choice_that_is_a_letter_is_named_by_its_text_first() -> None:
    assert named_choice("A", ("B", "A")) == "B"
    assert named_choice("A dog", ("A cat", "A dog")) == "B"


QUESTION = "question,A,B,C,D,answer\n"


@pytest.mark.parametrize("answer", ["B", "b", "Paris"])
def test_the_right_choice_may_be_named_by_letter_or_text(answer: str, read: Callable[..., TaskFile]) -> None:
    (task,) = read(f"{QUESTION}Capital?,{','.join(CITIES)},{answer}\n").tasks
    assert not isinstance(task, Exception)
    assert task["qa"] == {
        "match": "choice",
        "question": "question",
        "answer": "answer",
        "choices": list(CITIES),
        "letter": "B",
    }
    assert "B. Paris" in task.input[0]["content"]


def test_an_index_counts_from_0_or_from_1(
    rows: Callable[..., list[dict[str, object]]], refused: Callable[..., str]
) -> None:
    lines = [f'{{"question": "{n}?", "choices": ["w", "x", "y", "z"], "answer": {n}}}\n' for n in (0, 1, 2, 3)]
    letters = [row["qa"]["letter"] for row in rows("".join(lines), "x.jsonl")]  # type: ignore[index]
    assert letters == ["A", "B", "C", "D"]
    last = '{"question": "4?", "choices": ["w", "x", "y", "z"], "answer": 4}\n'
    letters = [row["qa"]["letter"] for row in rows(lines[1] + last, "x.jsonl")]  # type: ignore[index]
    assert letters == ["A", "D"]
    assert "-E first=0 or -E first=1" in refused(lines[1], "x.jsonl")
    (row,) = rows(lines[1], "x.jsonl", first=0)
    assert row["qa"]["letter"] == "B"  # type: ignore[index]


@pytest.mark.parametrize(
    "choices",
    [
        '["w", "x"]',
        '"w|x"',
        "\"['w', 'x']\"",
        '"[\\"w\\", \\"x\\"]"',
        '{"text": ["w", "x"], "label": ["1", "2"]}',
        '{"A": "w", "B": "x"}',
    ],
)
def test_choices_in_one_column(choices: str, rows: Callable[..., list[dict[str, object]]]) -> None:
    (row,) = rows(f'{{"question": "?", "choices": {choices}, "answer": "x"}}\n', "x.jsonl")
    assert row["qa"]["choices"] == ["w", "x"]  # type: ignore[index]
    assert row["qa"]["letter"] == "B"  # type: ignore[index]


def test_labels_name_choices(rows: Callable[..., list[dict[str, object]]]) -> None:
    line = '{"question": "?", "choices": {"text": ["w", "x"], "label": ["1", "2"]}, "answerKey": "2"}\n'
    (row,) = rows(line, "x.jsonl")
    assert row["qa"]["letter"] == "B"  # type: ignore[index]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Capital?,Rome,Paris,London,Oslo,E", "is none of its 4 choices: 'E'"),
        ("Capital?,Rome,Paris,London,Oslo,", "is empty"),
        ("Capital?,Rome,Rome,London,Oslo,Rome", "is none of its 4 choices: 'Rome'"),
        ("Capital?,Rome,,London,Oslo,A", "are not from 2 to 26 texts"),
    ],
)
def test_rows_that_cannot_be_graded(line: str, said: str, refused: Callable[..., str]) -> None:
    found = refused(f"{QUESTION}{line}\n")
    assert "x.csv:2: " in found
    assert said in found


def test_the_order_is_shuffled_by_the_seed(rows: Callable[..., list[dict[str, object]]]) -> None:
    content = QUESTION + "".join(f"Capital {n}?,{','.join(CITIES)},Paris\n" for n in range(40))

    def orders(**options: object) -> list[tuple[list[str], str]]:
        found = rows(content, match="choice", **options)
        return [(row["qa"]["choices"], row["qa"]["letter"]) for row in found]  # type: ignore[index]

    shuffled = orders(shuffle=True)
    assert all(choices["ABCD".index(letter)] == "Paris" for choices, letter in shuffled)
    assert {letter for _, letter in shuffled} == set("ABCD")
    assert shuffled == orders(shuffle=True)
    assert shuffled != orders(shuffle=True, run_seed=1)
    assert orders(shuffle=True, seed=1) == orders(shuffle=True, seed=1, run_seed=2)
