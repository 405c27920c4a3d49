"""What trackers are told of a run, whoever they are; and that none of them can hurt it."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from gym_core import Rollout, RunInfo, UsageError
from gym_core.engine.observers import extensions
from gym_core.spi import Redactor
from gym_trackers import mlflow_extension, wandb_extension
from gym_trackers.tracking import COLUMNS, ROLLOUTS, TEXT, Row, Tracked, Tracking, flat, table_row
from tests.support.envs import ask, env
from tests.support.models import ScriptedModel
from tests.support.running import Ended, config, execute, run


class Noted:
    """A tracker that notes what it is told."""

    def __init__(self, settings: Mapping[str, str] | None = None, reached: int = 0) -> None:
        self.reached = reached
        self.settings = dict(settings or {})
        self.points: list[tuple[int, Mapping[str, float]]] = []
        self.ended: list[tuple[str, int, Mapping[str, float], list[Row]]] = []

    def point(self, step: int, values: Mapping[str, float]) -> None:
        self.points.append((step, values))

    def end(self, state: str, step: int, values: Mapping[str, float], rows: list[Row]) -> None:
        self.ended.append((state, step, values, rows))


def extension(begin: Callable[[RunInfo, Mapping[str, str]], Any]) -> ModuleType:
    """A module that names the hooks of a tracker, as those of the trackers do."""
    module, tracking = ModuleType("tracker"), Tracking(begin)
    vars(module).update(
        gym_run_started=tracking.gym_run_started,
        gym_rollout_finished=tracking.gym_rollout_finished,
        gym_run_finished=tracking.gym_run_finished,
    )
    return module


def tracked(begin: Callable[[RunInfo, Mapping[str, str]], Any], **settings: Any) -> Ended:
    tasks = [ask(n, reward_wanted=n % 2) for n in range(6)]
    model = ScriptedModel(lambda request, context: ValueError("no") if context.key[0] == "t5" else "yes " * 2000)
    ended: Ended = run(model, env(tasks=tasks), extensions=[extension(begin)], **settings)
    return ended


def test_a_run_is_told_from_its_settings_to_its_summary() -> None:
    runs: list[Noted] = []

    def begin(run: RunInfo, settings: Mapping[str, str]) -> Noted:
        runs.append(Noted(settings))
        return runs[0]

    ended = tracked(begin)
    (noted,) = runs
    assert noted.settings["settings.env.ref"] == "tiny"
    assert "argv" not in " ".join(noted.settings)
    (step, last) = noted.points[-1]
    assert step == 6
    assert (last["rollouts/finished"], last["rollouts/failed"], last["reward/mean"]) == (6, 1, 0.4)
    assert last["tokens/input"] == ended.summary["usage"]["input_tokens"]
    ((state, step, values, rows),) = noted.ended
    assert (state, step) == ("finished", 6)
    assert values["reward.mean"] == 0.4
    assert values["rollouts.failed"] == 1
    assert not [name for name in values if name.startswith(("health", "errors"))]
    assert len(rows) == 6
    table = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    by_task = {row["task_id"]: row for row in table}
    assert (by_task["t1"]["reward"], by_task["t1"]["task"]) == (1.0, "Task 1.")
    assert len(by_task["t1"]["answer"]) == TEXT
    assert by_task["t5"]["error"].startswith("BackendError: ")
    assert by_task["t5"]["reward"] is None


def test_a_resumed_run_goes_on_at_the_step_that_it_had_reached() -> None:
    noted = Noted(reached=40)
    tracked(lambda run, settings: noted)
    step, last = noted.points[-1]
    assert step == noted.ended[0][1] == last["rollouts/finished"] == 46
    assert last["reward/mean"] == 0.4  # of what this part of the run has seen


def test_secrets_reach_no_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Noted] = []
    redactor = Redactor()
    redactor.add("hunter2-secret")

    def begin(run: RunInfo, settings: Mapping[str, str]) -> Noted:
        runs.append(Noted(settings))
        return runs[0]

    async def main() -> None:
        from gym_core.spi import open_run

        model = ScriptedModel("it is hunter2-secret")
        wanted = config(model, env(tasks=[ask(0, key="hunter2-secret")]), extensions=[extension(begin)])
        async with open_run(wanted, redactor=redactor) as opened:
            await opened.execute()

    asyncio.run(main())
    told = repr((runs[0].settings, runs[0].points, runs[0].ended))
    assert "it is ***" in told
    assert "hunter2-secret" not in told


def failing(*arguments: Any) -> Any:
    raise ConnectionError("no network")


class FailsLater(Noted):
    calls = 0

    def point(self, step: int, values: Mapping[str, float]) -> None:
        FailsLater.calls += 1
        raise ConnectionError("no network")


@pytest.mark.parametrize("begin", [failing, lambda run, settings: FailsLater()])
def test_a_tracker_that_fails_costs_one_warning(begin: Any, caplog: pytest.LogCaptureFixture) -> None:
    FailsLater.calls = 0
    with caplog.at_level(logging.WARNING, "gym"):
        ended = tracked(begin)
    assert ended.summary["state"] == "finished"
    assert ended.summary["rollouts"]["with_verdict"] == 5
    assert [record.getMessage().count("no network") for record in caplog.records if "raised" in record.message] == [1]
    assert FailsLater.calls <= 1


def test_a_tracker_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "PATIENCE", 0.2)
    ended = tracked(lambda run, settings: time.sleep(5))
    assert ended.summary["state"] == "finished"
    assert ended.summary["rollouts"]["with_verdict"] == 5
    assert ended.summary["health"]["extensions"][0]["dropped"] > 0


def rollouts(count: int) -> list[Rollout]:
    (one,) = asyncio.run(execute(config())).rollouts
    return [Rollout({**one.row, "task_id": f"t{number}"}) for number in range(count)]


def test_rollouts_of_the_table_are_drawn_by_lot_and_always_the_same() -> None:
    drawn = []
    for _ in range(2):
        noted = Noted()
        run = Tracked(noted, "abc", 50)
        for rollout in rollouts(1_000):
            run.add(rollout)
        run.end({"state": "finished"})
        drawn.append([int(row[0][1:]) for row in noted.ended[0][3]])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 50
    assert drawn[0] == sorted(drawn[0])
    assert 300 < sum(drawn[0]) / 50 < 700


def test_points_of_curves_are_apart() -> None:
    now, noted = [0.0], Noted()
    run = Tracked(noted, "abc", 0, clock=lambda: now[0])
    for rollout in rollouts(100):
        now[0] += 0.1
        run.add(rollout)
    assert len(noted.points) in (4, 5)  # 10 seconds, as floats add up
    run.end({"state": "stopped"})
    assert noted.ended[0][3] == []


def test_settings_are_flat() -> None:
    assert dict(flat({"a": {"b": 1, "c": None}, "d": [1, "x"], "e": ""})) == {"a.b": "1", "d": "1, x"}


def test_a_row_of_a_rollout_without_a_user_has_no_task() -> None:
    (rollout,) = rollouts(1)
    rollout.row["responses_create_params"] = {"input": []}
    assert table_row(rollout)[COLUMNS.index("task")] == ""


@pytest.mark.parametrize("count", ["many", "-1", "1e3", "12345678"])
@pytest.mark.parametrize("extension", [wandb_extension, mlflow_extension])
def test_a_number_of_rollouts_that_is_none(count: str, extension: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROLLOUTS, count)
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    with pytest.raises(UsageError, match=ROLLOUTS):
        extension.gym_extension_check()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_without_the_library_the_run_does_not_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # what Python takes for a module that cannot be imported
    with pytest.raises(UsageError, match=f"the extension `{name}` cannot work") as caught:
        run(extensions=[name])
    assert caught.value.hint == f'pip install "gym-trackers[{name}]"'
