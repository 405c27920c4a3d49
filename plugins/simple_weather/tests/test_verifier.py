"""What earns a reward, and what does not: examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gym_core import Task, Verdict, errors

Judge = Callable[..., Verdict]
BOTH = ["condition", "temperature_c"]


@pytest.mark.parametrize(
    "answer",
    [
        "It is sunny in Paris, with 21 °C.",
        "The weather in paris is SUNNY and the temperature is 21 degrees Celsius.",
        "**Paris**: clear skies, 21°C (70 °F), humidity 48 %, wind 11 km/h.",
        "Paris\n- Condition: sunny\n- Temperature: 21",
        "| City | Condition | Temp (°C) |\n|---|---|---|\n| Paris | Sunny | 21 |",
        "In Paris it's currently sunny and 21.0C. No rain, so you won't need an umbrella.",
        "Right now it's 70 degrees Fahrenheit in Paris under a sunny sky.",
        "Sunny, 21º. If it rains later, take an umbrella!",
        '{"city": "Paris", "condition": "sunny", "temperature_c": 21, "humidity_percent": 48, "wind_kmh": 11}',
        "Paris: sunny, well above 15 °C, namely 21 °C. Wind about 7 mph.",
    ],
)
def test_a_right_answer_earns_everything(judge: Judge, answer: str) -> None:
    verdict = judge("How is Paris?", ["Paris"], answer, cities=["Paris"], facts=BOTH)
    assert verdict.reward == 1.0, verdict
    assert verdict.components == {"calls": 1.0, "answer": 1.0}


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("It is sunny.", 1 / 2),
        ("It is 21 °C.", 1 / 2),
        ("It is rainy, 21 °C.", 1 / 3),
        ("It is sunny, 30 °C.", 1 / 3),
        ("It is sunny, 21 °C, feels like 19 °C.", 2 / 3),
        ("It is sunny and 21 °C, with 20% humidity.", 2 / 3),
        ("It is not sunny. It is 21 °C.", 1 / 3),
        ("It is rainy at 14 °C.", 0),
        ("It is sunny, cloudy, foggy, rainy, stormy and snowy at 21 °C.", 2 / 7),
        ("In Lyon it is 12 °C.", 0),
        ("", 0),
        ("Done.", 0),
        ("I am sorry, I cannot look up the weather.", 0),
        ("Which city do you mean?", 0),
        ("How is Paris?", 0),
    ],
)
def test_what_is_missing_or_made_up_costs(judge: Judge, answer: str, score: float) -> None:
    verdict = judge("How is Paris?", ["Paris"], answer, cities=["Paris"], facts=BOTH)
    assert verdict.components["answer"] == pytest.approx(score), verdict
    assert verdict.components["calls"] == 1.0


def test_numbers_without_unit_cannot_be_listed_until_one_fits(judge: Judge) -> None:
    guesses = "Sunny " + " ".join(map(str, range(50)))
    assert judge("Paris?", ["Paris"], guesses, cities=["Paris"], facts=BOTH).reward < 0.1


@pytest.mark.parametrize(
    ("asked", "calls"),
    [
        (["Paris"], 1),
        (["paris, france"], 1),
        ([], 0),
        (["London"], 0),
        (["Paris", "London"], 1 / 2),
        (["Paris", "Paris"], 1 / 2),
        (["London", "Rome", "Oslo", "Paris"], 1 / 4),
    ],
)
def test_calls_count_the_right_cities_among_all(judge: Judge, asked: list[str], calls: float) -> None:
    verdict = judge("How is Paris?", asked, "Sunny, 21 °C.", cities=["Paris"], facts=BOTH)
    assert verdict.components["calls"] == pytest.approx(calls)
    assert verdict.reward == pytest.approx(verdict.components["calls"] * verdict.components["answer"])
    if "Paris" not in asked and calls == 0:
        assert verdict.reward == 0


def test_a_bad_call_counts_as_one_that_was_not_due(judge_task: Callable[..., Verdict]) -> None:
    bad: list[dict[str, Any]] = [
        {"type": "function_call", "call_id": "x", "name": "get_wether", "arguments": '{"city": "Paris"}'},
        {"type": "function_call_output", "call_id": "x", "output": "there is no tool `get_wether`"},
    ]
    verdict = judge_task(Task.ask("Paris?", cities=["Paris"]), ["Paris"], "Sunny.", bad)
    assert verdict.components == {"calls": 1 / 2, "answer": 1.0}


SEVERAL = {"cities": ["London", "Rome"], "facts": BOTH}


@pytest.mark.parametrize(
    "answer",
    [
        "London is rainy at 14 °C, and Rome is sunny at 26 °C.",
        "It's 14°C and raining in London; in Rome it's 26°C and sunny.",
        "- **London**: rain, 14 °C\n- **Rome**: clear, 26 °C",
        "In London, it's rainy with 14 degrees, while in Rome, it's sunny with 26 degrees.",
        "It is rainy in London and sunny in Rome. London has 14 °C, Rome 26 °C.",
        "London and Rome are rainy and sunny, at 14 °C and 26 °C respectively.",
        "London (14 °C, rainy) is 12 degrees colder than Rome (26 °C, sunny).",
    ],
)
def test_several_cities_may_be_put_in_many_ways(judge: Judge, answer: str) -> None:
    verdict = judge("London and Rome?", ["London", "Rome"], answer, **SEVERAL)
    assert verdict.reward == 1.0, verdict


@pytest.mark.parametrize(
    "answer",
    [
        "London is sunny at 26 °C, and Rome is rainy at 14 °C.",
        "It's 26°C and sunny in London; in Rome it's 14°C and raining.",
        "- London: clear, 26 °C\n- Rome: rain, 14 °C",
        "London (26 °C, sunny) and Rome (14 °C, rainy).",
    ],
)
def test_swapped_cities_earn_nothing(judge: Judge, answer: str) -> None:
    assert judge("London and Rome?", ["London", "Rome"], answer, **SEVERAL).reward == 0


def test_half_of_the_cities_earn_less_than_half(judge: Judge) -> None:
    verdict = judge("London and Rome?", ["London"], "London is rainy at 14 °C.", **SEVERAL)
    assert verdict.components == {"calls": 1 / 2, "answer": 1 / 2}
    assert verdict.info == {"asked": ["London"], "missing": ["condition of rome", "temperature_c of rome"], "wrong": []}


WARMER = {"cities": ["Madrid", "Dublin"], "compare": "warmest"}


@pytest.mark.parametrize(
    "answer",
    [
        "Madrid is warmer.",
        "Madrid is warmer than Dublin, at 27 °C compared to 10 °C.",
        "Dublin is colder than Madrid.",
        "The warmer city is Madrid (27 °C).",
        "Madrid.",
        "Madrid, with 27 °C against 10 °C in Dublin.",
        "It is 10 °C in Dublin and 27 °C in Madrid, so Madrid is 17 degrees warmer.",
        "Compared to Dublin, Madrid is hotter.",
        "Dublin is not warmer than Madrid. Madrid has the higher temperature.",
    ],
)
def test_the_winner_of_a_comparison(judge: Judge, answer: str) -> None:
    verdict = judge("Which is warmer, Madrid or Dublin?", ["Madrid", "Dublin"], answer, **WARMER)
    assert verdict.reward == 1.0, verdict


@pytest.mark.parametrize(
    "answer",
    [
        "Dublin is warmer.",
        "Madrid is colder than Dublin.",
        "Dublin.",
        "Madrid has 27 °C, Dublin has 10 °C.",
        "Madrid is not warmer than Dublin.",
        "Which is warmer, Madrid or Dublin?",
        "Both are nice.",
    ],
)
def test_no_winner_or_the_wrong_one(judge: Judge, answer: str) -> None:
    assert judge("Which is warmer?", ["Madrid", "Dublin"], answer, **WARMER).reward == 0


def test_naming_both_as_the_winner_is_half_right(judge: Judge) -> None:
    answer = "Madrid is warmer than Dublin. Dublin is warmer than Madrid."
    assert judge("Which is warmer?", ["Madrid", "Dublin"], answer, **WARMER).reward == 1 / 2


def test_a_winner_that_nobody_looked_up_earns_nothing(judge: Judge) -> None:
    assert judge("Which is warmer?", [], "Madrid is warmer.", **WARMER).reward == 0


def test_a_denial_answers_the_question_that_it_denies(judge: Judge) -> None:
    fields: dict[str, Any] = {"cities": ["Oslo"], "facts": ["condition"]}
    assert judge("Is it raining in Oslo?", ["Oslo"], "No, it is not raining.", **fields).reward == 1.0
    assert judge("How is it in Oslo?", ["Oslo"], "It is not raining.", **fields).reward == 0
    assert judge("Is it raining in Oslo?", ["Oslo"], "Yes, it is raining.", **fields).reward == 0


@pytest.mark.parametrize(
    ("asked", "answer", "reward"),
    [
        ([], "Which city are you in?", 1),
        ([], "I can look that up. Please tell me your location.", 1),
        ([], "It is sunny and 20 °C.", 0),
        ([], "Probably sunny! Which city are you in?", 1 / 2),
        ([], "How's the weather outside?", 0),
        ([], "I cannot help with that.", 0),
        (["London"], "Rainy, 14 °C.", 0),
        (["London"], "Which city are you in?", 1 / 2),
    ],
)
def test_without_a_city_the_right_thing_is_to_ask(judge: Judge, asked: list[str], answer: str, reward: float) -> None:
    assert judge("How's the weather outside?", asked, answer, cities=[]).reward == reward


@pytest.mark.parametrize(
    ("asked", "answer", "reward"),
    [
        ([], "Water freezes at 0 °C.", 1),
        ([], "At zero degrees.", 1),
        ([], "At 10 °C, or at -0.5 °C.", 0),
        ([], "At how many degrees does water freeze?", 0),
        (["Paris"], "At 0 °C.", 1 / 2),
        ([], "", 0),
    ],
)
def test_a_question_that_needs_no_tool(judge: Judge, asked: list[str], answer: str, reward: float) -> None:
    question = "At how many degrees does water freeze?"
    assert judge(question, asked, answer, cities=[], expected=["0", "zero"]).reward == reward


@pytest.mark.parametrize(
    ("asked", "answer", "reward"),
    [
        (["sf"], "It's foggy in SF, about 15 °C.", 1),
        (["sf"], "It's sunny in SF.", 0),
        (["sf"], "Foggy, but 30 °C.", 1 / 2),
        (["New York", "sf", "LA"], "NYC is cloudy, SF is foggy, and LA is sunny.", 1),
        (["New York", "sf"], "NYC is cloudy.", 1 / 2),
        ([], "It's sunny, 20 °C.", 0),
        ([], "Which city do you mean?", 1 / 2),
        ([], "I can't say.", 0),
    ],
)
def test_a_row_without_cities_is_scored_on_consistency(
    judge_task: Callable[..., Verdict], asked: list[str], answer: str, reward: float
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "name": "get_weather", "description": "", "parameters": schema, "strict": True}]
    request = {"input": [{"role": "user", "content": "what's it like in sf?"}], "tools": tools}
    verdict = judge_task(Task({"responses_create_params": request}), asked, answer)
    assert verdict.reward == reward
    assert set(verdict.components) == {"answer"}


@pytest.mark.parametrize("cities", [None, [], "Paris", [""], ["", "Paris"]])
@pytest.mark.parametrize("fields", [{}, {"facts": None}, {"facts": "condition"}, {"compare": ""}, {"expected": "no"}])
def test_odd_fields_never_fail(judge: Judge, cities: object, fields: dict[str, Any]) -> None:
    verdict = judge("Paris?", ["Paris"], "It is sunny in Paris.", cities=cities, **fields)
    assert 0 <= verdict.reward <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cities", 3),
        ("cities", {"a": 1}),
        ("cities", [None]),
        ("facts", [1]),
        ("facts", ["rain"]),
        ("compare", "warmer"),
        ("compare", ["warmest"]),
        ("expected", {}),
    ],
)
def test_a_field_that_says_something_else_is_the_rows_fault(judge: Judge, field: str, value: object) -> None:
    with pytest.raises(errors.FieldError, match=f"`{field}` ") as caught:
        judge("Paris?", ["Paris"], "It is sunny in Paris.", **{"cities": ["Paris"], field: value})
    assert caught.value.field == field


def test_the_verdict_is_json(judge: Judge) -> None:
    verdict = judge("Paris?", ["Paris"], "It is rainy.", cities=["Paris"])
    assert json.loads(json.dumps(verdict.info)) == verdict.info
