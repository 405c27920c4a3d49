"""Whatever a server sends, a call ends, brings the body that was sent or none, and leaves no connection behind."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import h11
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from gym_http1 import Failure, HttpReply, Pool, Server, parse, request_bytes

MOST = 4096
"""Bytes that are read of a body here."""
PATIENCE = 20.0
"""Seconds after which a call hangs that should have ended."""
SHORT = 0.05
"""Seconds of calls that nobody answers."""
End = Literal["stays", "closes", "resets"]
WORDS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b";",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"\x16\x03\x01",
        b"x" * 5000,
    ),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/2 200\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: 99999999999999999999\r\n", b"content-length: -1\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: chunked, gzip\r\n"),
    *(b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Connection: close\r\n", b"X-Folded: a\r\n\tb\r\n"),
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
]
"""What is put where it does not belong."""


class NoReply(Exception):
    """What the pools of these tests raise."""

    def __init__(self, failure: Failure, about: str) -> None:
        super().__init__(about, failure)
        self.failure = failure


@dataclass
class Play:
    """What a server does with a request: the pieces that it writes, and what becomes of the connection."""

    pieces: list[bytes]
    end: End = "stays"


@dataclass
class Stage:
    """A server that treats each request as `play` says for its path. `open`: its connections."""

    play: Callable[[bytes], Play]
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    waiting: int = 0

    async def __aenter__(self) -> Stage:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while True:
                play = self.play((await reader.readuntil(b"\r\n\r\n{}")).split(b" ")[1])
                self.waiting += not play.pieces
                for piece in play.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if play.end == "resets":
                    writer.transport.abort()
                if play.end != "stays":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open.discard(writer)

    async def until(self, ready: Callable[[Stage], bool]) -> None:
        """Wait for something of which it is known that it comes."""
        async with asyncio.timeout(PATIENCE):
            while not ready(self):  # noqa: ASYNC110 - it changes in more places than one
                await asyncio.sleep(0.001)

    async def left(self) -> None:
        """Wait until every connection has been closed."""
        await self.until(lambda stage: not stage.open)


def framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def pool() -> Pool:
    return Pool(failed=NoReply, max_reply=MOST)


def server(pool: Pool, stage: Stage) -> Server:
    return pool.server(parse(stage.url))


async def call(pool: Pool, stage: Stage, path: str, seconds: float = PATIENCE) -> HttpReply | Failure:
    """A call. It is an error of the test that it does not end."""
    request = request_bytes("POST", path, [("Host", "localhost")], b"{}")
    async with asyncio.timeout(seconds + PATIENCE):
        try:
            reply = await pool.send(server(pool, stage), request, seconds, path)
        except NoReply as error:
            return error.failure
    assert all(isinstance(value, str) for value in dict(reply.headers).values())
    assert len(reply.body) <= MOST
    return reply


def result(play: Play, runner: asyncio.Runner, seconds: float = PATIENCE) -> HttpReply | Failure:
    """What a call finds. The one after it finds its own reply, and no connection is left in the end."""

    async def main() -> HttpReply | Failure:
        async with Stage(lambda path: play if path == b"/" else Play([framed(path)])) as stage:
            some = pool()
            found = await call(some, stage, "/", seconds)
            if isinstance(found, Failure):
                assert found.kind != "timeout" or play.end == "stays", "what ends a connection ends its call"
                await stage.left()
            after = await call(some, stage, "/after")
            if after == Failure("dropped", sent=True) and play.end != "stays":  # closed in that very moment
                after = await call(some, stage, "/after")
            assert isinstance(after, HttpReply), after
            assert after.body == b"/after", "the reply to another request"
            assert len(stage.open) <= 1
            await some.aclose()
            await stage.left()
            return found

    return runner.run(main())


@dataclass
class Made:
    """A reply as servers may send it, and what is to be read of it: None where its body is too long."""

    wire: bytes
    status: int
    body: bytes | None
    ends_with_connection: bool = False


@st.composite
def replies(draw: st.DrawFn) -> Made:
    known = [b"{}", b'{"output": []}', b"x" * MOST, b"x" * (MOST + 1), framed(b"no"), b"0\r\n\r\n"]
    body = draw(st.binary(max_size=64) | st.sampled_from(known))
    status = draw(st.sampled_from([200, 201, 204, 304, 400, 429, 500]))
    framing = draw(st.sampled_from(["length", "chunked", "connection"]))
    if status in (204, 304):
        body, framing = b"", "none"
    wanted = body if len(body) <= MOST else None
    fields = [draw(st.sampled_from([b"X-One: 1", b"x-two:2", b"X-Three:\t3 ", b"X-Four:", b"X-Folded: a\r\n b"]))]
    packing = draw(st.sampled_from([b"", b"", b"gzip", b"deflate"]))
    if packing and framing != "none":
        body = gzip.compress(body, mtime=0) if packing == b"gzip" else zlib.compress(body)
        fields.append(b"Content-Encoding: " + packing)
        wanted = wanted if len(body) <= MOST else None
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    if framing == "chunked":
        fields.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:Chunked "])))
        cuts = sorted({0, len(body), *draw(st.sets(st.integers(0, len(body)), max_size=3))})
        extension, trailer = draw(st.sampled_from([(b"", b""), (b";a=b", b""), (b"", b"X-Trailer: 1\r\n")]))
        chunks = [b"%x%b\r\n%b\r\n" % (end - at, extension, body[at:end]) for at, end in itertools.pairwise(cuts)]
        body = b"".join([*chunks, b"0\r\n", trailer, b"\r\n"])
    interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * draw(st.integers(0, 2))
    lines = [b"HTTP/1.1 %d Reason" % status, *draw(st.permutations(fields)), b"", body]
    return Made(interim + b"\r\n".join(lines), status, wanted, framing == "connection")


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A reply with words put between its lines, or with bytes changed."""
    wire = draw(replies()).wire[:6000]
    for _ in range(draw(st.integers(1, 3))):
        ends = [at + 2 for at in range(len(wire[:500])) if wire.startswith(b"\r\n", at)]
        at = draw(st.sampled_from([0, *ends]) | st.integers(0, len(wire[:500])))
        end = min(len(wire), at + draw(st.sampled_from([0, 0, 0, 1, 2, 20])))
        word = draw(st.sampled_from([*WORDS, b"", wire[at:end] * 2]) | st.binary(max_size=2))
        wire = wire[:at] + word + wire[end:]
    return wire


