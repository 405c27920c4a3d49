"""What is generated: always the same, as the package itself makes it, in turns, and without keys."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
from collections.abc import AsyncIterable, Callable
from contextlib import aclosing
from itertools import islice
from typing import Any

import pytest

from gym_core import GymError, Task
from gym_reasoning_gym import generation
from gym_reasoning_gym.environment import ReasoningGym
from gym_reasoning_gym.generation import generate
from gym_reasoning_gym.generator import PATIENCE, Generator
from gym_reasoning_gym.order import Order

FRESH = generation.PROGRAM
"""The program itself, and no fork."""
MakeTasks = Callable[..., list[Task]]
HASHED = "isomorphic_strings,polynomial_multiplication,ransom_note,word_ladder,pool_matrix,list_functions"
"""Families that left alone come out differently from process to process, and two that use global state."""


def rows(tasks: list[Task]) -> list[str]:
    return [json.dumps(task.row, sort_keys=True) for task in tasks]


@pytest.mark.slow
def test_another_process_makes_the_same(make_tasks: MakeTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(generation, "PROGRAM", FRESH)
        first = rows(make_tasks(HASHED, 18, seed=3))
    assert first == rows(make_tasks(HASHED, 18, seed=3))
    assert first != rows(make_tasks(HASHED, 18, seed=300))


def test_an_item_depends_on_nothing_but_its_place() -> None:
    order = Order(("list_functions", "pool_matrix", "gsm_symbolic", "acre", "lcm"), seed=1)
    places = [(family, index) for family in order.families for index in (0, 3, 499, 500, 700)]
    forth, back = Generator(order), Generator(order)
    made = {place: json.dumps(forth.item(*place), default=str) for place in places}
    assert made == {place: json.dumps(back.item(*place), default=str) for place in reversed(places)}
    assert len(set(made.values())) == len(made)


@pytest.mark.slow
def test_it_is_what_the_package_makes_of_the_same_seed(make_tasks: MakeTasks) -> None:
    tasks = make_tasks("chain_sum", 501, seed=42, config={"max_terms": 3})
    package = importlib.import_module("reasoning_gym")
    items = package.create_dataset("chain_sum", seed=42, size=501, max_terms=3)
    assert [task["question"] for task in tasks] == [item["question"] for item in islice(items, 501)]
    assert [task["answer"] for task in tasks] == [item["answer"] for item in islice(items, 501)]


@pytest.mark.slow
def test_families_take_turns(make_tasks: MakeTasks) -> None:
    tasks = make_tasks("lcm, gcd", 9, size=5, config={"gcd": {"max_numbers": 2}})
    assert [task.task_id for task in tasks] == ["lcm-0-0", "gcd-0-0", "lcm-0-1", "gcd-0-1", "lcm-0-2"]
    assert [task.get("config") for task in tasks] == [None, {"max_numbers": 2}, None, {"max_numbers": 2}, None]
    alone = Generator(Order(("gcd",), seed=0, settings={"gcd": {"max_numbers": 2}}))
    assert alone.item("gcd", 1)["question"] == tasks[3]["question"]


def test_the_size_ends_it_and_nothing_else_does() -> None:
    assert [*Order(("lcm", "gcd"), 0, 3).places()] == [("lcm", 0), ("gcd", 0), ("lcm", 1)]
    assert [*islice(Order(("lcm",), 0).places(), 10_000, 10_001)] == [("lcm", 10_000)]


def test_the_seed_is_that_of_the_run_unless_it_is_given(make_env: Callable[..., ReasoningGym]) -> None:
    assert make_env("lcm", run_seed=9).order() == Order(("lcm",), 9)
    assert make_env("lcm", run_seed=9, seed=4).order() == Order(("lcm",), 4)
    assert make_env("lcm", run_seed=2**31 + 9).order() == Order(("lcm",), 9)


@pytest.mark.slow
def test_leaving_early_ends_the_process(make_env: Callable[..., ReasoningGym]) -> None:
    async def first() -> Task:
        tasks = make_env("lcm").tasks()
        assert isinstance(tasks, AsyncIterable)
        stream = tasks.__aiter__()
        task = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is an async generator
        return task

    assert asyncio.run(first()).task_id == "lcm-0-0"


@pytest.mark.slow
def test_what_a_family_prints_is_no_task(make_tasks: MakeTasks) -> None:
    assert [task["index"] for task in make_tasks("bf", 3)] == [0, 1, 2]


@pytest.mark.slow
def test_settings_that_never_work_end_it_with_their_reason() -> None:
    async def lines() -> int:
        order = Order(("spell_backward",), seed=0, settings={"spell_backward": {"data_file": "missing.txt"}})
        count = 0
        async with aclosing(generate(order)) as made:
            async for line in made:
                assert "missing.txt" in line["error"]
                count += 1
                assert count <= PATIENCE
        return count

    with pytest.raises(GymError, match=r"exit code 1: 20 questions in a row cannot be made.*missing\.txt"):
        asyncio.run(lines())


@pytest.mark.slow
def test_the_process_sees_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            seen.update(settings["env"])
            super().__init__(*arguments, **settings)

    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setattr(subprocess, "Popen", Watched)

    async def first() -> object:
        async with aclosing(generate(Order(("lcm",), seed=0))) as lines:
            return await anext(lines)

    assert asyncio.run(first())
    assert "PATH" in seen
    assert "sk-secret" not in seen.values()
