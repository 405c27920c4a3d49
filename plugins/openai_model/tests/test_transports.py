"""One suite over every transport, against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gym_openai_model.transports import (
    HttpReply,
    Transport,
    TransportConfig,
    TransportError,
    TransportName,
    TransportUnavailable,
    open_transport,
)

HEADERS = {
    "Authorization": "Bearer sk-very-secret",
    "Content-Type": "application/json",
    "User-Agent": "gym-openai-model/0.1",
}
NAMES: list[TransportName] = ["httptools", "aiohttp", "sdk"]


@dataclass
class Request:
    """What a server read: the request line's target, headers by lower-case name, the body."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server whose every answer is a coroutine of the test's; it sees when clients leave."""

    answer: Callable[[Server, Request, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    tls: tuple[Path, Path] | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    received: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Server:
        context = None
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*self.tls)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1/responses"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                self.requests.append(request := await read_request(reader))
                self.received.set()
                await self.answer(self, request, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()


async def read_request(reader: asyncio.StreamReader) -> Request:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split(" ")[1], headers, body)


def http(status: str = "200 OK", body: bytes = b"{}", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def fixed(data: bytes) -> Callable[..., Awaitable[None]]:
    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(data)

    return answer


def then_hang(data: bytes = b"") -> Callable[..., Awaitable[None]]:
    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        server.left.set()
        writer.close()

    return answer


def then_close(data: bytes = b"", *, reset: bool = False) -> Callable[..., Awaitable[None]]:
    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(data)
        await writer.drain()
        writer.transport.abort() if reset else writer.close()

    return answer


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> TransportName:
    chosen: TransportName = request.param
    return chosen


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and model.test, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:model.test"
    usage = "keyUsage=critical,digitalSignature,keyCertSign"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=gym test"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", names, "-addext", usage]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


async def refused(transport: Transport, url: str, seconds: float | None = None) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await transport.post(url, b"{}", timeout=seconds)
    assert "secret" not in str(caught.value)
    return caught.value


def test_post_sends_the_body_and_headers_and_reuses_the_connection(name: TransportName) -> None:
    async def test() -> None:
        answer = fixed(http(body=b'{"ok": 1}', x_request_id="r1"))
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            assert transport.name == name
            for number in range(3):
                reply = await transport.post(server.url, b'{"n": %d}' % number)
                assert (reply.status, reply.body) == (200, b'{"ok": 1}')
                assert reply.headers["X-Request-Id"] == reply.headers["x-request-id"] == "r1"
                assert reply.headers.get("retry-after") is None
            await transport.post(server.url, b"{}", headers={"X-Session": "s1", "User-Agent": "other"})
        assert server.connections == 1
        assert [request.body for request in server.requests] == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}', b"{}"]
        first, last = server.requests[0].headers, server.requests[-1].headers
        assert server.requests[0].target == "/v1/responses"
        assert {first[header.lower()] for header in HEADERS} == set(HEADERS.values())
        assert "x-session" not in first
        assert (last["x-session"], last["user-agent"]) == ("s1", "other")
        assert last["authorization"] == HEADERS["Authorization"]

    run(test)


def test_nothing_poses_as_a_browser_or_takes_an_identity_from_the_environment(
    name: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")

    async def test() -> None:
        async with Server(fixed(http())) as server, open_transport(name, headers={"User-Agent": "gym/1"}) as transport:
            await transport.post(server.url, b"{}")
        sent = {header for header in server.requests[0].headers if not header.startswith("x-stainless-")}
        known = {"host", "user-agent", "accept", "accept-encoding", "content-length", "content-type", "connection"}
        assert sent <= known
        assert server.requests[0].headers["user-agent"] == "gym/1"

    run(test)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "503 Busy"])
def test_every_status_is_a_reply(name: TransportName, status: str) -> None:
    async def test() -> None:
        answer = fixed(http(status, b"why", retry_after="7", x_ratelimit_reset_tokens="6m0s"))
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            reply = await transport.post(server.url, b"{}")
        assert (reply.status, reply.body) == (int(status[:3]), b"why")
        assert reply.headers["retry-after"] == "7"
        assert dict(reply.headers)["x-ratelimit-reset-tokens"] == "6m0s"
        assert len(server.requests) == 1

    run(test)


def test_a_redirect_is_returned_and_not_followed(name: TransportName) -> None:
    async def test() -> None:
        async with Server(fixed(http())) as other:
            answer = fixed(http("307 Temporary Redirect", location=other.url))
            async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
                reply = await transport.post(server.url, b"{}")
        assert (reply.status, reply.headers["location"], other.requests) == (307, other.url, [])

    run(test)


def test_bodies_of_five_megabytes_pass_both_ways(name: TransportName) -> None:
    async def echo(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(http(body=request.body))
        await writer.drain()

    async def test() -> None:
        body = bytes(range(256)) * 20_480
        async with Server(echo) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await transport.post(server.url, body)).body == body

    run(test)


def test_compressed_replies_are_decoded(name: TransportName) -> None:
    async def test() -> None:
        answer = fixed(http(body=gzip.compress(b'{"text": "long"}'), content_encoding="gzip"))
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await transport.post(server.url, b"{}")).body == b'{"text": "long"}'
        assert "gzip" in server.requests[0].headers["accept-encoding"]

    run(test)


@pytest.mark.slow
def test_five_hundred_calls_are_in_flight_at_once(name: TransportName) -> None:
    everyone = asyncio.Event()

    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(server.requests) == 500:
            everyone.set()
        await everyone.wait()
        writer.write(http(body=request.body))

    async def test() -> None:
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            replies = await asyncio.gather(*(transport.post(server.url, b"%d" % n) for n in range(500)))
        assert [int(reply.body) for reply in replies] == list(range(500))

    run(test)


def test_max_connections_is_kept(name: TransportName) -> None:
    async def test() -> None:
        config = TransportConfig(max_connections=3)
        async with Server(fixed(http())) as server, open_transport(name, config, HEADERS) as transport:
            await asyncio.gather(*(transport.post(server.url, b"{}") for _ in range(30)))
        assert server.connections <= 3

    run(test)


@pytest.mark.parametrize("data", [b"", http(body=b"x" * 99)[:-50]], ids=["before headers", "in the body"])
def test_cancelling_closes_the_connection_at_the_server(name: TransportName, data: bytes) -> None:
    async def test() -> None:
        async with Server(then_hang(data)) as server, open_transport(name, headers=HEADERS) as transport:
            call = asyncio.create_task(transport.post(server.url, b"{}"))
            await server.received.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.wait_for(server.left.wait(), 10)

    run(test)


@pytest.mark.parametrize("data", [b"", http(body=b"x" * 99)[:-50]], ids=["before headers", "in the body"])
@pytest.mark.parametrize("per_call", [False, True])
def test_a_timeout_is_told_and_closes_the_connection(name: TransportName, data: bytes, per_call: bool) -> None:
    async def test() -> None:
        config = TransportConfig(request_timeout=600 if per_call else 0.3)
        async with Server(then_hang(data)) as server, open_transport(name, config, HEADERS) as transport:
            error = await refused(transport, server.url, 0.3 if per_call else None)
            assert (error.kind, error.url) == ("timeout", server.url)
            assert "0.3 s" in str(error)
            await asyncio.wait_for(server.left.wait(), 10)

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        then_close(),
        then_close(reset=True),
        then_close(http(body=b"x" * 99)[:-50]),
        then_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ],
    ids=["before headers", "reset", "in the body", "in a chunk"],
)
def test_a_dropped_connection_is_told(name: TransportName, answer: Callable[..., Awaitable[None]]) -> None:
    async def test() -> None:
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await refused(transport, server.url)).kind == "dropped"
        assert len(server.requests) == 1

    run(test)


def test_an_idle_connection_that_the_server_closed_is_replaced(name: TransportName) -> None:
    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(http())
        writer.write_eof()
        with contextlib.suppress(TimeoutError):  # a client that looks only before the next use
            await asyncio.wait_for(reader.read(), 0.2)
        writer.close()
        server.left.set()

    async def test() -> None:
        async with Server(answer) as server, open_transport(name, headers=HEADERS) as transport:
            for _ in range(3):
                server.left.clear()
                assert (await transport.post(server.url, b"{}")).status == 200
                await server.left.wait()
        assert server.connections == 3

    run(test)


def test_nothing_listening_and_unknown_names_are_told(name: TransportName) -> None:
    async def test() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with open_transport(name, headers=HEADERS) as transport:
            error = await refused(transport, f"http://127.0.0.1:{port}/v1/responses?api-key=secret")
            assert (error.kind, error.url) == ("connect_refused", f"http://127.0.0.1:{port}/v1/responses")
            error = await refused(transport, "http://gym-nowhere.invalid/v1/responses")
            assert error.kind == "dns"
            assert "gym-nowhere.invalid" in str(error)
            assert (await refused(transport, "localhost:8000/v1")).kind == "other"
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.kind, copy.url, str(copy)) == (error.kind, error.url, str(error))

    run(test)


@pytest.fixture
def unresponsive_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that another one is neither accepted nor refused."""
    with socket.socket() as listener, contextlib.ExitStack() as queued:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = queued.enter_context(socket.socket())
            filler.setblocking(False)
            assert filler.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
        yield listener.getsockname()[1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what does not fit the queue")
def test_a_connect_timeout_is_told(name: TransportName, unresponsive_port: int) -> None:
    async def test() -> None:
        config = TransportConfig(connect_timeout=0.3)
        async with open_transport(name, config, HEADERS) as transport:
            error = await refused(transport, f"http://127.0.0.1:{unresponsive_port}/v1")
        assert error.kind == "connect_timeout"
        assert "0.3 s" in str(error)

    run(test)


def test_an_untrusted_certificate_is_refused(name: TransportName, certificate: tuple[Path, Path]) -> None:
    async def test() -> None:
        async with Server(fixed(http()), certificate) as server, open_transport(name, headers=HEADERS) as transport:
            error = await refused(transport, server.url)
        assert error.kind == "tls"
        assert "SSL_CERT_FILE" in str(error)
        assert server.requests == []

    run(test)


@pytest.mark.parametrize("how", ["config", "environment file", "environment directory", "not verified"])
def test_a_private_authority_is_accepted_where_it_is_named(
    name: TransportName, certificate: tuple[Path, Path], how: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = TransportConfig()
    if how == "config":
        config = TransportConfig(ca_file=str(certificate[0]))
    elif how == "environment file":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    elif how == "environment directory":
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(certificate[0])]
        digest = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        shutil.copy(certificate[0], tmp_path / f"{digest}.0")
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    else:
        config = TransportConfig(verify=False)

    async def test() -> None:
        async with Server(fixed(http()), certificate) as server, open_transport(name, config, HEADERS) as transport:
            assert (await transport.post(server.url, b"{}")).status == 200
            if how != "not verified":
                wrong_name = server.url.replace("127.0.0.1", "localhost")
                assert (await refused(transport, wrong_name)).kind == "tls"

    run(test)


def test_a_ca_file_that_cannot_be_used_is_named(name: TransportName, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()

    async def test() -> None:
        for path in (tmp_path / "missing.pem", empty):
            with pytest.raises(TransportUnavailable, match=path.name):
                open_transport(name, TransportConfig(ca_file=str(path)), HEADERS)

    run(test)


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[Server]:
    """A proxy that forwards plain requests and tunnels CONNECT, to 127.0.0.1 whatever the host's name."""

    async def answer(
        server: Server, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        port = int(request.target.removeprefix("http://").partition("/")[0].partition(":")[2])
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        if request.target.startswith("http://"):
            length = len(request.body)
            upstream.write(b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length + request.body)
            writer.write(await upstream_reader.readuntil(b"{}"))
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pipe(reader, upstream), pipe(upstream_reader, writer))
        upstream.close()

    async with Server(answer) as server:
        yield server


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
        writer.write_eof()


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_the_environments_proxy_is_used(
    name: TransportName, tls: bool, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Server(fixed(http()), certificate if tls else None) as server, proxy() as between:
            address = f"http://user:secret@127.0.0.1:{between.port}"
            monkeypatch.setenv("HTTPS_PROXY" if tls else "http_proxy", address)
            url = server.url.replace("127.0.0.1", "model.test")
            config = TransportConfig(ca_file=str(certificate[0]))
            async with open_transport(name, config, HEADERS) as transport:
                assert (await transport.post(url, b"{}")).status == 200
            seen = between.requests[0]
            assert seen.target == (f"model.test:{server.port}" if tls else url)
            assert seen.headers["proxy-authorization"] == "Basic dXNlcjpzZWNyZXQ="
            assert ("authorization" in seen.headers) != tls  # inside the tunnel it is the server's alone
            assert len(server.requests) == 1

            for exempt in ("127.0.0.1", "example.com,127.0.0.1", "*"):
                monkeypatch.setenv("NO_PROXY", exempt)
                async with open_transport(name, config, HEADERS) as transport:
                    assert (await transport.post(server.url, b"{}")).status == 200
            monkeypatch.delenv("NO_PROXY")
            ignoring = TransportConfig(ca_file=str(certificate[0]), trust_env=False)
            async with open_transport(name, ignoring, HEADERS) as transport:
                assert (await transport.post(server.url, b"{}")).status == 200
            assert len(between.requests) == 1

    run(test)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer_is_told(
    name: TransportName, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://user:secret@127.0.0.1:{port}")

    async def test() -> None:
        async with open_transport(name, headers=HEADERS) as transport:
            error = await refused(transport, f"{scheme}://model.test/v1")
            assert (error.kind, "proxy: connection refused" in str(error)) == ("proxy_down", True), str(error)
            monkeypatch.setenv("ALL_PROXY", "http://user:secret@gym-nowhere.invalid:3128")
            error = await refused(transport, f"{scheme}://model.test/v1/else")
            assert (error.kind, "its host name" in str(error)) == ("proxy_unusable", True), str(error)

    run(test)


@pytest.mark.parametrize(
    "answer",
    [
        http(body=b"x" * (1 << 20) + b"x"),
        http(body=gzip.compress(b" " * (8 << 20)), content_encoding="gzip"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"10000\r\n%b\r\n" % (b"x" * (1 << 16)) * 20,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 << 20),
    ],
    ids=["as it comes", "decompressed", "without an end in sight", "until the connection ends"],
)
def test_a_reply_is_read_as_far_as_is_allowed(name: TransportName, answer: bytes) -> None:
    async def test() -> None:
        config = TransportConfig(max_reply=1 << 20)
        async with Server(fixed(answer)) as server, open_transport(name, config, HEADERS) as transport:
            error = await refused(transport, server.url)
            assert (error.kind, "longer than 1 MB" in str(error)) == ("too_long", True)
            with pytest.raises(TransportError, match="longer than 1 MB"):
                await transport.get(server.url, 30)
        whole = fixed(http(body=b"x" * (1 << 20)))
        async with Server(whole) as server, open_transport(name, config, HEADERS) as transport:
            assert len((await transport.post(server.url, b"{}")).body) == 1 << 20

    run(test)


def test_a_page_is_read_with_the_headers_of_calls(name: TransportName) -> None:
    async def test() -> None:
        async with Server(fixed(http(body=b"[]"))) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await transport.get(server.url, 30))[::2] == (200, b"[]")
        request = server.requests[0]
        assert (request.body, request.headers["authorization"]) == (b"", "Bearer sk-very-secret")
        assert "content-length" not in request.headers

    run(test)


@pytest.mark.parametrize(
    ("tls", "status", "kind"),
    [(False, 407, ""), (True, 407, "proxy_unusable"), (True, 403, "proxy_unusable"), (True, 502, "proxy")],
)
def test_a_proxy_that_refuses_is_told(
    name: TransportName, tls: bool, status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Server(fixed(http(f"{status} Refused"))) as between:
            monkeypatch.setenv("ALL_PROXY", f"http://ann:secret@127.0.0.1:{between.port}")
            async with open_transport(name, headers=HEADERS) as transport:
                if kind:
                    error = await refused(transport, "https://model.test/v1")
                    assert (error.kind, "secret" in str(error)) == (kind, False)
                else:
                    assert (await transport.post("http://model.test/v1", b"{}")).status == status

    run(test)


@dataclass
class SocksProxy:
    """A SOCKS proxy (RFC 1928, 1929), which leads to 127.0.0.1 whatever is asked; without an `answer` it ends."""

    login: bytes = b""
    answer: int | None = 0
    asked: list[bytes] = field(default_factory=list)
    port: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[SocksProxy]:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readexactly((await reader.readexactly(2))[1])
            writer.write(b"\5\2" if self.login else b"\5\0")
            if self.login:
                given = await reader.readexactly(len(self.login))
                writer.write(b"\1\0" if given == self.login else b"\1\1")
            await reader.readexactly(3)
            length = {1: 4, 3: None, 4: 16}[(await reader.readexactly(1))[0]]
            self.asked.append(await reader.readexactly(length or (await reader.readexactly(1))[0]))
            port = int.from_bytes(await reader.readexactly(2))
            if self.answer is None:
                return
            writer.write(b"\5%c\0\1\0\0\0\0\0\0" % self.answer)
            if not self.answer:
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pipe(reader, upstream), pipe(upstream_reader, writer))


SPEAKS_SOCKS: list[TransportName] = ["httptools", "aiohttp"]


@pytest.mark.parametrize("name", SPEAKS_SOCKS)
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_socks_proxy_is_used(
    name: TransportName, tls: bool, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp_socks")

    async def test() -> None:
        config = TransportConfig(ca_file=str(certificate[0]))
        async with SocksProxy(b"\1\3ann\6secret").running() as between:
            monkeypatch.setenv("ALL_PROXY", f"socks5h://ann:secret@127.0.0.1:{between.port}")
            async with (
                Server(fixed(http()), certificate if tls else None) as server,
                open_transport(name, config, HEADERS) as transport,
            ):
                url = server.url.replace("127.0.0.1", "model.test")
                assert (await transport.post(url, b"{}")).status == 200
                assert (await transport.get(url, 30)).status == 200
                assert (between.asked, server.connections) == ([b"model.test"], 1)
                assert (await transport.post(server.url, b"{}")).status == 200, "this machine is asked without it"
                assert len(between.asked) == 1
                monkeypatch.setenv("NO_PROXY", "model.test")
                assert (await refused(transport, f"{url}/else")).kind == "dns", "so is what NO_PROXY names"
            if tls:
                async with Server(fixed(http()), certificate) as server, open_transport(name, headers=HEADERS) as other:
                    monkeypatch.delenv("NO_PROXY")
                    error = await refused(other, server.url.replace("127.0.0.1", "model.test"))
                    assert (error.kind, server.requests) == ("tls", [])

    run(test)


@pytest.mark.parametrize("name", SPEAKS_SOCKS)
def test_a_call_cancelled_behind_a_socks_proxy_is_closed_at_the_server(
    name: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp_socks")

    async def test() -> None:
        async with SocksProxy().running() as between, Server(then_hang()) as server:
            monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{between.port}")
            async with open_transport(name, headers=HEADERS) as transport:
                url = server.url.replace("127.0.0.1", "model.test")
                call = asyncio.create_task(transport.post(url, b"{}"))
                await server.received.wait()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await asyncio.wait_for(server.left.wait(), 10)
                assert (await refused(transport, url, 0.2)).kind == "timeout"

    run(test)


@pytest.mark.parametrize(
    ("scheme", "proxy", "kind", "words"),
    [
        ("socks5h", SocksProxy(answer=5), "proxy", "Connection refused by destination host"),
        ("socks5h", SocksProxy(answer=2), "proxy_unusable", "not allowed"),
        ("socks5h", SocksProxy(answer=None), "proxy", "ended the connection"),
        ("socks5h", SocksProxy(b"\1\3bob\6nobody"), "proxy_unusable", "authentication failure"),
        ("socks5", SocksProxy(), "dns", "model.test"),
        ("socks5h", None, "proxy_down", "connection refused"),
    ],
    ids=["unreachable", "forbidden", "ended", "login", "named here", "down"],
)
def test_a_socks_proxy_that_does_not_pass_on_is_told(
    scheme: str, proxy: SocksProxy | None, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp_socks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            port = (await stack.enter_async_context(proxy.running())).port if proxy else closed
            monkeypatch.setenv("ALL_PROXY", f"{scheme}://ann:secret@127.0.0.1:{port}")
            async with open_transport("aiohttp", headers=HEADERS) as transport:
                error = await refused(transport, "https://model.test/v1")
        assert (error.kind, words in str(error)) == (kind, True), str(error)

    run(test)


def test_a_socks_proxy_that_cannot_be_used_names_what_it_takes(
    name: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://ann:secret@127.0.0.1:1080")
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    monkeypatch.delitem(sys.modules, "gym_openai_model.transports.socks", raising=False)
    monkeypatch.delattr("gym_openai_model.transports.socks", raising=False)
    need = "transport=httptools" if name == "sdk" else r"pip install 'gym-openai-model[socks]'"

    async def test() -> None:
        async with open_transport(name, headers=HEADERS) as transport:
            error = await refused(transport, "https://model.test/v1")
        assert (error.kind, need in str(error)) == ("proxy_unusable", True), str(error)

    run(test)


def test_this_machine_is_not_asked_through_a_proxy(name: TransportName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    async def test() -> None:
        async with Server(fixed(http())) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await transport.post(server.url, b"{}")).status == 200
        monkeypatch.setenv("NO_PROXY", "<-loopback>")
        async with Server(fixed(http())) as server, open_transport(name, headers=HEADERS) as transport:
            assert (await refused(transport, server.url)).kind == "proxy_down"
            assert server.requests == []

    run(test)


def test_a_variable_that_names_no_proxy_is_told(name: TransportName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://ann:secret@127.0.0.1:70")

    async def test() -> None:
        async with open_transport(name, headers=HEADERS) as transport:
            error = await refused(transport, "https://model.test/v1")
        assert (error.kind, "HTTPS_PROXY" in str(error), "secret" in str(error)) == ("proxy_unusable", True, False)

    run(test)


def test_closing_ends_open_calls_and_refuses_new_ones(name: TransportName) -> None:
    async def test() -> None:
        async with Server(then_hang()) as server:
            transport = open_transport(name, headers=HEADERS)
            call = asyncio.create_task(transport.post(server.url, b"{}"))
            await server.received.wait()
            await transport.aclose()
            await transport.aclose()
            with pytest.raises(TransportError):
                await call
            await asyncio.wait_for(server.left.wait(), 10)
            await refused(transport, server.url)

    run(test)


def test_a_transport_that_there_is_not_is_told() -> None:
    with pytest.raises(TransportUnavailable, match=r"carrier-pigeon.*choose httptools"):
        open_transport("carrier-pigeon")  # type: ignore[arg-type]  # what a user may type


def test_naming_the_transports_loads_no_client() -> None:
    clients = {"aiohttp", "httptools", "openai", "ssl"}
    code = f"import sys, gym_openai_model.transports; print(sorted({clients} & {{*sys.modules}}))"
    started = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert started.stdout.strip() == "[]"


def test_a_reply_is_plain_data() -> None:
    reply = HttpReply(200, {"retry-after": "1"}, b"{}")
    with pytest.raises(AttributeError):
        reply.status = 500  # type: ignore[misc]  # what must not work