def cut(wire: bytes, places: set[int]) -> list[bytes]:
    bounds = [0, *sorted(place for place in places if place < len(wire)), len(wire)]
    return [wire[start:end] for start, end in itertools.pairwise(bounds)]


PLACES = st.sets(st.integers(1, 300), max_size=6)
NOTHING = st.just(b"")
MORE = st.sampled_from([framed(b"unasked"), b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]) | st.binary(max_size=40)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(made=replies(), places=PLACES, closes=st.booleans(), more=NOTHING | MORE)
def test_what_was_sent_is_read_however_it_is_cut_and_whatever_follows(
    runner: asyncio.Runner, made: Made, places: set[int], closes: bool, more: bytes
) -> None:
    pieces = cut(made.wire, places)
    if not made.ends_with_connection:
        pieces[-1] += more  # with what it follows: after the next request it would be the reply to that, to any client
    found = result(Play(pieces, "closes" if closes or made.ends_with_connection else "stays"), runner)
    if made.body is None:
        assert isinstance(found, Failure)
        assert found.kind == "too_long"
    else:
        assert isinstance(found, HttpReply), found
        assert (found.status, found.body) == (made.status, made.body)


def elsewhere(wire: bytes) -> tuple[int, bytes] | None:
    """Status and body that h11 reads where the connection closes after `wire`; None where it reads no reply."""
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
    reader.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        reader.receive_data(wire)
        reader.receive_data(b"")
        while True:
            match reader.next_event():
                case h11.InformationalResponse(status_code=code) if code != 101:
                    pass
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage():
                    return status, body
                case _:
                    return None
    except (h11.RemoteProtocolError, RuntimeError):
        return None


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(
    wire=broken() | broken() | st.lists(st.sampled_from(WORDS), max_size=8).map(b"".join) | st.binary(max_size=60),
    places=PLACES,
    end=st.sampled_from(["closes", "closes", "resets", "stays"]),
)
def test_what_is_broken_is_told_or_read_as_another_client_reads_it(
    runner: asyncio.Runner, wire: bytes, places: set[int], end: End
) -> None:
    found = result(Play(cut(wire, places), end), runner, SHORT if end == "stays" else PATIENCE)
    other = elsewhere(wire)
    event(f"{found.kind if isinstance(found, Failure) else 'reply'} here, {'a reply' if other else 'nothing'} there")
    if isinstance(found, HttpReply) and other is not None and "content-encoding" not in found.headers:
        assert (found.status, found.body) == other


