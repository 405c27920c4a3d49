"""A served agent under many concurrent calls of `POST /run`: `python benchmarks/agent_server.py [OPTIONS]`.

Starts a stand-in endpoint that thinks for `--latency-ms` and before it a served agent: simple_agent, the openai backend
and an environment whose verifier takes next to nothing. Then `--in-flight` callers ask for one rollout after the other.
A rollout makes two model calls and one tool call. Were nothing but the model to take time, each caller would get a
result every two latencies: that is the ideal. Prints what share of it was reached once all callers were at work, and
what the server took. Callers, server and endpoint are a process each and share the processors.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loops import CITIES, BenchServer, row
from standin import MODEL, running_standin

from gym_core.engine.loops import run_loop

CALLS = 2
"""Model calls of a rollout."""


@dataclass
class Figures:
    """What the callers saw. `answers`: when each rollout ended and how long it took, in seconds."""

    began: float = 0.0
    answers: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0

    def between(self, start: float, stop: float) -> list[float]:
        """How long the rollouts took that ended from `start` to `stop` after the beginning."""
        return [took for ended, took in self.answers if start <= ended - self.began < stop]


class Caller(asyncio.Protocol):
    """One caller on one connection, which asks again as soon as it was answered. Cheap: it shares the processors."""

    def __init__(self, requests: list[bytes], number: int, figures: Figures, over: asyncio.Event) -> None:
        self._requests = requests
        self._next = number
        self._figures = figures
        self._over = over
        self._buffer = b""
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needed:
            head, separator, _ = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self._needed = len(head) + 4 + int(length.partition(b":")[2])
        if len(self._buffer) < self._needed:
            return
        now = time.perf_counter()
        self._figures.answers.append((now, now - self._began))
        self._figures.failed += not self._buffer.startswith(b"HTTP/1.1 200")
        self._buffer, self._needed = b"", 0
        if not self._over.is_set():
            self._ask()

    def close(self) -> None:
        """Leave."""
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._over.is_set():
            self._figures.failed += 1


def _same(caller: Caller) -> Caller:
    return caller


async def call(url: str, requests: list[bytes], in_flight: int, seconds: float) -> Figures:
    """Keep so many callers busy for so long."""
    host, _, port = url.removeprefix("http://").partition(":")
    figures, over = Figures(), asyncio.Event()
    loop = asyncio.get_running_loop()
    figures.began = time.perf_counter()
    callers = [Caller(requests, number, figures, over) for number in range(in_flight)]
    for caller in callers:
        await loop.create_connection(partial(_same, caller), host, int(port))
    await asyncio.sleep(seconds - (time.perf_counter() - figures.began))
    over.set()
    for caller in callers:
        caller.close()
    return figures


async def serve(base_url: str, in_flight: int) -> None:
    """The agent server, until standard input ends; prints its URL."""
    import gc

    from standin import until_stdin_ends

    from gym_core.spi import Redactor, open_rollouts, run_config
    from gym_http.serve.agent import routes as agent
    from gym_http.serve.agent.rollouts import ServedRollouts
    from gym_http.serve.application import build
    from gym_http.serve.listener import Listener
    from gym_http.serve.settings import ServeSettings
    from gym_openai_model.backend import OpenAIModel
    from gym_openai_model.options import OpenAIOptions
    from gym_simple_agent.agent import SimpleAgent

    gc.set_threshold(50_000, 20, 50)  # as `gym serve` does
    redactor = Redactor()
    model = OpenAIModel(OpenAIOptions.model_validate({"model": MODEL, "base_url": base_url, "api": "responses"}))
    config = run_config(models={"policy": model}, env=BenchServer(), agent=SimpleAgent(), concurrency=in_flight)
    async with contextlib.AsyncExitStack() as stack:
        opened, _ = await open_rollouts(stack, config, redactor)
        rollouts = ServedRollouts(opened, redactor=redactor)
        describe = {"name": "benchmark", "gym_core": "0"}
        app = build("agent", agent.routes(rollouts), settings=ServeSettings(), describe=describe, redactor=redactor)
        async with Listener(app) as listener:
            print(listener.url, flush=True)
            await until_stdin_ends()
            await app.drain()


@contextlib.contextmanager
def running_agent(base_url: str, in_flight: int) -> Iterator[tuple[str, int]]:
    """The agent server in a process of its own: its URL and process id."""
    command = [sys.executable, __file__, "serve", base_url, str(in_flight)]
    environ = {**os.environ, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"}
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        yield line.strip(), process.pid
        process.stdin.close()


def requests_of(url: str) -> list[bytes]:
    """Questions about the weather as the bytes of HTTP requests."""
    host = url.removeprefix("http://")
    bodies = [row(number).strip() for number in range(len(CITIES))]
    head = f"POST /run HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def usage_of(process: int) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a process, where the system tells."""
    try:
        with open(f"/proc/{process}/stat") as stat, open(f"/proc/{process}/status") as status:
            ticks = stat.read().rpartition(")")[2].split()[11:13]
            peak = next(line for line in status if line.startswith("VmHWM"))
    except OSError:
        return 0.0, 0.0
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1024


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["serve"]:
        run_loop(serve(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-flight", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=15, help="how long a round takes")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    ideal = arguments.in_flight / (CALLS * arguments.latency_ms / 1000)
    shares = []
    for number in range(arguments.rounds):
        with running_standin(arguments.latency_ms) as base_url, running_agent(base_url, arguments.in_flight) as served:
            url, process = served
            before, _ = usage_of(process)
            figures = run_loop(call(url, requests_of(url), arguments.in_flight, arguments.seconds))
            cpu, peak = usage_of(process)
            warm = arguments.seconds / 3
            took = figures.between(warm, arguments.seconds)
            rate = len(took) / (arguments.seconds - warm)
            shares.append(rate / ideal)
            percentiles = statistics.quantiles(took, n=100)
            print(
                f"round {number + 1}: {rate:,.0f} rollouts/s of an ideal {ideal:,.0f} ({rate / ideal:.0%}), "
                f"p50 {percentiles[49]:.3f} s, p99 {percentiles[98]:.3f} s, {figures.failed} failed; "
                f"server: {1000 * (cpu - before) / len(figures.answers):.2f} CPU ms a rollout, {peak:.0f} MB",
                flush=True,
            )
    print(f"median: {statistics.median(shares):.0%} of the ideal")


if __name__ == "__main__":
    main()
