"""What goes through a proxy, and what nobody answers."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec

import pytest

from gym_http.protocol.client import BROKEN, INTERRUPTED, TOO_LONG, UNREACHABLE, Client
from gym_http.protocol.errors import RemoteError

OK = b'HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b="2"; Max-Age=0\r\ncontent-length: 8\r\n\r\n'


class Answering:
    """Answers every request with the same bytes and keeps their heads."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[str] = []

    async def __aenter__(self) -> Answering:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while self.answer:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                if "ontent-" in head:
                    await reader.readexactly(int(head.lower().partition("content-length: ")[2].split("\r\n")[0]))
                writer.write(self.answer)
        writer.close()


def go(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 60)

    asyncio.run(bounded())


async def refused(client: Client) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        await client.post("/x", {})
    return caught.value


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    for name in ("HTTP_PROXY", "http_proxy", "no_proxy", "NO_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return lambda url: monkeypatch.setenv("http_proxy", url)


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
def test_requests_are_the_same_with_and_without_a_proxy(proxy: Callable[[str], None], proxied: bool) -> None:
    async def main() -> None:
        async with Answering(OK + b'{"a": 1}') as server:
            base = f"http://127.0.0.1:{server.port}"
            if proxied:
                proxy(base)
                base = "http://far.example"
            async with Client(f"{base}/v1", token="t") as client:
                reply = await client.post("/x", {"b": 2}, headers={"Cookie": "c=3", "X-Two": "z"})
                assert (reply.status, reply.object()) == (200, {"a": 1})
                assert (reply.cookies, reply.where) == ({"a": "1", "b": ""}, f"POST {base}/v1/x")
                assert (await client.get("/y", token="other")).ok
        first, second = ({line.lower() for line in head.split("\r\n")} for head in server.heads)
        assert server.heads[0].startswith(f"POST {base if proxied else ''}/v1/x HTTP/1.1\r\n")
        assert {f"host: {base[7:]}", "user-agent: gym", "accept: */*", "x-two: z", "cookie: c=3"} <= first
        assert {"authorization: bearer t", "content-type: application/json", "content-length: 7"} <= first
        assert "authorization: bearer other" in second
        assert not any(line.startswith(("cookie", "content-")) for line in second)

    go(main)


@pytest.mark.parametrize(
    ("proxied", "answer", "code", "words"),
    [
        (False, b"", INTERRUPTED, "the connection broke"),
        (True, b"", INTERRUPTED, "the connection broke"),
        (False, b"SSH-2.0-OpenSSH_9.2\r\n", BROKEN, "not valid HTTP"),
    ],
)
def test_answers_that_are_none(
    proxy: Callable[[str], None], proxied: bool, answer: bytes, code: str, words: str
) -> None:
    async def main() -> None:
        async with Answering(answer) as server:
            base = f"http://127.0.0.1:{server.port}"
            if proxied:
                proxy(base)
                base = "http://far.example"
            async with Client(base) as client:
                error = await refused(client)
        assert (error.code, words in error.message) == (code, True)

    go(main)


@pytest.mark.parametrize("scheme", ["http", "gopher"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(proxy: Callable[[str], None], scheme: str) -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            proxy(f"{scheme}://ann:secret@127.0.0.1:{free.getsockname()[1]}")
            with pytest.raises(RemoteError, match="proxy cannot be used") as caught:
                async with Client("http://far.example") as client:
                    await client.get("/")
        assert caught.value.code == UNREACHABLE
        assert "secret" not in repr(caught.value) + caught.value.hint

    go(main)


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
@pytest.mark.parametrize("packed", [False, True], ids=["as it comes", "decompressed"])
def test_an_answer_is_read_as_far_as_is_allowed(proxy: Callable[[str], None], proxied: bool, packed: bool) -> None:
    body, coding = (gzip.compress(b" " * (8 << 20)), "gzip") if packed else (b" " * (2 << 20), "identity")
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"

    async def main() -> None:
        async with Answering(head.encode() + body) as server:
            base = f"http://127.0.0.1:{server.port}"
            if proxied:
                proxy(base)
                base = "http://far.example"
            async with Client(base, max_reply_mb=1) as client:
                error = await refused(client)
        assert (error.code, "longer than 1 MB" in error.message, "max_reply_mb" in error.hint) == (TOO_LONG, True, True)

    go(main)


def test_a_proxy_that_asks_for_a_login_is_told(proxy: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with Answering(b"HTTP/1.1 407 Log in\r\ncontent-length: 0\r\n\r\n") as server:
            monkeypatch.setenv("https_proxy", f"http://ann:secret@127.0.0.1:{server.port}")
            async with Client("https://far.example") as client:
                error = await refused(client)
        assert (error.code, "it answered 407" in error.message) == (UNREACHABLE, True)
        assert "secret" not in str(error)

    go(main)


def test_a_socks_proxy_names_what_it_needs(proxy: Callable[[str], None]) -> None:
    async def main() -> None:
        proxy("socks5://127.0.0.1:1080")
        with pytest.raises(RemoteError, match="socksio"):
            async with Client("http://far.example"):
                pass

    if find_spec("socksio"):
        pytest.skip("socksio is installed")
    go(main)


def test_nobody_there(proxy: Callable[[str], None]) -> None:
    async def main() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
            async with Client(url) as client:
                error = await refused(client)
                assert (error.code, error.message) == (UNREACHABLE, f"nobody answers at {url}: connection refused")
                with pytest.raises(RemoteError, match="line break"):
                    await client.get("/", headers={"X": "a\r\nY: b"})

    go(main)
