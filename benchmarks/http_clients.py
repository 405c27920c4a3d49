"""What one model call costs in each HTTP client, and whether a cancelled call is closed at the server.

Every client runs in a process of its own against a stand-in endpoint on loopback; the figures are CPU time
of the client's process alone.

    python benchmarks/http_clients.py --in-flight 64 1000 8000 --tls
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import resource
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from standin import running_standin

Call = Callable[[], Awaitable[bytes]]
HEADERS = {"Authorization": "Bearer x", "Content-Type": "application/json", "User-Agent": "gym-benchmark"}
BODY = json.dumps(
    {
        "model": "stand-in",
        "input": [{"role": "user", "content": "What is the weather in Paris?"}],
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "Get the weather in a city.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            }
        ],
    }
).encode()
# httpx looks through its whole pool at every call: at 8,000 it does not end.
MOST_IN_FLIGHT = {"httpx": 1000, "transport sdk": 1000}


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how a client is to call."""

    url: str
    ca_file: str | None

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def ca_pem(self) -> bytes:
        return Path(self.ca_file).read_bytes() if self.ca_file else b""


@contextlib.asynccontextmanager
async def aiohttp_raw(target: Target) -> AsyncIterator[Call]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0, ssl=target.context())
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def call() -> bytes:
            async with session.post(target.url, data=BODY, headers=HEADERS) as response:
                return await response.read()

        yield call


@contextlib.asynccontextmanager
async def httpx_raw(target: Target) -> AsyncIterator[Call]:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=600, limits=limits, verify=target.context()) as client:

        async def call() -> bytes:
            return (await client.post(target.url, content=BODY, headers=HEADERS)).content

        yield call


@contextlib.asynccontextmanager
async def pyreqwest_raw(target: Target) -> AsyncIterator[Call]:
    client_module: Any = importlib.import_module("pyreqwest.client")
    builder = client_module.ClientBuilder().timeout(timedelta(seconds=600))
    if target.ca_file:
        builder = builder.add_root_certificate_pem(target.ca_pem())
    async with builder.http1_only().build() as client:

        async def call() -> bytes:
            response = await client.post(target.url).headers(HEADERS).body_bytes(BODY).build().send()
            return bytes(await response.bytes())

        yield call


@contextlib.asynccontextmanager
async def transport(name: Any, target: Target) -> AsyncIterator[Call]:
    from gym_openai_model.transports import TransportConfig, open_transport

    config = TransportConfig(ca_file=target.ca_file)
    async with open_transport(name, config, HEADERS) as opened:

        async def call() -> bytes:
            reply = await opened.post(target.url, BODY)
            return reply.body

        yield call


# name: (modules it needs, how to open it)
CLIENTS: dict[str, tuple[tuple[str, ...], Callable[[Target], Any]]] = {
    "aiohttp": (("aiohttp",), aiohttp_raw),
    "transport aiohttp": (("aiohttp", "gym_openai_model"), lambda target: transport("aiohttp", target)),
    "transport httptools": (("httptools", "gym_openai_model"), lambda target: transport("httptools", target)),
    "pyreqwest": (("pyreqwest",), pyreqwest_raw),
    "httpx": (("httpx",), httpx_raw),
    "transport sdk": (("openai", "gym_openai_model"), lambda target: transport("sdk", target)),
}


async def measure(name: str, target: Target, in_flight: int, calls: int) -> dict[str, Any]:
    """CPU per call with `in_flight` open at all times, after one round that opens the connections."""
    async with CLIENTS[name][1](target) as call:
        await asyncio.gather(*(call() for _ in range(in_flight)))
        left = iter(range(calls))

        async def worker() -> None:
            for _ in left:
                json.loads(await call())

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(in_flight)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform != "darwin" else 1024)
        return {"ms": 1000 * cpu / calls, "rate": calls / wall, "mib": peak / 1024}


