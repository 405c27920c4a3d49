"""Whatever is called and said: no crash, no leak between sessions, a verdict between 0 and 1."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import SessionContext, Task, Trajectory
from gym_workplace.environment import Workplace, WorkplaceSession, shipped_office
from gym_workplace.errors import OfficeError
from gym_workplace.facts import Fact, judge
from gym_workplace.records import TABLES
from gym_workplace.values import KINDS
from tests.support.work import LINEAR, growth, work

TASKS = list(Workplace().tasks())
OFFICE = shipped_office()
IDS = [key for name in TABLES for key in list(OFFICE.tables[name])[:6]] + [f"{letter}9001" for letter in "cemt"]
WORDS = [
    "",
    " ",
    "zebra",
    "Mara",
    "mara.quillonby@fernhollow.example",
    "Robin <robin.ellersby@fernhollow.example>",
    "<",
    "a@b",
    "\u0130@x.example",
    "\x00",
    "%s {} [",
]
steady = settings(deadline=None, derandomize=True, max_examples=60)


def _session(task: Task) -> WorkplaceSession:
    return WorkplaceSession(task, Workplace(), SessionContext())


def _argument(schema: dict[str, Any], rng: random.Random) -> Any:
    """Something that mostly fits the schema of one argument."""
    kinds = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    schema = rng.choice(kinds)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema["type"] == "array":
        return [rng.choice(WORDS) for _ in range(rng.randrange(4))]
    if schema["type"] == "integer":
        return rng.choice([1, 2, 30, 60, 1440])
    if schema["type"] == "boolean":
        return rng.random() < 0.5
    moments = {
        "date": ["2031-05-14", "2031-05-20", "0001-01-01", "9999-12-31", "2099-12-31"],
        "date-time": ["2031-05-20T10:00", "2031-05-20T10:00:30.5+02:00", "0001-01-01T00:00", "2099-12-31T23:59"],
        "time": ["00:00", "09:17", "23:59:59", "17:00Z"],
    }
    if schema.get("format") in moments:
        return rng.choice(moments[schema["format"]])
    return rng.choice(IDS) if rng.random() < 0.6 else rng.choice(WORDS)


def _random_call(session: WorkplaceSession, rng: random.Random) -> str:
    tool = rng.choice(session.tools())
    parameters = tool.schema["parameters"]
    arguments = {
        name: _argument(schema, rng)
        for name, schema in parameters["properties"].items()
        if name in parameters["required"] or rng.random() < 0.5
    }
    try:
        fitting = tool.spec.parse(json.dumps(arguments))
    except ValueError as error:
        return str(error)
    try:
        return json.dumps(tool.spec.function(session, **fitting))
    except OfficeError as error:
        return str(error)


@steady
@given(seed=st.integers(0, 2**32), task=st.sampled_from(TASKS))
def test_random_calls_are_answered_and_repeatable(seed: int, task: Task) -> None:
    sessions = _session(task), _session(task)
    dice = random.Random(seed), random.Random(seed)
    for _ in range(40):
        outputs = [_random_call(session, rng) for session, rng in zip(sessions, dice, strict=True)]
        assert outputs[0] == outputs[1]
    verdicts = [session.verify(Trajectory([], [])) for session in sessions]
    assert verdicts[0] == verdicts[1] == sessions[0].verify(Trajectory([], []))
    for value in (verdicts[0].reward, *verdicts[0].components.values()):
        assert math.isfinite(value)
        assert 0 <= value <= 1


@steady
@given(seed=st.integers(0, 2**32))
def test_sessions_do_not_see_each_other(seed: int) -> None:
    rng = random.Random(seed)
    untouched, busy = _session(TASKS[0]), [_session(task) for task in TASKS[:5]]
    before = {name: list(getattr(untouched.world, name)) for name in TABLES}
    shared = {name: dict(OFFICE.tables[name]) for name in TABLES}
    for _ in range(60):
        _random_call(rng.choice(busy), rng)
    assert untouched.world.changes() == []
    assert {name: list(getattr(untouched.world, name)) for name in TABLES} == before
    assert {name: dict(OFFICE.tables[name]) for name in TABLES} == shared


@steady
@given(seed=st.integers(0, 2**32))
def test_a_failed_call_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    session = _session(TASKS[0])
    for _ in range(30):
        before = session.world.changes()
        answer = _random_call(session, rng)
        if not answer.startswith(("{", "[")):
            assert session.world.changes() == before


VALUES = {"text": "Mara", "time": "14:30", "date": "2031-05-16", "number": "261", "phone": "555-1234"}
PIECES = [
    *VALUES.values(),
    *WORDS,
    "2:30 pm",
    "noon",
    "May 16",
    "next friday",
    "not",
    "from",
    "was",
    ",",
    "1,",
    "-",
    ":",
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(text=texts, kind=st.sampled_from(KINDS))
def test_any_text_has_a_score(text: str, kind: str) -> None:
    judgement = judge(text, [Fact(kind, (VALUES[kind],))], "2031-05-14")
    assert 0 <= judgement.score <= 1
    assert (judgement.score == 0) == bool(judgement.missing)


@pytest.mark.parametrize("piece", [*filter(None, PIECES), "1", "1 ", "1,111", "9:", "may ", "(", "a@"])
def test_the_work_of_reading_grows_with_the_answer(piece: str) -> None:
    facts = [Fact(kind, (value,)) for kind, value in VALUES.items()]
    assert growth("gym_workplace", lambda size: judge((piece * size)[:size], facts, "2031-05-14"), 500) < LINEAR


def test_of_a_very_long_answer_only_the_beginning_is_read() -> None:
    facts = [Fact(kind, (value,)) for kind, value in VALUES.items()]
    longest, longer = (
        work("gym_workplace", lambda size: judge("Mara " * size, facts, "2031-05-14"), size)
        for size in (4_000, 200_000)
    )
    assert longer < 1.01 * longest


@pytest.mark.parametrize("piece", ["a@", "a.", "<", "a@a.a", " "])
def test_the_work_of_reading_addresses_grows_with_them(assistant: Callable[..., Any], piece: str) -> None:
    at = assistant()

    def write(size: int) -> None:
        text = (piece * size)[:size]
        for name, arguments in (
            ("send_mail", {"to": [text] * 50, "subject": "x", "body": "x"}),
            ("add_contact", {"name": "x", "email": text}),
        ):
            with contextlib.suppress(OfficeError):
                at.call(name, **arguments)

    assert growth("gym_workplace", write, 70) < LINEAR
