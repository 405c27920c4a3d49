"""What holds for every task the package ships, and for any text a model may write."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import Task, Trajectory, Verdict, responses
from gym_simple_weather.environment import SimpleWeather
from gym_simple_weather.verifier import verify
from gym_simple_weather.weather import CONDITIONS, weather_in
from tests.support.work import LINEAR, growth, work

JudgeTask = Callable[..., Verdict]
TASKS = list(SimpleWeather().tasks())
WITH_CITIES = [task for task in TASKS if task["cities"]]
steady = settings(deadline=None, derandomize=True)
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
every_task_with_cities = pytest.mark.parametrize("task", WITH_CITIES, ids=lambda task: task.task_id)


def report(city: str, told_of: str) -> str:
    """A sentence about one city, with the weather of another one if so wished."""
    weather = weather_in(told_of)
    return (
        f"In {city} it is {weather.condition} with {weather.temperature_c} °C, "
        f"{weather.humidity_percent} % humidity and wind at {weather.wind_kmh} km/h."
    )


def winner(task: Task, *, wrong: bool = False) -> str:
    """The sentence that settles a comparison."""
    ranked = sorted(task["cities"], key=lambda city: weather_in(city).temperature_c)
    warmest = task["compare"] == "warmest"
    return f"The {'warmest' if warmest else 'coldest'} is {ranked[-1 if warmest != wrong else 0]}."


def ideal(task: Task) -> str:
    """An answer that deserves everything, after the calls that were due."""
    if "expected" in task:
        return f"That is {task['expected'][0]}."
    if not task["cities"]:
        return "Which city are you in?"
    sentences = [report(city, city) for city in task["cities"]]
    return " ".join([*sentences, winner(task)] if "compare" in task else sentences)


@every_task
def test_the_ideal_rollout_earns_everything(judge_task: JudgeTask, task: Task) -> None:
    verdict = judge_task(task, task["cities"], ideal(task))
    assert verdict.reward == 1.0, verdict
    assert verdict.components == {"calls": 1.0, "answer": 1.0}


@every_task_with_cities
def test_the_ideal_answer_without_calls_earns_nothing(judge_task: JudgeTask, task: Task) -> None:
    assert judge_task(task, [], ideal(task)).reward == 0


@every_task_with_cities
def test_a_missing_call_costs(judge_task: JudgeTask, task: Task) -> None:
    for left_out in task["cities"]:
        asked = [city for city in task["cities"] if city != left_out]
        assert judge_task(task, asked, ideal(task)).reward <= 0.7


@every_task_with_cities
def test_the_wrong_city_earns_nothing_for_its_place(judge_task: JudgeTask, task: Task) -> None:
    asked = ["Edinburgh", *task["cities"][1:]]
    told = " ".join(report(city, city) for city in asked)
    assert judge_task(task, asked, told).reward < 0.7
    assert judge_task(task, ["Edinburgh"], report("Edinburgh", "Edinburgh")).reward == 0


@every_task_with_cities
def test_a_made_up_answer_earns_little(judge_task: JudgeTask, task: Task) -> None:
    other = {city: next(c for c in ("Cairo", "Oslo") if differs(c, city)) for city in task["cities"]}
    told = " ".join(report(city, other[city]) for city in task["cities"])
    told += f" {winner(task, wrong=True)}" if "compare" in task else ""
    assert judge_task(task, task["cities"], told).reward <= 0.2


def differs(one: str, other: str) -> bool:
    """Whether two cities have nothing in their weather in common."""
    first, second = weather_in(one), weather_in(other)
    return all(getattr(first, fact) != getattr(second, fact) for fact in first.__slots__)


@every_task
def test_repeating_the_question_refusing_and_silence_earn_nothing(judge_task: JudgeTask, task: Task) -> None:
    question = responses.item_text(task.input[-1])
    for answer in (question, f"You asked: {question}", "I am sorry, but I cannot help with that.", "", "Yes.", "?"):
        assert judge_task(task, task["cities"], answer).reward == 0, answer


@every_task
def test_asking_every_city_does_not_pay(judge_task: JudgeTask, task: Task) -> None:
    everywhere = [city for other in TASKS for city in other["cities"]]
    assert judge_task(task, everywhere, ideal(task)).reward < 0.2


@every_task_with_cities
def test_saying_everything_does_not_pay(judge_task: JudgeTask, task: Task) -> None:
    numbers = " ".join(f"{number} °C, {number} %, {number} km/h," for number in range(-20, 60))
    everything = f"It is {', '.join(CONDITIONS)}. {numbers}"
    cities = " ".join(f"{city} is the warmest. {city} is the coldest." for city in task["cities"])
    assert judge_task(task, task["cities"], f"{everything} {cities}").reward < 0.6
    if "compare" not in task:
        assert judge_task(task, task["cities"], everything).reward < 0.2


@every_task
def test_case_and_accents_do_not_matter(judge_task: JudgeTask, task: Task) -> None:
    asked = [city.upper() for city in task["cities"]]
    assert judge_task(task, asked, ideal(task).upper().replace("Ã", "A").replace("Ü", "U")).reward == 1.0


words = st.sampled_from(
    ["Paris", "Oslo", "sunny", "not", "21 °C", "-3°", "70 F", "%", "and", ",", ".", "?", "\n", "warmer", "than", "("]
)
texts = st.one_of(st.text(), st.lists(words, max_size=40).map(" ".join))


@steady
@given(task=st.sampled_from(TASKS), answer=texts, outputs=st.lists(texts, max_size=3))
def test_whatever_is_written_has_a_finite_verdict(task: Task, answer: str, outputs: list[str]) -> None:
    items: list[responses.Item] = []
    for number, output in enumerate(outputs):
        call = {"type": "function_call", "call_id": str(number), "name": "get_weather", "arguments": answer}
        items += [call, responses.function_call_output(str(number), output)]
    items.append({"role": "assistant", "content": answer})
    verdict = verify(task, Trajectory(task.input, items))
    for value in (verdict.reward, *verdict.components.values()):
        assert math.isfinite(value)
        assert 0 <= value <= 1
    assert verdict == verify(task, Trajectory(task.input, items))


@steady
@given(answer=texts)
def test_no_text_earns_anything_without_the_calls(answer: str) -> None:
    for task in WITH_CITIES[:8]:
        assert verify(task, Trajectory(task.input, [{"role": "assistant", "content": answer}])).reward == 0


@steady
@given(asked=st.lists(st.sampled_from(["Paris", "Oslo", "Rome", "Ghent"]), max_size=5), answer=texts)
def test_rewards_multiply_and_everything_needs_exactly_the_right_calls(asked: list[str], answer: str) -> None:
    task = Task.ask("Paris and Oslo?", cities=["Paris", "Oslo"])
    items: list[responses.Item] = []
    for number, city in enumerate(asked):
        call = {"type": "function_call", "call_id": str(number), "name": "get_weather", "arguments": "{}"}
        items += [call, responses.function_call_output(str(number), weather_in(city).to_json())]
    items.append({"role": "assistant", "content": answer})
    verdict = verify(task, Trajectory(task.input, items))
    assert verdict.reward == verdict.components["calls"] * verdict.components["answer"]
    assert (verdict.components["calls"] == 1.0) == (sorted(asked) == ["Oslo", "Paris"])


PIECES = ["1", "21 ", "21°C ", "Paris ", "Paris 21 ", "a1", "what ", "(", "- ", "not ", "sunny,", "\n"]


def read(judge_task: JudgeTask, text: str) -> None:
    task = Task.ask("Paris and Oslo?", cities=["Paris", "Oslo"])
    assert judge_task(task, ["Paris", "Oslo"], text).reward < 1


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_of_reading_grows_with_the_answer(judge_task: JudgeTask, piece: str) -> None:
    assert growth("gym_simple_weather", lambda size: read(judge_task, (piece * size)[:size]), 500) < LINEAR


def test_of_a_very_long_answer_only_the_beginning_is_read(judge_task: JudgeTask) -> None:
    longest, longer = (
        work("gym_simple_weather", lambda size: read(judge_task, "Paris " * size), size) for size in (4_000, 200_000)
    )
    assert longer < 1.01 * longest
