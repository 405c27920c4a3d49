"""Code that is loaded in a thread: in a bounded time, and beside an event loop that goes on."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from gym_core import UsageError
from gym_core.spi import load_in_thread


@pytest.fixture
def free() -> Iterator[threading.Event]:
    """What code waits for that hangs; it is set in the end."""
    event = threading.Event()
    yield event
    event.set()


def test_the_event_loop_goes_on_while_code_is_loaded(free: threading.Event) -> None:
    def load(name: str) -> str:
        assert free.wait(30)
        return name

    async def run() -> str:
        asyncio.get_running_loop().call_soon(free.set)
        return await load_in_thread("x:y", load, "loaded")

    assert asyncio.run(run()) == "loaded"


def test_what_does_not_load_in_time_is_one_line_that_says_where_it_is(free: threading.Event) -> None:
    with pytest.raises(UsageError, match=r"^x:y did not load within 0\.05 s: it is in `wait` of threading") as told:
        asyncio.run(load_in_thread("x:y", free.wait, 60, seconds=0.05))
    assert told.value.hint == "-E loading=SECONDS gives it longer"


def test_what_waits_for_a_host_names_it(free: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: free.wait(60))
    address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: address)
    with pytest.raises(UsageError, match=r"did not load within 0\.05 s: it waits for data\.example"):
        asyncio.run(load_in_thread("x:y", socket.create_connection, ("data.example", 80), seconds=0.05))


def test_a_time_out_of_the_code_itself_is_its_own() -> None:
    def load() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        asyncio.run(load_in_thread("x:y", load))


def test_a_run_that_is_ended_does_not_wait_for_what_it_loads(free: threading.Event) -> None:
    begun = threading.Event()

    def load() -> None:
        begun.set()
        free.wait(60)

    async def run() -> None:
        loading = asyncio.ensure_future(load_in_thread("x:y", load))
        assert await asyncio.to_thread(begun.wait, 30)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading

    asyncio.run(run())


def test_code_that_sets_handlers_and_asks_for_a_loop_gets_no_error_and_sets_none() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def load() -> bool:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return asyncio.get_event_loop() is not None

    assert asyncio.run(load_in_thread("x:y", load)) is True
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_loads_at_once_leave_signals_as_they_were() -> None:
    before, first_in, second_in, first_out = signal.signal, threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        first_in.set()
        second_in.wait(10)

    def second() -> None:
        first_in.wait(10)
        second_in.set()
        first_out.wait(10)

    async def both() -> None:
        later = asyncio.create_task(load_in_thread("x:second", second))
        await load_in_thread("x:first", first)
        first_out.set()
        await later

    asyncio.run(both())
    assert signal.signal is before
