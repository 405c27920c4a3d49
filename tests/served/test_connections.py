"""Clients that owe something, read nothing, or come in numbers: each is bounded, and others are answered meanwhile."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gym_http.serve.connections import ConnectionLimits
from gym_http.serve.http_protocol import MOST_HEAD, MOST_HEADERS
from gym_testing import Served
from tests.served.environments import Anything
from tests.served.wire import Wire, parse, read, read_all

SOON = ConnectionLimits(seconds=0.4)
HOST = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
OPENING = b'{"task": {"row": {"responses_create_params": {"input": "x"}}}}'


@contextlib.contextmanager
def served(limits: ConnectionLimits = SOON, **settings: Any) -> Iterator[Wire]:
    with Served(Anything, connections=limits, **settings) as server:
        wire = Wire(server.url)
        yield wire
        assert wire.ask("GET", "/health").status == 200


def ended(connection: socket.socket) -> bytes:
    """What comes until the other end closes, without anything more being sent."""
    connection.settimeout(60)
    return read_all(connection)


@pytest.mark.parametrize("begin", [b"", b"\r\n", b"G", b"GET /health HTTP/1.1\r\nHost: x\r\nX: "])
def test_a_head_that_does_not_come_ends_the_connection(begin: bytes) -> None:
    with served() as wire, wire.connect() as connection:
        connection.sendall(begin)
        answer = ended(connection)
        if begin.strip():
            assert (parse(answer).status, parse(answer).error["code"]) == (408, "request_timeout")
            assert parse(answer).error["retryable"] is True
        else:
            assert answer == b""


@pytest.mark.parametrize("begin", [b"\r\n", b"GET /he"])
def test_nor_is_a_second_head_waited_for(begin: bytes) -> None:
    with served() as wire, wire.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert read(connection).status == 200
        connection.sendall(begin)
        ended(connection)


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_does_not_come_is_answered_408(framing: bytes) -> None:
    with served() as wire, wire.connect() as connection:
        connection.sendall(b"POST /v1/sessions HTTP/1.1\r\n" + HOST + framing + b"\r\n")
        answer = parse(ended(connection))
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for_without_end() -> None:
    with served(token="a-token") as wire, wire.connect() as connection:
        connection.sendall(b"POST /v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        assert parse(ended(connection)).status == 401


def test_a_call_that_takes_longer_than_a_client_may_is_not_ended() -> None:
    class Slow(Anything):
        def tasks(self) -> Any:
            import time

            time.sleep(1.5)
            return super().tasks()

    with Served(Slow, connections=ConnectionLimits(seconds=0.2)) as server:
        assert Wire(server.url).ask("GET", "/v1/tasks").status == 200


def test_an_answer_that_nobody_reads_is_dropped() -> None:
    text = b"x" * 4_000_000
    with served() as wire:
        opened = wire.ask("POST", "/v1/sessions", OPENING).json
        call = b'{"arguments": {"text": "' + text + b'"}}'
        path = f"/v1/sessions/{opened['id']}/tools/say"
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(wire.address)
            head = wire.head("POST", path, f"Authorization: Bearer {opened['tool_token']}", length=len(call))
            connection.sendall(head + call)
            connection.settimeout(60)
            connection.recv(1)
            # nothing more is read until the server has given the connection up, which ends a write to it
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"x")
                    wire.ask("GET", "/health")


def test_more_headers_than_anybody_sends_are_refused() -> None:
    with served() as wire:
        for count, status in ((MOST_HEADERS - 10, 200), (MOST_HEADERS + 1, 431)):
            assert wire.ask("GET", "/health", None, *(f"X-{number}: 1" for number in range(count))).status == status
        assert wire.exchange(wire.head("GET", "/health", *["A: b"] * (MOST_HEADERS + 1))).error["code"] == "too_large"


def test_what_stands_around_a_body_is_bounded() -> None:
    with served(ConnectionLimits()) as wire, wire.connect() as connection:
        head = b"POST /v1/sessions HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;"
        with contextlib.suppress(ConnectionError):
            connection.sendall(head + b"a" * (2 * MOST_HEAD))
            connection.sendall(b"a" * (8 * MOST_HEAD))
        assert b"what stands around the body" in read_all(connection)


def test_headers_after_a_body_open_nothing() -> None:
    with served(ConnectionLimits(), token="a-token") as wire:
        trailer = b"1\r\n{\r\n0\r\nAuthorization: Bearer a-token\r\n\r\n"
        head = b"POST /v1/sessions HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        assert wire.exchange(head + trailer).status == 401


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nX"])
def test_connections_that_ask_nothing_make_way(begin: bytes) -> None:
    limits = ConnectionLimits(connections=20)
    with served(limits) as wire, contextlib.ExitStack() as held:
        for _ in range(60):
            held.enter_context(wire.connect()).sendall(begin)
            assert wire.ask("GET", "/health").status == 200


def test_a_connection_that_was_used_before_makes_way_too() -> None:
    with served(ConnectionLimits(connections=5)) as wire, contextlib.ExitStack() as held:
        for _ in range(20):
            idle = held.enter_context(wire.connect())
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert read(idle).status == 200


@pytest.mark.parametrize("limits", [ConnectionLimits(connections=3), ConnectionLimits(per_client=3)])
def test_one_that_is_answered_does_not_and_the_next_is_refused(limits: ConnectionLimits) -> None:
    begun = b"POST /v1/sessions HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with served(limits) as wire, contextlib.ExitStack() as held:
        connections = [held.enter_context(wire.connect()) for _ in range(3)]
        for connection in connections:
            connection.sendall(begun % len(OPENING))
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        with wire.connect() as another:
            refused = parse(read_all(another))
        assert (refused.status, refused.error["code"]) == (503, "too_many_connections")
        assert refused.headers["retry-after"]
        assert refused.error["retryable"] is True
        for connection in connections:
            connection.sendall(OPENING)
            assert read(connection).status == 201


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on open files")
def test_with_few_files_left_silent_connections_shut_nobody_out() -> None:
    command = f"ulimit -n 200; exec {sys.executable} -m gym_core serve --env simple_weather --port 0"
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        try:
            wire = Wire(server.stdout.readline().decode().split()[-1])
            with contextlib.ExitStack() as held:
                for number in range(260):
                    held.enter_context(wire.connect())
                    if number % 20 == 0:
                        assert wire.ask("GET", "/health").status == 200
        finally:
            server.terminate()