async def cancel_gate(name: str, target: Target) -> dict[str, Any]:
    """Seconds until the server sees that a cancelled call was closed; `None` if not within one."""

    def stats() -> dict[str, int]:
        url = target.url.replace("/responses", "/stats")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=target.context())
        )
        with opener.open(url, timeout=5) as reply:
            found: dict[str, int] = json.load(reply)
            return found

    async with CLIENTS[name][1](target) as call:
        task = asyncio.ensure_future(call())
        while not (await asyncio.to_thread(stats))["in_flight"]:
            if task.done():
                raise RuntimeError(f"the call did not stay open: {task.exception() or 'it was answered'}")
        before = time.perf_counter()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while time.perf_counter() - before < 1:
            if (await asyncio.to_thread(stats))["closed_in_flight"]:
                return {"seconds": time.perf_counter() - before}
        return {"seconds": None}


def child(args: argparse.Namespace) -> None:
    target = Target(args.url, args.ca_file)
    run: Callable[..., Any] = importlib.import_module("uvloop").run if find_spec("uvloop") else asyncio.run
    if args.gate:
        print(json.dumps(run(cancel_gate(args.child, target))))
    else:
        print(json.dumps(run(measure(args.child, target, args.in_flight[0], args.calls))))


def in_child(name: str, target: Target, in_flight: int, calls: int, *, gate: bool = False) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, "--url", target.url]
    command += ["--in-flight", str(in_flight), "--calls", str(calls)]
    command += ["--ca-file", target.ca_file] if target.ca_file else []
    command += ["--gate"] if gate else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return {"error": "not finished in 120 s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["failed"])[-1][:60]}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def certificate(folder: Path) -> tuple[Path, Path]:
    if not shutil.which("openssl"):
        sys.exit("TLS needs the openssl command")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=stand-in", "-newkey", "rsa:2048"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def missing(name: str) -> str | None:
    """Why a client is left out, if it is."""
    absent = [module for module in CLIENTS[name][0] if not find_spec(module)]
    return f"{absent[0]} is not installed" if absent else None


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64], help="calls open at a time")
    parser.add_argument("--calls", type=int, default=4000, help="calls measured (at least twice those in flight)")
    parser.add_argument("--tls", action="store_true", help="HTTPS with a certificate made for the run")
    parser.add_argument("--only", nargs="+", choices=list(CLIENTS), help="these clients")
    for hidden in ("--child", "--url", "--ca-file"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--gate", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        child(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        tls = certificate(Path(folder)) if args.tls else None
        ca_file = str(tls[0]) if tls else None
        scheme = "HTTP/1.1 over TLS" if args.tls else "HTTP/1.1, plain"
        print(f"{scheme}; the endpoint answers at once up to 64 in flight, after 1 s above\n")
        print(
            f"{'client':<18} {'in flight':>9} {'CPU ms/call':>12} {'calls/s':>9} {'peak MiB':>9}  cancelled call closed"
        )
        for name in args.only or CLIENTS:
            if reason := missing(name):
                print(f"{name:<18} not run: {reason}")
                continue
            with running_standin(10_000, tls=tls) as base:
                seen = in_child(name, Target(f"{base}/responses", ca_file), 1, 1, gate=True)
            gate = seen.get("error") or ("no" if seen["seconds"] is None else f"after {1000 * seen['seconds']:.0f} ms")
            for count in args.in_flight:
                if count > MOST_IN_FLIGHT.get(name, count):
                    print(f"{name:<18} {count:>9} not run: its cost grows with the square")
                    continue
                with running_standin(1000 if count > 64 else 0, tls=tls) as base:
                    target = Target(f"{base}/responses", ca_file)
                    row = in_child(name, target, count, max(args.calls, 2 * count))
                figures = row.get("error") or f"{row['ms']:>12.3f} {row['rate']:>9.0f} {row['mib']:>9.0f}"
                print(f"{name:<18} {count:>9} {figures}  {gate}", flush=True)


if __name__ == "__main__":
    main()
