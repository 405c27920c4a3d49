"""`gym_core.run` and `run_sync`: all rollouts at once, for scripts and notebooks."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import RunResult, UsageError
from gym_core.errors import AuthenticationError, BadRequestError, BudgetExceeded
from gym_core.spi import flat_row
from gym_testing import run_rollout
from tests.support.agents import LoopAgent
from tests.support.envs import env
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel
from tests.support.running import read_jsonl

HOSTILE = "<script>alert(1)</script> $\\frac{1}{0}$ \x1b[31m & 'quotes\"\nand a line"


def run(model: ScriptedModel, tasks: int = 3, **settings: Any) -> RunResult:
    return gym_core.run_sync(model=model, env=env(tasks=tasks), agent=LoopAgent(), **settings)


def failing(error: Exception, *numbers: int) -> ScriptedModel:
    return ScriptedModel(lambda request, context: error if int(context.key[0][1:]) in numbers else "done")


@asynchronous
async def test_it_returns_all_rollouts_with_their_summary(tmp_path: Path) -> None:
    model = failing(BadRequestError("no", status=400), 2)
    result = await gym_core.run(model=model, env=env(tasks=3), agent=LoopAgent(), output=tmp_path / "x.jsonl")
    assert sorted(rollout.task_id for rollout in result) == ["t0", "t1", "t2"]
    assert len(result) == result.summary["rollouts"]["planned"] == 3
    assert result.reward == result.summary["reward"]["mean"]
    assert result.error is None
    assert str(result.output) == str(tmp_path / "x.jsonl")
    assert len(read_jsonl(tmp_path / "x.jsonl")) == 2
    assert "2 rollouts with a verdict, 1 failed" in repr(result)


def test_a_script_needs_no_event_loop() -> None:
    assert len(run(ScriptedModel("done"))) == 3


@asynchronous
async def test_it_works_where_a_loop_runs_already() -> None:
    assert len(run(ScriptedModel("done"))) == 3
    assert run_rollout(env(tasks=1), "done").task_id == "t0"


@asynchronous
async def test_an_interrupt_ends_a_run_that_has_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_core.engine import loops

    ended = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Impatient:
        def result(self) -> None:
            time.sleep(0.1)
            raise KeyboardInterrupt

    submit = ThreadPoolExecutor.submit

    def submitted(*arguments: Any) -> Any:
        submit(*arguments)
        return Impatient()

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submitted)
    with pytest.raises(KeyboardInterrupt):
        loops.in_own_loop(forever())
    assert ended.is_set()


def test_what_stops_a_run_that_came_to_something_is_in_the_result() -> None:
    result = run(failing(AuthenticationError("wrong key"), 2), concurrency=1)
    assert isinstance(result.error, AuthenticationError)
    assert [rollout.reward is None for rollout in result] == [False, False, True]
    assert "stopped early: wrong key" in repr(result)
    assert "stopped early: wrong key" in result._repr_html_()
    budget = run(ScriptedModel("done"), tasks=50, concurrency=1, max_tokens=20_000)
    assert budget.error is None or isinstance(budget.error, BudgetExceeded)


def test_what_stops_a_run_that_came_to_nothing_is_raised() -> None:
    with pytest.raises(AuthenticationError, match="wrong key"):
        run(failing(AuthenticationError("wrong key"), 0, 1, 2))


@pytest.mark.parametrize("wrong", [{"limt": 3}, {"repeats": 0}, {"output": ""}])
def test_a_wrong_setting_is_refused_as_by_collect(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, UsageError)):
        run(ScriptedModel("done"), **wrong)


def test_records_are_flat_and_alike() -> None:
    records = run(failing(BadRequestError("no", status=400), 1)).records()
    assert len({tuple(record) for record in records}) == 1
    failed = next(record for record in records if record["task_id"] == "t1")
    assert failed["reward"] is None
    assert "no" in failed["error_message"]
    done = next(record for record in records if record["task_id"] == "t0")
    assert (done["answer"], done["status"], done["error_message"]) == ("done", "completed", None)


def test_records_are_called_and_read_as_in_tables() -> None:
    """A data frame of a run has columns of the table that `gym export` makes of its file."""
    result = run(failing(BadRequestError("no", status=400), 1))
    for rollout, record in zip(result.rollouts, result.records(), strict=True):
        row = flat_row(rollout)
        assert {name: row[name] for name in record if name in row} == {
            name: value for name, value in record.items() if not name.startswith("component_")
        }


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(failing(BadRequestError("no", status=400), 0))
    frame = getattr(result, f"to_{library}")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError) as raised:
        frame()
    assert raised.value.hint == f"pip install {library}"
    monkeypatch.undo()
    pytest.importorskip(library)
    assert list(frame()["task_id"]) == [rollout.task_id for rollout in result]
    assert list(frame().columns) == list(result.records()[0])


def test_what_a_model_says_is_text_in_the_table() -> None:
    shown = run(ScriptedModel(HOSTILE), tasks=25)._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $\\frac{1}{0}$" in shown
    assert "\x1b" not in shown
    assert "mathjax_ignore" in shown
    assert shown.count("<tr>") == 21
    assert "and 5 more" in shown
    assert len(run(ScriptedModel("x" * 10_000), tasks=1)._repr_html_()) < 1500


def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    shown = {}
    for name, stream in (("terminal", Screen()), ("quiet", Screen()), ("file", io.StringIO())):
        monkeypatch.setattr(sys, "stderr", stream)
        run(ScriptedModel("done"), progress=name != "quiet")
        shown[name] = stream.getvalue()
    assert "3/3 done, 0 failed" in shown["terminal"]
    assert shown["quiet"] == shown["file"] == ""


def test_a_line_loses_its_end_where_there_is_no_room() -> None:
    from gym_core.engine.run.progress_line import fitted

    assert [fitted("one, two, three", width) for width in (15, 14, 8, 1)] == [
        "one, two, three",
        "one, two",
        "one, two",
        "one",
    ]
