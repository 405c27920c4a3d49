"""Rows of a file as tasks, with columns found, choices lettered and prompts made; and what a task says is right."""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from jinja2 import Template

from gym_core import JsonError, Task, TaskFile, UsageError, parse_json
from gym_core.errors import FieldError, InputError
from gym_core.spi import REQUEST_FIELD, RESULT_FIELDS
from gym_qa.answers import after_hashes
from gym_qa.columns import Columns, find_columns, listed, none_looks_like
from gym_qa.graders.choice import LETTERS
from gym_qa.graders.grade import Expected
from gym_qa.grading import grader_of
from gym_qa.guess import first_index, guess_match, is_number, odd_answer
from gym_qa.prompt import ALONE, PROMPTS, Choice, check_fields, compile_template, render
from gym_qa.reading.row import Found, Row
from gym_qa.reading.table import open_table

if TYPE_CHECKING:
    from gym_qa.options import QAOptions

ABOUT = "qa"
"""The field of a task that says how it was read."""
LOOKED_AT = 50
"""So many rows are looked at for what a file holds."""
RESERVED = frozenset({REQUEST_FIELD, *RESULT_FIELDS, ABOUT})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is read.

    `first`: what the first choice is called where answers are numbers of choices. `guessed`: whether `match` is.
    """

    columns: Columns
    match: str
    first: int
    template: Template
    shots: Sequence[Mapping[str, str]] = field(default=())
    guessed: bool = False


def read_file(source: str, options: QAOptions, seed: int) -> TaskFile | None:
    """The questions of a file as tasks; None for rows that are tasks already, which gym reads itself.

    Raises `errors.InputError` and `UsageError`.
    """
    format, rows = open_table(source)
    beginning = list(islice(rows, LOOKED_AT))
    sample = [found for found in beginning if isinstance(found, Row)]
    if format == "jsonl" and (not sample or REQUEST_FIELD in sample[0].values):
        return None
    if not sample:
        broken = next((found for found in beginning if isinstance(found, InputError)), None)
        raise broken or InputError(f"{source}: there is no row in it")
    plan = _plan(source, sample, options)
    if options.shots:
        plan = _with_shots(plan, options)
    return TaskFile(_tasks(chain(beginning, rows), plan, options, seed), _notice(plan, options))


def _plan(source: str, sample: Sequence[Row], options: QAOptions) -> Plan:
    names = list(dict.fromkeys(name for row in sample for name in row.values))
    columns = find_columns(
        source,
        names,
        question=options.question,
        answer=options.answer,
        choices=options.choices,
        tests=options.tests,
        needs_answer=not options.match or grader_of(options.match).needs_answer,
    )
    match = options.match or guess_match(source, sample, columns)
    if grader_of(match).needs_answer and not columns.answer:
        raise none_looks_like(source, names, "answer")
    if match == "choice" and not columns.choices:
        raise UsageError(
            f"{source}: no column looks like choices; there are {listed(names)}",
            hint="name them: -E choices=COLUMN, or one for each: -E choices=A,B,C,D",
        )
    first = 0
    if match == "choice":
        counted = [(row.values.get(columns.answer), choices_of(row.values, columns.choices)) for row in sample]
        first = first_index(source, counted, options.first)
    text = options.prompt or PROMPTS.get(match, ALONE)
    check_fields(text, names)
    return Plan(columns, match, first, compile_template(text), guessed=not options.match)


def _notice(plan: Plan, options: QAOptions) -> str:
    guessed = [f"{what}={name}" for what, name in plan.columns.guessed.items() if _matters(what, plan)]
    if not options.match:
        guessed.append(f"match={plan.match}")
    return f"read as {', '.join(guessed)} (guessed; -E sets them)" if guessed else ""


def _matters(what: str, plan: Plan) -> bool:
    return what in ("question", "answer") or (what, plan.match) in (("choices", "choice"), ("tests", "code"))


def _tasks(rows: Iterator[Found], plan: Plan, options: QAOptions, seed: int) -> Iterator[Task | InputError]:
    for found in rows:
        if isinstance(found, InputError):
            yield found
            continue
        try:
            yield _task(found.values, plan, options, seed)
        except (ValueError, FieldError) as error:
            yield InputError(f"{found.place}: {error}")


def _task(values: dict[str, Any], plan: Plan, options: QAOptions, seed: int) -> Task:
    """One row as a task. Raises `ValueError` for one that cannot be asked or graded."""
    columns = plan.columns
    question = _question(values, columns.question)
    about: dict[str, Any] = {"match": plan.match, "question": kept_name(columns.question)}
    if columns.answer:
        about["answer"] = kept_name(columns.answer)
    if columns.tests and plan.match == "code":
        about["tests"] = kept_name(columns.tests)
    offered: list[Choice] = []
    if plan.match == "choice":
        texts = choices_of(values, columns.choices)
        letter = _letter(values, plan, texts)
        if options.shuffle:
            order = list(range(len(texts)))
            random.Random(f"{seed if options.seed is None else options.seed}\n{question}").shuffle(order)
            texts = [texts[place] for place in order]
            letter = LETTERS[order.index(LETTERS.index(letter))]
        about |= {"choices": texts, "letter": letter}
        offered = [Choice(*pair) for pair in zip(LETTERS, texts, strict=False)]
    fields = {kept_name(name): value for name, value in values.items()}
    row = {**fields, ABOUT: about}
    check_expected(row, about, options)
    if plan.guessed and plan.match == "number":
        _check_guess(values[columns.answer])
    prompt = render(plan.template, values, question, offered)
    items: list[dict[str, str]] = []
    if options.system:
        items.append({"role": "system", "content": options.system})
    for shot in plan.shots:
        if shot["question"] != question:  # its answer would be shown
            items += [{"role": "user", "content": shot["user"]}, {"role": "assistant", "content": shot["assistant"]}]
    items.append({"role": "user", "content": prompt})
    return Task({REQUEST_FIELD: {"input": items}, **row})


def _check_guess(answer: Any) -> None:
    """Raise `ValueError` for an answer, beyond those that were looked at, that a guess would read as another."""
    if not is_number(text := str(answer).strip()):
        raise ValueError("; ".join(odd_answer(text, "the first ones are")))


def _question(values: Mapping[str, Any], column: str) -> str:
    question = values.get(column)
    if question is None or (isinstance(question, str) and not question.strip()):
        raise ValueError(f"the question, column `{column}`, is empty" if column in values else _missing(column, values))
    return question if isinstance(question, str) else json.dumps(question, ensure_ascii=False)


def _missing(column: str, values: Mapping[str, Any]) -> str:
    return f"it has no `{column}`, only {listed(values)}"


def _with_shots(plan: Plan, options: QAOptions) -> Plan:
    """The plan with the first rows of another file as questions that were answered already."""
    source = options.shots
    found = list(islice(open_table(source).rows, options.n_shots))
    shots = []
    for row in found:
        if isinstance(row, InputError):
            raise row
        shots_plan = Plan(
            find_columns(
                source,
                list(row.values),
                question=options.question,
                answer=options.answer,
                choices=options.choices,
            ),
            plan.match,
            plan.first,
            plan.template,
        )
        try:
            task = _task(row.values, shots_plan, options.model_copy(update={"system": ""}), 0)
        except ValueError as error:
            raise InputError(f"{row.place}: {error}") from None
        asked = task.row[REQUEST_FIELD]["input"][-1]["content"]
        question = _question(row.values, shots_plan.columns.question)
        shots.append({"question": question, "user": asked, "assistant": _shown_answer(task.row, plan.match, options)})
    return replace(plan, shots=shots)


def _shown_answer(row: Mapping[str, Any], match: str, options: QAOptions) -> str:
    about = row[ABOUT]
    if match == "choice":
        return f"Answer: {about['letter']}"
    expected = expected_of(row, about, options)
    text = expected.texts[0] if expected.texts else ""
    if match == "number":
        solution, _, answer = text.rpartition("####")
        return f"{solution.rstrip()}\nAnswer: {answer.strip()}".lstrip()
    if match == "math":
        return text if "\\boxed" in text else f"\\boxed{{{text}}}"
    return f"Answer: {text}" if match == "exact" else text


# What is expected


def kept_name(column: str) -> str:
    """What a column is called in a row: gym writes some names itself."""
    return f"column_{column}" if column in RESERVED else column


def expected_of(row: Mapping[str, Any], about: Mapping[str, Any], options: QAOptions) -> Expected:
    """What a row says is right. Raises `ValueError`."""
    column = kept_name(options.answer) if options.answer else about.get("answer", "answer")
    match = options.match or about["match"]
    value = row.get(column)
    answers = (value,) if match == "json" and value not in (None, "") else answers_of(value, options.separator)
    if match != "json":
        answers = tuple(after_hashes(one) if isinstance(one, str) and match != "number" else one for one in answers)
    return Expected(
        answers=answers,
        row=row,
        choices=tuple(about.get("choices", ())),
        letter=about.get("letter", ""),
        case=options.case,
        tolerance=options.tolerance,
        schema=options.json_schema if options.json_schema is not None else row.get("json_schema"),
        fields=tuple(options.fields),
        question=str(row.get(about.get("question", "question"), "")),
        tests=row.get(about.get("tests", "tests")),
        timeout=options.timeout,
        memory=options.memory_mb << 20,
        rubric=options.rubric or str(row.get("rubric") or ""),
    )


def check_expected(row: Mapping[str, Any], about: Mapping[str, Any], options: QAOptions) -> None:
    """Raise `ValueError` for a row whose answer cannot be used."""
    grader = grader_of(options.match or about["match"])
    expected = expected_of(row, about, options)
    column = about.get("answer", "answer")
    if grader.needs_answer and not expected.answers:
        raise ValueError(f"the answer, column `{column}`, is empty" if column in row else _missing(column, row))
    try:
        grader.check(expected)
    except ValueError as error:
        subject = f"the answer, column `{column}`," if column in row else "it"
        raise ValueError(f"{subject} {error}") from None


def answers_of(value: Any, separator: str = "") -> tuple[Any, ...]:
    """The answers that a column holds: one, a list of them, or a text that is written as such a list."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # as SQuAD has it
        value = value["text"]
    if isinstance(value, str):
        listed_ = listed_texts(value) if value.lstrip().startswith("[") else None
        value = listed_ if listed_ is not None else value.split(separator) if separator else [value]
    several = value if isinstance(value, list) else [value]
    return tuple(one for one in several if one is not None and not (isinstance(one, str) and not one.strip()))


