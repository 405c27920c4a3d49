"""Rows as tasks: columns, prompts, shots, several answers, and what is refused before anything is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_core import TaskFile, UsageError
from gym_qa.options import QAOptions

Rows = Callable[..., list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("header", "question", "answer"),
    [
        ("question,answer", "question", "answer"),
        ("Problem,Solution", "Problem", "Solution"),
        ("id,Prompt,ideal,Target", "Prompt", "Target"),
        ("output,input", "input", "output"),
        ("answer,Ground Truth,query", "query", "answer"),
        ("q,a", "q", "a"),
        ("Query,Response", "Query", "Response"),
    ],
)
def test_columns_are_found_by_their_usual_names(
    header: str, question: str, answer: str, read: Callable[..., TaskFile]
) -> None:
    names = header.split(",")
    found = read(f"{header}\n{','.join(names)}\n", match="exact")
    (task,) = found.tasks
    assert not isinstance(task, Exception)
    assert (task["qa"]["question"], task["qa"]["answer"]) == (question, answer)
    assert found.notice == f"read as question={question}, answer={answer} (guessed; -E sets them)"


def test_columns_that_are_missing_are_named_at_once(refused: Callable[..., str]) -> None:
    said = "x.csv: no column looks like the question, none like the answer; there are `x`, `y`"
    assert said in refused("x,y\n1,2\n")
    assert "-E question=COLUMN -E answer=COLUMN" in refused("x,y\n1,2\n")
    assert "none like the answer" not in refused("x,y\n1,2\n", match="judge", rubric="is it kind?")


def test_the_first_of_several_choices_is_no_answer(refused: Callable[..., str]) -> None:
    assert "no column looks like the answer" in refused("q,a,b\n?,x,y\n")


def test_columns_that_are_named_are_not_told(read: Callable[..., TaskFile]) -> None:
    found = read("a,b\n1,2\n", question="a", answer="b", match="number")
    assert found.notice == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"answer": "anwser"}, "there is no column `anwser` for -E answer=; there are `a`, `b`"),
        ({"answer": "b"}, "no column looks like the question; there are `a`, `b`"),
        ({"question": "a", "match": "exact"}, "no column looks like the answer"),
        ({"question": "a", "answer": "b", "match": "choice"}, "no column looks like choices"),
        ({"question": "a", "answer": "b", "prompt": "{{ c }}"}, "names `c`, which is no column; there are `a`, `b`"),
    ],
)
def test_a_column_that_is_not_there_is_said_with_those_that_are(
    options: dict[str, str], said: str, refused: Callable[..., str]
) -> None:
    assert said in refused("a,b\n1,2\n", **options)


@pytest.mark.parametrize(
    ("answers", "match"),
    [
        (["1", "$2,000", "-3.5"], "number"),
        (["so #### 7", "thus\n#### 8"], "number"),
        (["yes", "no"], "exact"),
        (["1", "none"], "exact"),
        (["12 March", "13 May"], "exact"),
        (['{"a": 1}'], "json"),
        ([r"$\frac{1}{2}$", r"\sqrt{2}"], "math"),
    ],
)
def test_the_grader_is_what_fits_the_answers(answers: list[str], match: str, rows: Rows) -> None:
    import json

    if match == "math":
        pytest.importorskip("math_verify")
    content = "".join(json.dumps({"question": "?", "answer": answer}) + "\n" for answer in answers)
    assert {row["qa"]["match"] for row in rows(content, "x.jsonl")} == {match}


@pytest.mark.parametrize(
    ("odd", "way"),
    [
        ("2 apples", "-E match=number reads the number in it, -E match=exact compares texts"),
        ("two", "-E match=number needs a number there, -E match=exact compares texts"),
        (r"\sqrt{2}", "-E match=exact compares texts, math compares formulas"),
    ],
)
def test_an_answer_that_is_no_number_among_numbers_is_refused(odd: str, way: str, refused: Callable[..., str]) -> None:
    said = refused("question,answer\n" + f"?,{odd}\n" + "?,7\n" * 19)
    assert f"x.csv:2: the answer `{odd}` is no number, the other 19 are" in said
    assert way in said
    assert f"x.csv:2: the answer `{odd}` is no number, 3 of 5 are" in refused(
        "question,answer\n" + f"?,{odd}\n" * 2 + "?,7\n" * 3
    )


@pytest.mark.parametrize("odd", ["12 March", "two"])
def test_a_guess_holds_for_the_rows_that_were_not_looked_at(odd: str, refused: Callable[..., str]) -> None:
    content = "question,answer\n" + "?,7\n" * 60 + f"?,{odd}\n"
    assert "x.csv:62: the answer" in refused(content)
    if odd != "two":
        with pytest.raises(StopIteration):  # it says so itself
            refused(content, match="number")


def test_long_texts_are_not_compared_by_guess(refused: Callable[..., str]) -> None:
    assert "-E match=judge" in refused(f"question,answer\n?,{'word ' * 50}\n")


def test_rows_keep_their_fields(rows: Rows) -> None:
    content = '{"question": "?", "response": "yes", "level": {"a": [1]}, "qa": 3}\n'
    (row,) = rows(content, "x.jsonl", answer="response", match="exact")
    assert row["level"] == {"a": [1]}
    assert (row["column_response"], row["column_qa"]) == ("yes", 3)
    assert row["qa"]["answer"] == "column_response"


def test_rows_that_are_tasks_already_are_left_to_gym(tmp_path: Path) -> None:
    from gym_qa.environment import QA

    path = tmp_path / "x.jsonl"
    path.write_text('{"responses_create_params": {"input": "?"}, "answer": "4"}\n')
    assert QA().read_tasks(str(path)) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("question,answer\n,2\n", "x.csv:2: the question, column `question`, is empty"),
        ("question,answer\n?,\n", "x.csv:2: the answer, column `answer`, is empty"),
        ("question,answer\n?,2\n?,two\n", "x.csv:3: the answer, column `answer`, holds no number: 'two'"),
    ],
)
def test_rows_that_cannot_be_graded(content: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused(content, match="number")


def test_a_field_that_one_row_lacks(refused: Callable[..., str]) -> None:
    content = '{"question": "?", "answer": 1, "hint": "h"}\n{"question": "?", "answer": 1}\n'
    assert "x.jsonl:2: the template of the prompt: 'hint' is undefined" in refused(
        content, "x.jsonl", prompt="{{ question }} {{ hint }}"
    )


def test_a_template_from_a_file_or_a_text(rows: Rows, tmp_path: Path) -> None:
    file = tmp_path / "prompt.j2"
    file.write_text("Q: {{ question }}{% for c in choices %} {{ c.letter }}={{ c.text }}{% endfor %}")
    content = "question,A,B,answer\n?,x,y,B\n"
    for prompt in (str(file), file.read_text()):
        (row,) = rows(content, prompt=prompt, system="Be brief.")
        assert row["responses_create_params"]["input"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Q: ? A=x B=y"},
        ]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{{ question", "line 1"),
        ("No field", "names no field"),
        ("missing.j2", "the file cannot be read"),
    ],
)
def test_templates_that_are_none(prompt: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        QAOptions.model_validate({"prompt": prompt})


def test_a_template_reaches_nothing_but_the_row(refused: Callable[..., str]) -> None:
    prompt = "{{ question.__class__.__mro__ }}"
    assert "x.csv:2: the template of the prompt" in refused("question,answer\n?,1\n", prompt=prompt)


def test_shots_come_before_the_question_and_never_give_it_away(rows: Rows, tmp_path: Path) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("question,answer\n1 + 1?,It is two. #### 2\n2 + 2?,4\n3 + 3?,6\n")
    asked, also = rows("question,answer\n5 + 5?,10\n2 + 2?,4\n", shots=str(shots), n_shots=2)
    items = asked["responses_create_params"]["input"]
    assert [item["role"] for item in items] == ["user", "assistant"] * 2 + ["user"]
    assert [item["content"] for item in items[1::2]] == ["It is two.\nAnswer: 2", "Answer: 4"]
    assert "5 + 5?" in items[-1]["content"]
    assert len(also["responses_create_params"]["input"]) == 3


def test_shots_of_choices(rows: Rows, tmp_path: Path) -> None:
    shots = tmp_path / "shots.csv"
    shots.write_text("question,A,B,answer\nfirst?,x,y,B\n")
    (row,) = rows("question,A,B,answer\n?,x,y,A\n", shots=str(shots))
    assert row["responses_create_params"]["input"][1] == {"role": "assistant", "content": "Answer: B"}


def test_shots_that_cannot_be_read(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "there is no such file" in refused("question,answer\n?,1\n", shots=str(tmp_path / "none.csv"))


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"`nubmer`; did you mean `number`\? There are exact, "):
        QAOptions.model_validate({"match": "nubmer"})
    with pytest.raises(ValueError, match=r"there is no grader `like nothing`\. There are exact, "):
        QAOptions.model_validate({"match": "like nothing"})
    with pytest.raises(ValueError, match="`shuffle` is for choices"):
        QAOptions.model_validate({"match": "exact", "shuffle": True})


def test_an_environment_without_a_file_says_how_to_give_one() -> None:
    from gym_qa.environment import QA

    with pytest.raises(UsageError, match="--input FILE"):
        list(QA().tasks())
