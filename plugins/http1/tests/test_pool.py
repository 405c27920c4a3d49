"""Small requests over connections that are kept."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from os import unlink
from pathlib import Path

import pytest

from gym_http1 import Failure, HttpReply, Pool, ReplyHeaders, Server, parse, request_bytes, request_head

FOREVER = float("inf")
OK = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\ncontent-length: 2\r\n\r\n{}"
Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class NoReply(Exception):
    """What the pools of these tests raise."""

    def __init__(self, failure: Failure, about: str) -> None:
        super().__init__(about)
        self.failure = failure
        self.about = about


class Listening:
    """A server at the path of a socket; it keeps what it reads."""

    def __init__(self, path: str, answer: Answer) -> None:
        self.path = path
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Listening:
        self._listener = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.answer(head, reader, writer)
        writer.close()


async def well(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if b"Content-Length: " in head:
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
    writer.write(OK)


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="p-", dir="/tmp") as folder:
        yield str(Path(folder, "s"))


def pool(keepalive: float = 30.0) -> Pool:
    return Pool(failed=NoReply, keepalive=keepalive)


def asked(method: str = "POST", body: bytes | None = b"{}") -> bytes:
    return request_bytes(method, "/x", [("Host", "localhost")], body)


def go(main: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main, 60)

    asyncio.run(bounded())


async def refused(pool: Pool, server: Server, request: bytes, seconds: float = FOREVER) -> Failure:
    with pytest.raises(NoReply) as caught:
        await pool.send(server, request, seconds, "this call")
    assert caught.value.about == "this call"
    return caught.value.failure


def test_requests_share_a_connection(path: str) -> None:
    async def main() -> None:
        async with Listening(path, well) as there:
            some = pool()
            server = some.unix_server(path)
            for method, body in (("GET", None), ("POST", b"{}"), ("DELETE", None), ("POST", None)):
                reply = await some.send(server, asked(method, body), FOREVER, "")
                assert (reply.status, reply.body) == (200, b"{}")
            assert some.unix_server(path) is server
            await some.aclose()
            await some.aclose()
        assert there.connections == 1
        assert [head.split(b" ")[0] for head in there.heads] == [b"GET", b"POST", b"DELETE", b"POST"]
        assert [b"Content-Length" in head for head in there.heads] == [False, True, False, True]
        assert isinstance(reply, HttpReply)
        assert isinstance(reply.headers, ReplyHeaders)
        assert reply.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert (reply.headers["set-cookie"], list(reply.headers.getall("other"))) == ("a=1", [])

    go(main())


def test_many_at_once_have_a_connection_each_and_old_ones_are_not_used(path: str) -> None:
    async def main() -> None:
        async with Listening(path, well) as there:
            some = pool(keepalive=0.0)
            server = some.unix_server(path)
            for _ in range(2):
                await asyncio.gather(*(some.send(server, asked(), FOREVER, "") for _ in range(20)))
            await some.aclose()
        assert there.connections == 40

    go(main())


def test_an_answer_ahead_of_the_request_ends_its_connection(path: str) -> None:
    async def early(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if there.connections == 1:
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await asyncio.Event().wait()  # it reads nothing more
        await well(head, reader, writer)

    async def main() -> None:
        async with there:
            some = pool()
            server = some.unix_server(path)
            assert (await some.send(server, asked(body=b"x" * (8 << 20)), FOREVER, "")).status == 413
            assert (await some.send(server, asked(), FOREVER, "")).status == 200
            await some.aclose()
        assert there.connections == 2

    there = Listening(path, early)
    go(main())


def test_a_failure_says_whether_anything_was_sent(path: str) -> None:
    async def gone(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def silent(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.set()
        await reader.read()

    async def main() -> None:
        some = pool()
        server = some.unix_server(path)
        assert await refused(some, server, asked()) == Failure("other", False, "No such file or directory")
        async with Listening(path, gone):
            assert await refused(some, server, asked()) == Failure("dropped", True)
        unlink(path)
        async with Listening(path, silent):
            assert await refused(some, server, asked(), 0.05) == Failure("timeout", True, None, 0.05)
            waiting.clear()
            last = asyncio.create_task(refused(some, server, asked()))
            await waiting.wait()
            await some.aclose()
            assert await last == Failure("closed", True)
            assert await refused(some, server, asked()) == Failure("closed", False)

    waiting = asyncio.Event()
    go(main())


def test_a_port_that_nobody_listens_at() -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            some = pool()
            server = some.server(parse(f"http://127.0.0.1:{free.getsockname()[1]}/"))
            assert await refused(some, server, asked()) == Failure("connect_refused", False, "connection refused")
            await some.aclose()

    go(main())


@pytest.mark.parametrize(
    ("url", "authority", "target", "port"),
    [
        ("http://Host", "host", "/", 80),
        ("https://host:443/a?b=c#d", "host", "/a?b=c", 443),
        ("http://[::1]:8000/v1/", "[::1]:8000", "/v1/", 8000),
        ("https://host:80/%2F", "host:80", "/%2F", 80),
    ],
)
def test_urls_are_taken_apart(url: str, authority: str, target: str, port: int) -> None:
    place = parse(url)
    assert (place.authority, place.target, place.port, place.credentials) == (authority, target, port, None)
    assert place.tls == url.startswith("https")


def test_credentials_in_a_url() -> None:
    assert parse("http://ann:a%20b@host/").credentials == "Basic YW5uOmEgYg=="


@pytest.mark.parametrize("url", ["", "host", "ftp://secret", "http:///secret", "http://secret:x/", "http://[secret/"])
def test_what_is_no_url_is_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https URL") as caught:
        parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b"])
def test_nothing_ends_a_line_of_the_head(name: str) -> None:
    for method, target, header in ((name, "/", "x"), ("GET", f"/{name}", "x"), ("GET", "/", name)):
        with pytest.raises(ValueError, match="line break"):
            request_head(method, target, [("X", header)])


def test_targets_are_quoted_where_they_would_not_be_one_word() -> None:
    assert request_head("GET", "/a b%20ä?c=d", []) == b"GET /a%20b%20%C3%A4?c=d HTTP/1.1\r\n"
    assert request_head("GET", "/a%2Fb", [("X", "ä")]) == "GET /a%2Fb HTTP/1.1\r\nX: ä\r\n".encode()


def test_importing_the_package_loads_no_parser() -> None:
    code = "import sys, gym_http1 as h; h.HttpReply, h.parse; print({'httptools', 'ssl'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
