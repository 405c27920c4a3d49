"""What servers may do on a connection of the httptools transport."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_openai_model.transports import HttpReply, Transport, TransportConfig, TransportError, open_transport

BODY = b'{"output": []}'
FRAMED = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Server:
    """Answers the requests of all its connections in turn, each with its chunks; None closes the connection."""

    def __init__(self, *answers: Sequence[bytes | None]) -> None:
        self._answers = iter(answers)
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                for chunk in next(self._answers):
                    if chunk is None:
                        return
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def serve(*answers: Sequence[bytes | None], then: Callable[[Transport, Server], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Server(*answers) as server, open_transport("httptools", TransportConfig(trust_env=False)) as client:
            await then(client, server)

    asyncio.run(asyncio.wait_for(main(), 60))


def replies(*answers: Sequence[bytes | None]) -> list[HttpReply]:
    found: list[HttpReply] = []

    async def then(client: Transport, server: Server) -> None:
        found.extend([await client.post(server.url, b"{}") for _ in answers])

    serve(*answers, then=then)
    return found


def refusal(*chunks: bytes | None) -> TransportError:
    with pytest.raises(TransportError) as caught:
        replies(chunks)
    return caught.value


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(cuts=st.sets(st.integers(1, 90)))
def test_a_reply_may_come_in_any_pieces(cuts: set[int]) -> None:
    whole = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\nX-Two: a\r\nX-Two: b\r\n" + FRAMED
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    (reply,) = replies([whole[start:end] for start, end in itertools.pairwise(places)])
    assert (reply.status, reply.body) == (200, BODY)
    assert (reply.headers["retry-after"], reply.headers["X-Two"]) == ("7", "a")
    assert reply.headers.get("missing") is None
    assert len(reply.headers) == len(list(reply.headers)) == 3


def test_bodies_may_be_chunked_or_end_with_their_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:5], BODY[5:])
    )
    first, second, third = replies(
        [chunked, b"0\r\nX-Trailer: 1\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n\r\n", BODY[:3], BODY[3:], None],
        [b"HTTP/1.0 200 OK\r\n" + FRAMED, None],
    )
    assert first.body == second.body == third.body == BODY


def test_interim_replies_are_passed_over() -> None:
    continued, hinted = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nx-a: 1\r\n\r\n"
    (reply,) = replies([continued, hinted, b"HTTP/1.1 201 Created\r\n" + FRAMED])
    assert (reply.status, reply.body, "x-a" in reply.headers) == (201, BODY, False)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
    ],
    ids=["gzip", "x-gzip", "deflate", "raw deflate", "identity"],
)
def test_compressed_bodies(encoding: str, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\ncontent-length: {len(body)}\r\n\r\n"
    assert replies([head.encode() + body])[0].body == BODY


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n" + FRAMED,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n" + FRAMED,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 19),
    ],
)
def test_what_is_no_http_is_told(reply: bytes) -> None:
    error = refusal(reply)
    assert error.kind == "other"
    assert "not valid HTTP" in str(error)


@pytest.mark.parametrize(
    "chunks", [(None,), (b"HTTP/1.1 200 OK\r\n", None), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", None)]
)
def test_a_connection_that_ends_too_early_is_told(chunks: tuple[bytes | None, ...]) -> None:
    assert refusal(*chunks).kind == "dropped"


@pytest.mark.parametrize(
    "more",
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + FRAMED,),
        (b"HTTP/1.1 200 OK\r\n" + FRAMED + b"HTTP/1.1 500 Mistaken\r\ncontent-length: 0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + FRAMED + b"nonsense",),
    ],
)
def test_such_a_connection_is_not_used_again(more: tuple[bytes | None, ...]) -> None:
    async def then(client: Transport, server: Server) -> None:
        first = await client.post(server.url, b"{}")
        second = await client.post(server.url, b"{}")
        assert (first.status, first.body, second.status, server.connections) == (200, BODY, 201, 2)

    serve(more, [b"HTTP/1.1 201 OK\r\n" + FRAMED], then=then)


def test_what_nobody_asked_for_is_no_reply_to_the_next_request() -> None:
    async def main() -> None:
        late, gone, connections = asyncio.Event(), asyncio.Event(), 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(b"HTTP/1.1 200 OK\r\n" + FRAMED)
            if connections == 1:
                await late.wait()
                writer.write(b"HTTP/1.1 500 Mistaken\r\ncontent-length: 0\r\n\r\n")
                await reader.read()  # until the client hangs up
                gone.set()
            writer.close()

        listener = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        async with listener, open_transport("httptools", TransportConfig(trust_env=False)) as client:
            assert (await client.post(url, b"{}")).status == 200
            late.set()
            await gone.wait()
            assert (await client.post(url, b"{}")).status == 200
        assert connections == 2

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://127.0.0.1:1/", {"X-Team": "a\r\nX-Injected: 1"}),
        ("http://127.0.0.1:99999/", {}),
        ("ftp://127.0.0.1/", {}),
        ("http:///v1", {}),
        ("nonsense", {}),
    ],
)
def test_nothing_is_sent_for_what_is_no_request(url: str, headers: dict[str, str]) -> None:
    async def main() -> TransportError:
        async with open_transport("httptools", TransportConfig(trust_env=False)) as client:
            with pytest.raises(TransportError) as caught:
                await client.post(url, b"{}", headers)
        return caught.value

    error = asyncio.run(main())
    assert error.kind == "other"
    assert "Injected" not in str(error)


def test_headers_of_a_call_replace_those_of_the_transport() -> None:
    heads: list[bytes] = []

    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n" + FRAMED)
            writer.close()

        listener = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        config, own = TransportConfig(trust_env=False), {"Authorization": "Bearer one", "X-Kept": "1"}
        async with listener, open_transport("httptools", config, own) as client:
            await client.post(f"http://127.0.0.1:{port}/a%20b?c=d%2Fe", b"{}", {"authorization": "Bearer two"})
            await client.post(f"http://ann:se%20cret@localhost:{port}/", b"{}", {"Host": "other"})

    asyncio.run(asyncio.wait_for(main(), 60))
    first, second = heads
    assert first.startswith(b"POST /a%20b?c=d%2Fe HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"authorization: Bearer two\r\n" in first
    assert b"Bearer one" not in first
    assert b"X-Kept: 1\r\n" in first
    assert b"Authorization: Bearer one\r\n" in second  # what is configured goes over what stands in a URL
    assert second.count(b"Host: ") == second.count(b"Host: other\r\n") == 1
