"""What observes a run, and cannot disturb it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from pluggy import HookimplMarker

from gym_core import CallInfo, Rollout, RunInfo, Trajectory, UsageError, hookimpl, tool
from gym_core.engine.observers import extensions
from gym_core.engine.observers.run_observers import RunObservers
from gym_core.errors import BadRequestError, PluginError
from gym_core.spi import ModelGate, PluginManager, Redactor, open_run
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call
from tests.support.running import config, execute, run


class Calculator(PlainSession):
    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b


class Diary:
    """Notes everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.threads: set[str] = set()
        self.info: RunInfo | None = None

    def note(self, event: str, value: Any) -> None:
        self.events.append((event, value))
        self.threads.add(threading.current_thread().name)

    def named(self, event: str) -> list[Any]:
        return [value for name, value in self.events if name == event]

    @hookimpl(contract=1)
    def gym_run_started(self, run: RunInfo) -> None:
        self.info = run
        self.note("started", run)

    @hookimpl(contract=1)
    def gym_rollout_finished(self, rollout: Rollout) -> None:
        self.note("rollout", rollout)

    @hookimpl(contract=1)
    def gym_model_called(self, run: RunInfo, call: CallInfo) -> None:
        self.note("model", call)

    @hookimpl(contract=1)
    def gym_tool_called(self, call: CallInfo) -> None:
        self.note("tool", call)

    @hookimpl(contract=1)
    def gym_run_finished(self, summary: Mapping[str, Any]) -> None:
        self.note("finished", summary)


def test_every_event_arrives_in_order_and_off_the_event_loop(tmp_path: Path) -> None:
    diary, output = Diary(), tmp_path / "x.jsonl"
    model = ScriptedModel(call("add", {"a": 1, "b": 2}), call("add", {"a": "x", "b": 2}), "done")
    ended = run(model, env(Calculator, tasks=3), extensions=[diary], output=output)
    names = [name for name, _ in diary.events]
    assert (names[0], names[-1]) == ("started", "finished")
    assert {name: names.count(name) for name in ("rollout", "model", "tool")} == {"rollout": 3, "model": 9, "tool": 6}
    assert "MainThread" not in diary.threads
    assert diary.info is not None
    assert (diary.info.run_id, diary.info.rollouts, diary.info.output) == (ended.summary["run_id"], 3, str(output))
    assert diary.info.manifest["settings"]["env"]["ref"] == "tiny"
    assert diary.named("finished") == [orjson.loads((tmp_path / "x.summary.json").read_bytes())]
    assert ended.summary["health"]["extensions"] == [
        {"name": "Diary", "distribution": __name__, "errors": 0, "dropped": 0}
    ]


def test_what_is_told_of_calls() -> None:
    diary = Diary()
    run(ScriptedModel(call("add", {"a": 1, "b": 2}), call("nope"), "done"), env(Calculator), extensions=[diary])
    first = diary.named("model")[0]
    assert (first.key, first.name, first.error) == (("t0", 0), "scripted", None)
    assert first.seconds >= 0
    assert first.started > 1e9
    assert first.attributes["usage"]["input_tokens"] == 10
    assert (first.attributes["role"], first.attributes["attempts"]) == ("policy", 1)
    good, bad = diary.named("tool")
    assert (good.name, good.error, good.attributes["call_id"]) == ("add", None, "c1")
    assert "no tool `nope`" in bad.error
    assert bad.attributes["error_class"] == "unknown_tool"


def test_a_failed_call_and_a_failed_rollout_are_told_too() -> None:
    diary = Diary()
    run(ScriptedModel(BadRequestError("bad", status=400)), extensions=[diary])
    (failed,) = diary.named("model")
    assert (failed.error, failed.attributes["http_status"]) == ("BadRequestError: bad", 400)
    assert diary.named("rollout")[0].status == "model_error"


