"""Functions in processes of their own, and functions in threads that never return."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from gym_core import Session, Status, Trajectory, blocking, isolated
from gym_core.spi import run_rollout
from tests.support.envs import PlainSession, ask
from tests.support.isolated import Dying, Explaining, Hanging, Helped, Pure, Raising, Tools, Unpicklable
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel, call
from tests.support.processes import alive
from tests.support.running import rollout, stage

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


async def gone(*pids: int) -> None:
    while any(map(alive, pids)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def test_an_isolated_function_judges_in_another_process(capfd: pytest.CaptureFixture[str]) -> None:
    ended = rollout(session=Pure, task=ask(pid=os.getpid()))
    assert ended.error is None
    assert ended.reward == 1.0
    assert "stray" in capfd.readouterr().err


@asynchronous
async def test_processes_are_used_again() -> None:
    made = stage(ScriptedModel(), Pure)
    for number in range(3):
        assert (await run_rollout(made, ask(number, pid=os.getpid()))).reward == 1.0
    processes = made.executor._processes
    assert processes is not None
    (process,) = processes._all
    made.executor.close()
    await gone(process.child.pid)


@asynchronous
async def test_a_deadline_ends_the_process_and_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "note"
    made = stage(ScriptedModel(), Hanging, verify=4.0)
    ended = await run_rollout(made, ask(note=str(note)))
    assert ended.status is Status.TIMED_OUT
    assert ended.error is not None
    assert ended.error["phase"] == "verify"
    await gone(*map(int, note.read_text().split()))
    made.executor.close()


@asynchronous
async def test_a_cancellation_ends_the_process(tmp_path: Path) -> None:
    note = tmp_path / "note"
    made = stage(ScriptedModel(), Hanging)
    running = asyncio.create_task(run_rollout(made, ask(note=str(note))))
    while not note.exists() or not note.read_text().endswith("\n"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(*map(int, note.read_text().split()))
    made.executor.close()


@pytest.mark.parametrize(("how", "said"), [("signal", "SIGSEGV"), ("exit", "exit code 7")])
def test_a_process_that_dies_is_an_error_with_its_exit_code(how: str, said: str) -> None:
    ended = rollout(session=Dying, task=ask(how=how))
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert (ended.error["class"], said in ended.error["message"]) == ("ProcessDied", True)


@pytest.mark.parametrize(
    ("how", "cls", "said"),
    [
        ("raise", "ValueError", "a bad answer"),
        ("exit", "SystemExit", "3"),
        ("models", "UsageError", "models"),
    ],
)
def test_what_an_isolated_function_raises_comes_back(how: str, cls: str, said: str) -> None:
    ended = rollout(session=Raising, task=ask(how=how))
    assert ended.error is not None
    assert (ended.error["class"], ended.error["phase"]) == (cls, "verify")
    assert said in ended.error["message"]
    assert "in verify" in ended.error["causes"][0]  # the traceback over there


def test_what_cannot_be_pickled_is_named() -> None:
    ended = rollout(session=Unpicklable)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert "Unpicklable.verify cannot be sent to a process" in ended.error["message"]
    assert "lock" in ended.error["message"]


@asynchronous
async def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = textwrap.dedent(
        f"""
        import asyncio, os, sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from tests.support.envs import ask
        from tests.support.isolated import Hanging
        from tests.support.models import ScriptedModel
        from tests.support.running import stage
        from gym_core.spi import run_rollout

        async def main():
            note = Path({str(note)!r})
            running = asyncio.ensure_future(run_rollout(stage(ScriptedModel(), Hanging), ask(note=str(note))))
            while not note.exists() or not note.read_text().endswith("\\n"):
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), 9)

        asyncio.run(main())
        """
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await killed.wait() == -9
    await gone(*map(int, note.read_text().split()))


def test_a_function_of_the_script_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pure.verify, "__module__", "__main__")
    ended = rollout(session=Pure, task=ask(pid=0))
    assert ended.error is not None
    assert "move it into a module" in ended.error["message"]


def test_an_isolated_function_is_no_coroutine() -> None:
    with pytest.raises(TypeError, match="neither blocking nor isolated"):

        @isolated
        async def verify(self: Any, trajectory: Trajectory) -> float:
            return 1.0


def test_isolated_tools_answer_and_one_that_dies_answers_with_an_error() -> None:
    model = ScriptedModel(call("add", {"a": 2, "b": 3}), call("crash"), call("add", {"a": 4, "b": 5}), "done")
    ended = rollout(model, Tools)
    assert ended.reward == 1.0
    first, second, third = model.outputs()[-1], None, None
    outputs = [item["output"] for item in model.requests[-1].input if item.get("type") == "function_call_output"]
    first, second, third = outputs
    assert (first, third) == ("5", "9")
    assert "exit code 9" in second


def test_what_cannot_be_pickled_comes_as_the_json_that_it_is() -> None:
    model = ScriptedModel(call("count", {"to": 3}), "done")
    rollout(model, Tools)
    assert model.requests[-1].input[-1]["output"] == "[0,1,2]"
    assert rollout(session=Explaining).info == {"steps": ["a", "b"]}


def test_a_tool_has_its_own_deadline() -> None:
    ended = rollout(ScriptedModel(call("hang"), "done"), Tools)
    assert ended.status is Status.TIMED_OUT
    assert ended.error is not None
    assert ended.error["phase"] == "tool"


def test_hung_threads_take_no_slot_from_others() -> None:
    release = threading.Event()

    class Stuck(PlainSession):
        @blocking
        def verify(self, trajectory: Trajectory) -> Any:
            if self.task["stuck"]:
                release.wait(60)
            return 1.0

    async def main() -> list[Status]:
        from gym_core.spi import Executor

        made = stage(ScriptedModel(), Stuck, verify=0.1)
        object.__setattr__(made, "executor", Executor(threads=2))
        tasks = [ask(number, stuck=number < 4) for number in range(6)]
        ended = [await run_rollout(made, task) for task in tasks]
        made.executor.close()
        return [rollout.status for rollout in ended]

    assert asyncio.run(main()) == [Status.TIMED_OUT] * 4 + [Status.COMPLETED] * 2
    release.set()


def test_a_blocking_function_that_exits_is_an_error_of_its_rollout() -> None:
    class Leaving(Session[Any]):
        @blocking
        def verify(self, trajectory: Trajectory) -> float:
            sys.exit(3)

    ended = rollout(session=Leaving)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert (ended.error["class"], ended.error["message"]) == ("SystemExit", "3")


def test_hung_threads_do_not_hold_up_the_exit() -> None:
    program = textwrap.dedent(
        """
        import asyncio, threading
        from gym_core.engine.functions.threads import Threads

        async def main():
            threads = Threads("stuck")
            calls = [asyncio.ensure_future(threads.call(threading.Event().wait)) for _ in range(50)]
            await asyncio.wait(calls, timeout=0.1)
            for call in calls:
                call.cancel()
            threads.close()

        asyncio.run(main())
        print("over")
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "over\n"


@pytest.mark.parametrize("how", ["result", "default", "raises"])
def test_a_session_has_functions_called_in_processes_of_their_own(how: str) -> None:
    ended = rollout(session=Helped, task=ask(how=how))
    assert ended.error is None
    assert ended.reward == 1.0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("late", "the isolated function sleep did not end within 0.3 s"),
        ("dead", "the process of the isolated function die died"),
        ("lambda", "cannot be sent to a process"),
    ],
)
def test_one_without_a_default_fails_as_the_verifier_does(how: str, said: str) -> None:
    ended = rollout(session=Helped, task=ask(how=how))
    assert ended.status is Status.VERIFIER_ERROR
    assert said in (ended.error or {})["message"]


def test_the_bound_of_the_verifier_goes_over_that_of_a_function() -> None:
    ended = rollout(session=Helped, task=ask(how="late"), verify=0.1)
    assert ended.status is Status.TIMED_OUT
    assert (ended.error or {})["phase"] == "verify"