def listed_texts(text: str) -> list[Any] | None:
    """A list of plain values that is written as JSON, or as Python writes one into a CSV file."""
    try:
        value = parse_json(text)
    except JsonError:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    plain = isinstance(value, list) and all(isinstance(one, str | int | float | bool) for one in value)
    return value if plain else None


def choices_of(values: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """The choices of a row, from their columns or from one that holds them all."""
    if len(columns) > 1:
        several = [values.get(column) for column in columns]
        while several and several[-1] in (None, ""):
            several.pop()
    else:
        value = values.get(columns[0]) if columns else None
        if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # as ARC has it
            value = value["text"]
        if isinstance(value, Mapping):
            value = list(value.values())
        if isinstance(value, str):
            value = listed_texts(value) or _split(value)
        several = value if isinstance(value, list) else []
    return ["" if one is None else one if isinstance(one, str) else json.dumps(one) for one in several]


def _split(text: str) -> list[str]:
    mark = next((mark for mark in ("\n", "|", ";", ",") if mark in text), "\n")
    return [part.strip() for part in text.split(mark)]


def _letter(values: Mapping[str, Any], plan: Plan, texts: Sequence[str]) -> str:
    """The letter of the right choice. Raises `ValueError`."""
    column, names = plan.columns.answer, plan.columns.choices
    answer = values.get(column)
    if answer is None or answer == "":
        raise ValueError(f"the answer, column `{column}`, is empty")
    if not 2 <= len(texts) <= len(LETTERS) or "" in texts:
        raise ValueError(f"its choices, `{', '.join(names)}`, are not from 2 to {len(LETTERS)} texts")

    offered = LETTERS[: len(texts)]
    labels = _labels(values, names)
    said = str(answer).strip()
    if isinstance(answer, str):
        if texts.count(said) == 1:
            return offered[texts.index(said)]
        if said in labels:
            return offered[labels.index(said)]
        if len(said) == 1 and said.upper() in offered:
            return said.upper()
    number = int(said) - plan.first if said.lstrip("-").isdecimal() and not isinstance(answer, bool) else -1
    if 0 <= number < len(texts):
        return offered[number]
    raise ValueError(f"the answer, column `{column}`, is none of its {len(texts)} choices: {said!r:.40}")


def _labels(values: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    if len(names) > 1:
        return list(names)
    value = values.get(names[0]) if names else None
    if isinstance(value, Mapping):
        labels = value.get("label", value.get("labels"))
        return [str(one) for one in (labels if isinstance(labels, list) else value)]
    return []