def test_a_row_is_written_before_it_is_told_of(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    seen: list[bool] = []

    class Reader:
        @hookimpl(contract=1)
        def gym_rollout_finished(self, rollout: Rollout) -> None:
            seen.append(f'"{rollout.task_id}"' in output.read_text())

    run(None, env(tasks=20), extensions=[Reader()], output=output)
    assert seen == [True] * 20


class Broken:
    """Raises whenever it is called."""

    @hookimpl(contract=1)
    def gym_run_started(self) -> None:
        raise RuntimeError("cannot start")

    @hookimpl(contract=1)
    def gym_rollout_finished(self) -> None:
        sys.exit("enough")

    @hookimpl(contract=1)
    def gym_run_finished(self) -> None:
        raise RuntimeError("cannot end")


def test_one_that_raises_is_reported_once_and_counted_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary()
    ended = run(None, env(tasks=5), extensions=[Broken(), diary])
    assert ended.statuses() == ["completed"] * 5
    assert len(diary.named("rollout")) == 5
    assert diary.named("finished")
    told = [record.getMessage() for record in caplog.records if "'Broken' raised" in record.getMessage()]
    assert [message.split(" raised in ")[1].split(":")[0] for message in told] == [
        "gym_run_started", "gym_rollout_finished", "gym_run_finished",
    ]  # fmt: skip
    assert all(message.startswith(__name__) for message in told)
    assert ended.summary["health"]["extensions"][0]["errors"] == 6


def test_one_that_is_stuck_does_not_hold_the_run_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()

    class Stuck:
        @hookimpl(contract=1)
        def gym_rollout_finished(self) -> None:
            free.wait(60)

    monkeypatch.setattr(extensions, "ROOM", 4)
    monkeypatch.setattr(extensions, "PATIENCE", 0.2)
    diary = Diary()
    ended = run(None, env(tasks=30), extensions=[Stuck(), diary])
    free.set()
    assert ended.statuses() == ["completed"] * 30
    assert len(diary.named("rollout")) == 30
    stuck = ended.summary["health"]["extensions"][0]
    assert stuck["dropped"] == 30
    assert any("is stuck" in record.getMessage() for record in caplog.records)


def test_a_slow_one_sees_everything_and_slows_new_rollouts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "ROOM", 4)
    waiting: list[int] = []
    wanted = config(None, env(tasks=100), concurrency=2)

    class Slow:
        seen = 0

        @hookimpl(contract=1)
        def gym_rollout_finished(self) -> None:
            threading.Event().wait(0.002)
            self.seen += 1
            waiting.append(len(finished) - self.seen)

    slow = Slow()
    wanted = config(None, env(tasks=100), concurrency=2, extensions=[slow])
    finished: list[Rollout] = []

    async def main() -> None:
        async with open_run(wanted) as running:
            await running.execute(finished.append)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert slow.seen == 100
    assert max(waiting) <= 8


def test_secrets_do_not_reach_extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    diary = Diary()
    model = ScriptedModel(BadRequestError("no such key: sk-verysecret", status=400))

    async def main() -> None:
        async with open_run(config(model, extensions=[diary]), redactor=Redactor(["sk-verysecret"])) as running:
            await running.execute()

    asyncio.run(main())
    assert "verysecret" not in repr([value.row for value in diary.named("rollout")])
    assert "***" in diary.named("model")[0].error


def test_one_that_cannot_work_refuses_the_run(tmp_path: Path) -> None:
    class Picky:
        @hookimpl(contract=1)
        def gym_extension_check(self) -> None:
            raise UsageError("the extension needs a library")

        @hookimpl(contract=1)
        def gym_run_started(self) -> None: ...

    with pytest.raises(UsageError, match="needs a library"):
        run(extensions=[Picky()], output=tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_one_that_wraps_is_refused() -> None:
    class Wrapping:
        @HookimplMarker("gym")(wrapper=True)
        def gym_run_started(self, run: RunInfo) -> Any:
            return (yield)

    with pytest.raises(PluginError, match="can only observe"):
        run(extensions=[Wrapping()])


def test_an_unknown_one_is_refused_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no extension named 'otle'.*did you mean 'otel'"):
        run(extensions=["otle"])


def test_where_nobody_listens_gates_are_the_plain_ones() -> None:
    types: list[type] = []

    class Looking(PlainSession):
        def verify(self, trajectory: Trajectory) -> float:
            return 1.0

    class Only:
        @hookimpl(contract=1)
        def gym_rollout_finished(self) -> None: ...

    async def main() -> None:
        for given in ([], [Only()], [Diary()]):
            async with open_run(config(None, env(Looking), extensions=given)) as running:
                types.append(type(running.gates["policy"]))
                assert (running.record.observers.tool_called is None) == (len(types) < 3)
                await running.execute()

    asyncio.run(main())
    assert types[:2] == [ModelGate, ModelGate]
    assert types[2] is not ModelGate


def test_events_of_a_run_that_is_interrupted_arrive() -> None:
    diary = Diary()

    async def main() -> None:
        async with open_run(
            config(ScriptedModel(lambda request, context: asyncio.sleep(60)), extensions=[diary])
        ) as running:
            working = asyncio.create_task(running.execute())
            while not running.progress.in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0)
            running.stop("enough")
            await working

    asyncio.run(asyncio.wait_for(main(), 30))
    assert diary.named("rollout")[0].status == "cancelled"
    assert diary.named("finished")[0]["state"] == "interrupted"


def test_oversight_is_silent_without_extensions(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    overseer = RunObservers(None, Redactor())
    overseer.load(PluginManager(), [])
    rollouts: list[Rollout] = []
    announce = rollouts.append

    async def main() -> None:
        overseer.start(RunInfo("r", {}), [])
        assert overseer.announcing(announce) is announce
        assert overseer.room(None) is None
        await overseer.drain()

    asyncio.run(main())
    assert caplog.records == []
    assert asyncio.run(execute(config())).statuses() == ["completed"]
