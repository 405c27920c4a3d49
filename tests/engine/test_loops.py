"""The event loop of commands, and the end of their process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gym_core.spi import run_loop


async def stubborn() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def test_what_ignores_its_cancellation_does_not_hold_the_end(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[Any] = []

    async def main() -> str:
        kept.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)
        return "done"

    assert run_loop(main()) == "done"
    assert "the task `stubborn` ignores that it was cancelled" in caplog.text


def test_an_asynchronous_generator_that_does_not_close_does_not_hold_the_end() -> None:
    async def endless() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await stubborn()

    kept = endless()

    async def main() -> int:
        return await anext(kept)

    assert run_loop(main()) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_task_of_a_plugin_does_not_end_the_others(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    async def leave() -> None:
        raise kind(3)

    async def main() -> str:
        task = asyncio.create_task(leave())
        for number in range(3):
            await asyncio.sleep(0.01)
            seen.append(number)
        with pytest.raises(kind):
            await task
        return "done"

    with caplog.at_level(logging.WARNING, "gym"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("signal.getsignal", lambda number: None)  # as in a command, whose handler is not Python's own
        assert run_loop(main()) == "done"
    assert seen == [0, 1, 2]
    assert f"a task that a plugin has started raised {kind.__name__}: 3" in caplog.text


def test_what_tasks_do_at_their_end_is_done() -> None:
    ends: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ends.append("tidy")

    async def main() -> None:
        ends.extend([])
        asyncio.create_task(tidy())  # noqa: RUF006
        await asyncio.sleep(0)

    run_loop(main())
    assert ends == ["tidy"]


@pytest.mark.parametrize("how", ["executor", "thread"])
def test_a_thread_that_never_ends_does_not_hold_the_process(how: str) -> None:
    code = f"""
import asyncio, threading
from gym_core.engine.exit import leave
from gym_core.spi import run_loop

async def main():
    if {how!r} == "executor":
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    else:
        threading.Thread(target=threading.Event().wait, name="endless").start()
    print("done", flush=True)

run_loop(main())
leave(3, 0.2)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (3, "done\n"), ended.stderr
    assert "the process is ended with threads at work: " in ended.stderr
