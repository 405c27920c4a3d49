"""Replies of every shape, in any pieces: the httptools transport reads them as aiohttp does."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_openai_model.transports import TransportConfig, TransportError, TransportName, open_transport

BODIES = (b"", b"{}", b'{"output": []}', b'{"text": "' + b"long " * 300 + b'"}')
READ = ("retry-after", "content-type", "x-two", "x-ratelimit-reset-tokens")
OK = b"HTTP/1.1 201 OK\r\ncontent-length: 4\r\n\r\nnext"


def zipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


class Served:
    """Answers each connection's first request with some pieces and closes; further connections with `OK`."""

    def __init__(self, pieces: list[bytes], *, closes: bool = True) -> None:
        self._pieces = pieces
        self._closes = closes
        self.connections = 0

    async def __aenter__(self) -> Served:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        pieces = self._pieces if self.connections == 1 else [OK]
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self._closes:
                    break
                pieces = [OK]
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def read(name: TransportName, pieces: list[bytes]) -> Any:
    """Status, the headers that are looked at, and body; None for an error."""
    async with Served(pieces) as served, open_transport(name, TransportConfig(trust_env=False)) as client:
        try:
            reply = await client.post(served.url, b"{}", None, 30)
        except TransportError:
            return None
        return reply.status, [reply.headers.get(name) for name in READ], reply.body


def run(main: Any) -> Any:
    return asyncio.run(asyncio.wait_for(main, 60))


def cased(name: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([name, name.lower(), name.upper()])


@dataclass
class Made:
    whole: bytes
    packed: bool


@st.composite
def replies(draw: st.DrawFn) -> Made:
    interim = [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nretry-after: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\ncontent-type: text/html\r\nLink: </a>\r\n\r\n",
    ]
    before = b"".join(draw(st.lists(st.sampled_from(interim), max_size=3)))
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 404, 429, 500, 503]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    fields = [
        (draw(cased(b"Retry-After")), b"7"),
        (draw(cased(b"Content-Type")), b"application/json"),
        (b"X-Two", b"a"),
        (b"X-Two", b"b"),
        (b"x-ratelimit-reset-tokens", draw(st.sampled_from([b" 6m0s ", b"", b"\t1s"]))),
        (b"X-Folded", draw(st.sampled_from([b"a", b"a\r\n b"]))),
    ]
    connection = draw(st.sampled_from([None, b"close", b"Close", b"keep-alive", b"x, CLOSE", b"Keep-Alive, x"]))
    if connection is not None:
        fields.append((draw(cased(b"Connection")), connection))
    body = draw(st.sampled_from(BODIES))
    coding = draw(st.sampled_from([None, None, b"identity", b"gzip", b"members", b"deflate", b"raw"]))
    packed = coding not in (None, b"identity")
    if packed:
        half = len(body) // 2
        body, coding = {
            b"gzip": (zipped(body), b"gzip"),
            b"members": (zipped(body[:half]) + zipped(body[half:]), b"gzip"),
            b"deflate": (zlib.compress(body), b"deflate"),
            b"raw": (zlib.compress(body, wbits=-15), b"deflate"),
        }[coding or b""]
    if coding:
        fields.append((draw(cased(b"Content-Encoding")), draw(st.sampled_from([coding, coding.upper()]))))
    framing = draw(st.sampled_from(["length", "length", "chunked", "close"]))
    if status in (204, 304):
        body, framing = b"", "close"
    if framing == "length":
        fields.append((draw(cased(b"Content-Length")), b"%d" % len(body)))
    if framing == "chunked" and version == b"1.1":
        fields.append((draw(cased(b"Transfer-Encoding")), draw(st.sampled_from([b"chunked", b"Chunked"]))))
        cut = draw(st.integers(0, len(body)))
        extension = draw(st.sampled_from([b"", b";a=b", b';a="c d"']))
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in (body[:cut], body[cut:]) if part)
        body += b"0\r\n" + draw(st.sampled_from([b"", b"X-Trailer: 1\r\nretry-after: 9\r\n"])) + b"\r\n"
    head = b"HTTP/%b %d Reason\r\n" % (version, status) + b"".join(b"%b: %b\r\n" % field for field in fields)
    return Made(before + head + b"\r\n" + body, packed)


