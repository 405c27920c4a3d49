"""A fast OpenAI-compatible endpoint on loopback that answers by rote, for measurements.

It speaks the Responses and Chat Completions APIs over HTTP/1.1. The first call of a conversation that offers
tools is answered with a `get_weather` call for the city in the user's last message; once a tool result is
there, with a final message that repeats it. `GET /v1/models` lists one model, `GET /stats` counts.

Run it by hand, or from another program through `running_standin`:

    python benchmarks/standin.py --port 0 --latency-ms 1000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson

MODEL = "stand-in"
_CITY = re.compile(r"\b(?:in|for|of|at)\s+((?:[A-Z]\w*)(?:[ -][A-Z]\w*)*)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_SERIAL = itertools.count(1)


class Stats:
    """What `GET /stats` tells, in requests and connections since the start."""

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = 0
        self.open_connections = 0
        self.closed_in_flight = 0


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def answer(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to one model call: a tool call first, a message once a tool has answered."""
    number = next(_SERIAL)
    responses_api = path.endswith("/responses")
    items = request.get("input" if responses_api else "messages") or []
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    city, result = "Paris", None
    for item in items:
        if item.get("role") == "user":
            found = _CITY.findall(_text(item.get("content")))
            city = found[-1] if found else city
        elif item.get("type") == "function_call_output":
            result = _text(item.get("output"))
        elif item.get("role") == "tool":
            result = _text(item.get("content"))
    call = result is None and bool(request.get("tools"))
    arguments = json.dumps({"city": city}, ensure_ascii=False)
    text = f"In {city}: {result}" if result is not None else f"I know nothing of {city}."
    make = _responses if responses_api else _chat
    return make(number, arguments if call else None, text, request.get("model", MODEL))


def _responses(number: int, arguments: str | None, text: str, model: str) -> dict[str, Any]:
    output: dict[str, Any]
    if arguments is None:
        content = [{"type": "output_text", "text": text, "annotations": []}]
        output = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        output["content"] = content
    else:
        output = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
        output |= {"name": "get_weather", "arguments": arguments, "status": "completed"}
    usage = {"input_tokens": 120, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 20}
    usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 140}
    head = {"id": f"resp_{number}", "object": "response", "created_at": 1_700_000_000, "status": "completed"}
    tail = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "error": None}
    tail |= {"incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1.0, "top_p": 1.0}
    return {**head, "model": model, "output": [output], **tail, "usage": usage}


def _chat(number: int, arguments: str | None, text: str, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if arguments is not None:
        function = {"name": "get_weather", "arguments": arguments}
        message["content"] = None
        message["tool_calls"] = [{"id": f"call_{number}", "type": "function", "function": function}]
    finish = "stop" if arguments is None else "tool_calls"
    usage = {"prompt_tokens": 120, "completion_tokens": 20, "total_tokens": 140}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    return {**head, "choices": [choice], "usage": usage}


class Endpoint(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, answered after a fixed latency."""

    def __init__(self, stats: Stats, latency: float) -> None:
        self._stats = stats
        self._latency = latency
        self._buffer = b""
        self._pending: dict[int, asyncio.TimerHandle] = {}
        self._last = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass of it
        self._stats.connections += 1
        self._stats.open_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._stats.open_connections -= 1
        self._stats.closed_in_flight += len(self._pending)
        self._stats.in_flight -= len(self._pending)
        for timer in self._pending.values():
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 2]
            if _CHUNKED.search(head):
                self._refuse(b"411 Length Required")
                return
            length = _LENGTH.search(head)
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            method, target, _ = head.split(b" ", 2)
            self._handle(method, target.decode("latin-1").partition("?")[0], body)

    def _handle(self, method: bytes, path: str, body: bytes) -> None:
        if method == b"GET" and path.endswith("/stats"):
            self._send(orjson.dumps(vars(self._stats)))
        elif method == b"GET" and path.endswith("/models"):
            self._send(orjson.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))
        elif method == b"POST" and path.endswith(("/responses", "/chat/completions")):
            self._call(path, body)
        else:
            self._send(b'{"error": {"message": "no such path"}}', b"404 Not Found")

    def _call(self, path: str, body: bytes) -> None:
        stats = self._stats
        stats.requests += 1
        try:
            reply = orjson.dumps(answer(path, orjson.loads(body)))
        except (ValueError, AttributeError) as error:
            self._send(orjson.dumps({"error": {"message": str(error)}}), b"400 Bad Request")
            return
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        if not self._latency:
            stats.in_flight -= 1
            self._send(reply)
            return
        number = self._last = self._last + 1
        timer = asyncio.get_running_loop().call_later(self._latency, self._finish, number, reply)
        self._pending[number] = timer

    def _finish(self, number: int, reply: bytes) -> None:
        del self._pending[number]
        self._stats.in_flight -= 1
        self._send(reply)

    def _send(self, body: bytes, status: bytes = b"200 OK") -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            self._transport.write(head % (status, len(body)) + body)

    def _refuse(self, status: bytes) -> None:
        self._send(b"", status)
        self._transport.close()


async def serve(args: argparse.Namespace) -> None:
    """Listen, say where in one JSON line on stdout, and answer until cancelled or stdin ends."""
    loop = asyncio.get_running_loop()
    stats, context = Stats(), None
    if args.tls_cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.tls_cert, args.tls_key)
    server = await loop.create_server(
        lambda: Endpoint(stats, args.latency_ms / 1000), args.host, args.port, backlog=16384, ssl=context
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    if args.until_stdin_ends:
        await until_stdin_ends()
        server.close()
    else:
        await server.serve_forever()


async def until_stdin_ends() -> None:
    """Wait for the program at the other end of standard input to close it, or to die."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


@contextlib.contextmanager
def running_standin(latency_ms: float = 0, *, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """The stand-in as a child process; yields its base URL, which ends in `/v1`.

    `tls` is a (certificate, key) pair of PEM files. The child ends with the block, or with this process
    however that ends, because it watches the pipe between them.
    """
    command = [sys.executable, str(Path(__file__).resolve()), "--port", "0", "--until-stdin-ends"]
    command += ["--latency-ms", str(latency_ms)]
    if tls:
        command += ["--tls-cert", str(tls[0]), "--tls-key", str(tls[1])]
    with _running(command) as port:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[int]:
    """Run a server that prints its port and ends when its standard input does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            if not line:
                raise RuntimeError(f"the stand-in endpoint did not start (exit status {child.wait()})")
            yield json.loads(line)["port"]
        finally:
            child.stdin.close()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18000, help="0: a free one, printed as a JSON line")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--tls-cert", help="PEM file; serves HTTPS")
    parser.add_argument("--tls-key", help="PEM file of its key")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the program that started it")
    args = parser.parse_args(argv)
    run = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        run = uvloop.run
    with contextlib.suppress(KeyboardInterrupt):
        run(serve(args))


if __name__ == "__main__":
    main()
