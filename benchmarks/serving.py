"""A served environment under load, beside a bare Starlette route: requests per second, p99, memory per session.

    python benchmarks/serving.py --sessions 16384 --inflight 1000 --calls 40000

Opens the sessions of simple_weather, calls one tool of them all, verifies and closes each: none may be lost. The bare
route reads a JSON body of the same length and answers with one, under the same uvicorn. Each server is a process of its
own, and so is this load generator, which speaks HTTP over plain sockets so that it costs less than what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BARE = """
import asyncio, sys
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

ANSWER = {"output": "x" * 97, "error": None, "done": None}

async def call(request: Request) -> JSONResponse:
    await request.json()
    return JSONResponse(ANSWER)

app = Starlette(routes=[Route("/v1/sessions/{ident}/tools/{name}", call, methods=["POST"])])

async def main() -> None:
    config = uvicorn.Config(app, port=0, http="httptools", ws="none", lifespan="off", log_config=None,
                            access_log=False, backlog=4096, timeout_keep_alive=75)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("http://127.0.0.1:%d" % server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


class Connection(asyncio.Protocol):
    """Sends the requests of a shared queue one after the other and keeps what was answered."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = bytearray()
        self.place = -1
        self.started = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        load = self.load
        if load.next == len(load.requests):
            self.transport.close()
            self.done.set_result(None)
            return
        self.place = load.next
        load.next += 1
        self.started = time.perf_counter()
        self.transport.write(load.requests[self.place])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : (head.find(b"\r", at) + 1 or end + 1) - 1]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        load = self.load
        load.seconds.append(time.perf_counter() - self.started)
        status = int(head[9:12])
        if load.keep:
            load.answers[self.place] = bytes(self.buffer[end + 4 : end + 4 + length])
        load.statuses[status] = load.statuses.get(status, 0) + 1
        self.buffer.clear()
        self.next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.load.statuses[0] = self.load.statuses.get(0, 0) + 1
            self.done.set_result(None)


@dataclass
class Load:
    """Requests to send, and what came of them. Status 0 is a connection that broke."""

    requests: Sequence[bytes]
    keep: bool = False
    next: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    answers: dict[int, bytes] = field(default_factory=dict)
    elapsed: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.elapsed

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]


async def send(url: str, load: Load, connections: int) -> Load:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        loop.create_connection(lambda: Connection(load), parts.hostname or "", parts.port or 0)
        for _ in range(min(connections, len(load.requests)))
    ]
    protocols = [protocol for _, protocol in await asyncio.gather(*opened)]
    await asyncio.wait([protocol.done for protocol in protocols], timeout=600)
    load.elapsed = time.perf_counter() - started
    return load


def request(method: str, path: str, body: Any = None, token: str = "") -> bytes:
    content = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(content)}\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    return (head + "\r\n").encode() + content


@contextmanager
def process(*command: str) -> Iterator[tuple[str, int]]:
    """A server: its URL, which is the last word it prints, and its process id."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        line = child.stdout.readline().split()
        if not line:
            raise SystemExit(f"{command[:4]} did not start")
        yield line[-1], child.pid
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()


def memory(pid: int) -> int:
    """Bytes of a process that are in memory, without what it shares with files (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def task_rows(count: int) -> list[dict[str, Any]]:
    from importlib.resources import files

    lines = (files("gym_simple_weather") / "tasks.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [rows[number % len(rows)] for number in range(count)]


async def rounds(options: argparse.Namespace, bare: tuple[str, int], ours: tuple[str, int]) -> dict[str, Any]:
    rows = task_rows(options.sessions)
    # What a server needs for its first sessions and connections is not the sessions' own.
    warm = await send(
        ours[0], Load([request("POST", "/v1/sessions", {"task": {"row": row}}) for row in rows[:64]], keep=True), 64
    )
    closing = [json.loads(answer) for answer in warm.answers.values()]
    await send(
        ours[0], Load([request("DELETE", f"/v1/sessions/{one['id']}", token=one["token"]) for one in closing]), 8
    )
    before = memory(ours[1])
    opened = await send(
        ours[0], Load([request("POST", "/v1/sessions", {"task": {"row": row}}) for row in rows], keep=True), 16
    )
    sessions = [json.loads(opened.answers[place]) for place in range(len(rows))]
    after = memory(ours[1])
    arguments = {"arguments": json.dumps({"city": "Paris"})}
    calls = [
        request("POST", f"/v1/sessions/{one['id']}/tools/get_weather", arguments, one["tool_token"])
        for number in range(options.calls)
        for one in (sessions[number % len(sessions)],)
    ]
    results: dict[str, list[dict[str, float]]] = {"bare": [], "served": []}
    for _ in range(options.rounds):
        for name, (url, pid) in (("bare", bare), ("served", ours)):
            used = cpu(pid)
            load = await send(url, Load(calls), options.inflight)
            if load.statuses != {200: len(calls)}:
                raise SystemExit(f"{name}: {load.statuses}")
            results[name].append(
                {
                    "per_second": load.per_second,
                    "p99_ms": 1000 * load.p99,
                    "cpu_us": 1e6 * (cpu(pid) - used) / len(calls),
                }
            )
    called = memory(ours[1])
    trajectory: dict[str, Any] = {"trajectory": {"input": [], "items": []}}
    verified = await send(
        ours[0],
        Load([request("POST", f"/v1/sessions/{one['id']}/verify", trajectory, one["token"]) for one in sessions]),
        64,
    )
    closed = await send(
        ours[0], Load([request("DELETE", f"/v1/sessions/{one['id']}", token=one["token"]) for one in sessions]), 64
    )
    middle = {
        name: {figure: statistics.median(one[figure] for one in many) for figure in many[0]}
        for name, many in results.items()
    }
    return {
        **middle,
        "ratio": {
            "per_second": middle["bare"]["per_second"] / middle["served"]["per_second"],
            "p99": middle["served"]["p99_ms"] / middle["bare"]["p99_ms"],
            "cpu": middle["served"]["cpu_us"] / middle["bare"]["cpu_us"],
        },
        "sessions": {
            "opened": opened.statuses.get(201, 0),
            "opened_per_second": opened.per_second,
            "verified": verified.statuses.get(200, 0),
            "closed": closed.statuses.get(204, 0),
            "bytes_each": (after - before) / len(sessions),
            "bytes_each_after_calls": (called - before) / len(sessions),
        },
        "requests_in_flight": options.inflight,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=16_384)
    parser.add_argument("--inflight", type=int, default=1_000)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    serve = (sys.executable, "-m", "gym_core", "serve", "--env", "simple_weather", "--port", "0")
    with process(sys.executable, "-c", BARE) as bare, process(*serve) as ours:
        figures = run(rounds(options, bare, ours))
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name in ("bare", "served"):
        one = figures[name]
        print(
            f"{name:8} {one['per_second']:8,.0f} requests/s   p99 {one['p99_ms']:7.1f} ms   {one['cpu_us']:5.0f} us CPU"
        )
    ratio, sessions = figures["ratio"], figures["sessions"]
    print(f"{'ratio':8} {ratio['per_second']:8.2f}              p99 {ratio['p99']:7.2f}   {ratio['cpu']:8.2f}")
    print(
        f"sessions {sessions['opened']} opened at {sessions['opened_per_second']:,.0f}/s, "
        f"{sessions['verified']} verified, {sessions['closed']} closed; {sessions['bytes_each'] / 1024:.1f} KiB each, "
        f"{sessions['bytes_each_after_calls'] / 1024:.1f} KiB after {options.rounds} rounds of calls"
    )


def run(main: Any) -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


if __name__ == "__main__":
    main()