def pieces(whole: bytes, cuts: set[int]) -> list[bytes]:
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(made=replies(), cuts=st.sets(st.integers(1, 900), max_size=12))
def test_any_reply_is_read_as_aiohttp_reads_it(made: Made, cuts: set[int]) -> None:
    parts = pieces(made.whole, cuts)
    ours = run(read("httptools", parts))
    assert ours == run(read("aiohttp", parts))
    assert ours is not None


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(made=replies().filter(lambda made: not made.packed), end=st.integers(0, 2000))
def test_a_reply_that_is_cut_off_is_one_for_both_or_for_neither(made: Made, end: int) -> None:
    cut = [made.whole[:end]]
    assert run(read("httptools", cut)) == run(read("aiohttp", cut))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    data=st.binary(max_size=200)
    | st.tuples(replies(), st.integers(0, 2000), st.binary(max_size=9), st.integers(0, 40)).map(
        lambda drawn: drawn[0].whole[: drawn[1]] + drawn[2] + drawn[0].whole[drawn[1] + drawn[3] :]
    )
)
def test_whatever_comes_is_a_reply_or_an_error(data: bytes) -> None:
    reported: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        await read("httptools", [data])

    run(main())
    assert reported == []


@pytest.mark.parametrize(
    "more",
    [
        b"H",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 500 Mistaken\r\ncontent-length: 9\r\n\r\nhalf",
        b"\0",
        b"{}",
    ],
)
def test_what_follows_a_reply_ends_its_connection(more: bytes) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" + more

    async def main() -> None:
        async with (
            Served([whole], closes=False) as served,
            open_transport("httptools", TransportConfig(trust_env=False)) as client,
        ):
            first = await client.post(served.url, b"{}")
            second = await client.post(served.url, b"{}")
            assert (first.status, first.body, second.status, second.body) == (200, b"{}", 201, b"next")
            assert served.connections == 2

    run(main())


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints\r\nContent-Length: 9"])
def test_a_reply_in_the_segment_of_an_interim_one_keeps_its_own_head(interim: bytes) -> None:
    packed = zipped(b'{"error": {}}')
    head = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    assert run(read("httptools", [b"HTTP/1.1 %b\r\n\r\n" % interim * 2 + head + packed])) == (
        429,
        ["7", None, None, None],
        b'{"error": {}}',
    )
    assert run(read("httptools", [b"HTTP/1.1 %b\r\n\r\n" % interim + head + packed[:5]])) is None


def test_many_empty_lines_and_interim_replies_cost_no_more_than_their_bytes() -> None:
    head = b"HTTP/1.1 200 OK\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\n{}"
    before = b"\r\n" * 500_000 + b"HTTP/1.1 102 Processing\r\n\r\n" * 40_000
    assert run(read("httptools", [before + head])) == (200, ["7", None, None, None], b"{}")


@pytest.mark.parametrize("size", [200_000, 300_000])
def test_a_head_is_too_long_however_it_comes(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nx-note: %b\r\ncontent-length: 2\r\n\r\n{}" % (b"a" * size)
    for parts in ([whole], [whole[:100], whole[100:]]):
        reply = run(read("httptools", parts))
        assert (reply is not None and reply[2] == b"{}") == (size < 1 << 18)


@pytest.mark.parametrize(
    ("fields", "body", "found"),
    [
        (b"content-encoding: gzip", b"", b""),
        (b"content-encoding: gzip", zipped(b"a") + zipped(b"b") + zipped(b""), b"ab"),
        (b"content-encoding: gzip", zipped(b"a") + b"\0\0", b"a"),
        (b"content-encoding: deflate, gzip", zipped(zlib.compress(b"a")), b"a"),
        (b"content-encoding: gzip\r\ncontent-encoding: identity", zipped(b"a"), b"a"),
        (b"content-encoding: utf-8", b"a", b"a"),
        (b"x-note: content-encoding", b"a", b"a"),
        (b"content-encoding: gzip", zipped(b"a")[:-1], None),
        (b"content-encoding: br", b"a", None),
        (b"content-encoding: zstd", b"\x28\xb5\x2f\xfd", None),
    ],
    ids=[f"{number}" for number in range(10)],
)
def test_compressed_bodies_of_every_kind(fields: bytes, body: bytes, found: bytes | None) -> None:
    reply = run(
        read("httptools", [b"HTTP/1.1 401 No\r\n%b\r\ncontent-length: %d\r\n\r\n%b" % (fields, len(body), body)])
    )
    assert (None if reply is None else (reply[0], reply[2])) == (None if found is None else (401, found))


@pytest.mark.parametrize("head", [b"", b"Upgrade: websocket\r\nConnection: upgrade\r\n"])
def test_a_protocol_that_nobody_asked_for_is_refused(head: bytes) -> None:
    whole = b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n\x81\x05hello" % head

    async def main() -> None:
        async with (
            Served([whole], closes=False) as served,
            open_transport("httptools", TransportConfig(trust_env=False)) as client,
        ):
            with pytest.raises(TransportError, match="status 101"):
                await client.post(served.url, b"{}")
            assert (await client.post(served.url, b"{}")).status == 201
            assert served.connections == 2

    run(main())