@pytest.mark.parametrize(
    ("before", "again", "after", "kinds"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Long: " + b"y" * 1000 + b"\r\n", b"\r\n", {"broken", "too_long"}),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000, b"\r\n\r\n", {"broken", "too_long"}),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", framed(b"{}"), {"too_long"}),
        (b"", b"\r\n" * 100, framed(b"{}"), {"too_long"}),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"0\r\n\r\n", {"too_long"}),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n", b"\r\n", {"broken", "too_long"}),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1",
            b";x=" + b"y" * 99,
            b"\r\nx\r\n0\r\n\r\n",
            {"too_long"},
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000, b"", {"too_long"}),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x" * 1000, b"", {"too_long"}),
    ],
    ids=[
        "headers",
        "line",
        "interim replies",
        "empty lines",
        "chunks",
        "trailers",
        "extension",
        "body",
        "counted body",
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 1500])
def test_what_is_too_long_is_given_up(
    runner: asyncio.Runner, before: bytes, again: bytes, after: bytes, kinds: set[str], piece: int
) -> None:
    wire = before + again * (400_000 // len(again)) + after
    found = result(Play([wire[at : at + piece] for at in range(0, len(wire), piece)], "closes"), runner)
    assert isinstance(found, Failure)
    assert found.kind in kinds


@pytest.mark.parametrize(
    "coding", ["gzip", "gzip, chunked", "chunked, gzip", "chunked\r\nTransfer-Encoding: gzip", "x"]
)
def test_a_transfer_coding_that_was_not_asked_for_is_no_body(runner: asyncio.Runner, coding: str) -> None:
    wire = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode()
    found = result(Play([wire], "closes"), runner)
    assert isinstance(found, Failure)
    assert (found.kind, "transfer coding" in str(found.reason)) == ("broken", True)


@pytest.mark.parametrize("coding", ["chunked", "Chunked ", "identity, chunked", "\r\n chunked"])
def test_chunks_may_be_named_as_they_are(runner: asyncio.Runner, coding: str) -> None:
    wire = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode()
    found = result(Play([wire]), runner)
    assert isinstance(found, HttpReply), found
    assert found.body == b"{}"


@pytest.mark.parametrize("bare", [b"\r\n\n", b"\n\n", b"\n\r\n"])
def test_a_head_ends_at_its_first_empty_line(runner: asyncio.Runner, bare: bytes) -> None:
    found = result(Play([b"HTTP/1.1 204 Nothing\r\nX-One: 1" + bare + b"X-Two: 2\r\n\r\n"]), runner)
    assert isinstance(found, HttpReply)
    assert dict(found.headers) == {"x-one": "1"}


KINDS = {
    "well": lambda path: Play(cut(framed(path), {20, 45})),
    "broken": lambda path: Play([b"SSH-2.0\r\n\r\n"]),
    "early": lambda path: Play([framed(path)[:-1]], "closes"),
    "reset": lambda path: Play([framed(path)[:-1]], "resets"),
    "silent": lambda path: Play([]),
    "left": lambda path: Play([]),
}


@settings(deadline=None, max_examples=40)
@given(rounds=st.lists(st.lists(st.sampled_from(list(KINDS)), max_size=12), min_size=1, max_size=3))
def test_calls_at_once_find_their_own_replies_and_leave_no_connection(
    runner: asyncio.Runner, rounds: list[list[str]]
) -> None:
    async def main() -> None:
        async with Stage(lambda path: KINDS[path.split(b"/")[1].decode()](path)) as stage:
            some = pool()
            for kinds in rounds:
                calls = [
                    asyncio.create_task(call(some, stage, f"/{kind}/{number}", SHORT if kind == "silent" else PATIENCE))
                    for number, kind in enumerate(kinds)
                ]
                leaving = [task for task, kind in zip(calls, kinds, strict=True) if kind == "left"]
                await stage.until(lambda stage, kinds=kinds: stage.waiting >= kinds.count("left"))  # type: ignore[misc]
                for task in leaving:
                    task.cancel()
                found = await asyncio.gather(*calls, return_exceptions=True)
                for number, (kind, one) in enumerate(zip(kinds, found, strict=True)):
                    if kind == "well":
                        assert isinstance(one, HttpReply), one
                        assert one.body == f"/well/{number}".encode()
                    else:
                        assert isinstance(one, asyncio.CancelledError if kind == "left" else Failure)
                await stage.until(lambda stage: len(stage.open) <= sum(kinds.count("well") for kinds in rounds))
            await some.aclose()
            await stage.left()

    runner.run(main())
