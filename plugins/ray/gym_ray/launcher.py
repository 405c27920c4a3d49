"""Workers as actors of a Ray cluster, or of a Ray that is started on this machine for the run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from gym_core import ComponentContext, Operational, Options, Selector, UsageError
from gym_ray.packages import runtime_env
from gym_ray.worker import RayWorker
from gym_workers import FrameReader, Receive, WorkerChannel, WorkerLauncher

FRAMES_AHEAD = 64
"""Frames of a worker that Ray keeps until they are read."""
PATIENCE = 10.0
"""Seconds in which a cluster has to accept a connection."""
_UNITS = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}


class RayOptions(Options):
    """Where the cluster is, and what a worker takes of it."""

    address: Annotated[str | None, Selector(), Operational()] = Field(
        None,
        description="The cluster, as its head node printed it, or `auto`. Without it a Ray is started on this machine.",
    )
    resources: Annotated[Mapping[str, float], Operational()] = Field(
        default_factory=dict,
        description="What each worker takes: `CPU` (1 by default), `GPU`, `memory` in bytes, or one of your own.",
    )
    ship: Annotated[bool | None, Operational()] = Field(
        None, description="Send the packages of the run to the cluster's nodes; by default where there is an address."
    )


class RayLauncher(WorkerLauncher[RayOptions]):
    """Workers are actors of a Ray cluster, or of a Ray that is started on this machine for the run.

    Ray restarts nothing: what died is the coordinator's to judge.
    """

    def __init__(self, options: Any = None, context: ComponentContext | None = None) -> None:
        super().__init__(options, context)
        self._ray: Any = None
        self._actor: Any = None
        self._ours = False

    async def __aenter__(self) -> Self:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as error:
            raise UsageError(
                f"the executor `ray` needs the package `ray`: {error}", hint="pip install --upgrade gym-ray"
            ) from error
        return self

    async def prepare(self, workers: int, distributions: Sequence[str]) -> None:
        """Connect to the cluster, or start one. Raises `UsageError`."""
        ray, resources = self._ray, dict(self.options.resources)
        ours = not ray.is_initialized()
        ship = self.options.ship if self.options.ship is not None else ours and self.options.address is not None
        if ours:
            environment = runtime_env(distributions) if ship else None
            await asyncio.to_thread(_connect, ray, self.options, workers, environment)
            self._ours = True
        elif ship:
            raise UsageError(
                "Ray is connected already, and packages can only be sent when it connects",
                hint="leave `ship` out, and give `ray.init` a `runtime_env` of your own",
            )
        options: dict[str, Any] = {_UNITS[name]: amount for name, amount in resources.items() if name in _UNITS}
        options["resources"] = {name: amount for name, amount in resources.items() if name not in _UNITS}
        options.setdefault("num_cpus", 1)
        self._actor = ray.remote(**options, max_restarts=0, max_task_retries=0, max_concurrency=1000)(RayWorker)

    def start(self, number: int, receive: Receive, gone: Callable[[str], None]) -> WorkerChannel:
        """Have an actor placed. What it is sent until then waits for it."""
        return _RayChannel(self._ray, self._actor.remote(), number, receive, gone)

    async def __aexit__(self, *error: object) -> None:
        """Kill what is left, and leave the cluster if this run has joined it."""
        await super().__aexit__(*error)
        if self._ours:
            self._ours = False
            await asyncio.to_thread(self._ray.shutdown)


def _connect(ray: Any, options: RayOptions, workers: int, environment: Mapping[str, Any] | None) -> None:
    address = options.address
    if address is not None:
        _require_listener(address)
    settings: dict[str, Any] = {"address": address or "local", "runtime_env": environment}
    if address is None:
        cores = workers * max(1, round(options.resources.get("CPU", 1)))
        settings |= {"num_cpus": max(os.cpu_count() or 1, cores), "include_dashboard": False}
    try:
        ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # connecting fails in many ways, each with a class of its own
        where = f"the Ray cluster at {address}" if address else "Ray on this machine"
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{where} cannot be reached: {first}", hint="`ray status` says whether one runs") from error


def _require_listener(address: str) -> None:
    """Raise `UsageError` where nobody listens at `[ray://]HOST:PORT`: Ray itself would go on trying for very long."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isascii() and port.isdigit()):
        return  # `auto` and the like, which Ray looks up on this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"the Ray cluster at {address} cannot be reached: {error}", hint="`ray status` says whether one runs"
        ) from error


class _RayChannel:
    """One actor. `over`: done once it has ended and its last frame was received."""

    def __init__(self, ray: Any, actor: Any, number: int, receive: Receive, gone: Callable[[str], None]) -> None:
        self.name = f"worker {number} (Ray actor {actor._actor_id.hex()[:12]})"
        self._ray = ray
        self._actor = actor
        self._reader = FrameReader(receive)
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._unsent: list[bytes] = []
        self._killed = asyncio.Event()
        self.over: asyncio.Task[None] = asyncio.create_task(self._live())

    def send(self, frame: bytes) -> None:
        """Send a frame; those of one moment share a call, because a call costs far more than a frame."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)

    def kill(self) -> None:
        """End the actor at once."""
        self._killed.set()
        with contextlib.suppress(Exception):  # it may be dead, and the cluster with it
            self._ray.kill(self._actor, no_restart=True)

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if not self._killed.is_set():
            with contextlib.suppress(Exception):  # its end is noticed where its frames are read
                self._actor.receive.remote(self._number, data)
                self._number += 1

    async def _live(self) -> None:
        reading = asyncio.create_task(self._read())
        killed = asyncio.create_task(self._killed.wait())
        await asyncio.wait([reading, killed], return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if not reading.done():
            reading.cancel()  # one that was never placed would not tell that it was killed
            await asyncio.wait([reading])
        how = "it was killed" if reading.cancelled() else reading.result()
        self.kill()  # one that nobody can talk to must not go on
        self._gone(how)

    async def _read(self) -> str:
        method = self._actor.frames.options(
            num_returns="streaming", _generator_backpressure_num_objects=FRAMES_AHEAD, max_task_retries=0
        )
        try:
            async for reference in method.remote():
                self._reader.feed(await reference)
        except Exception as error:  # whatever Ray calls it: the actor or its node is gone
            first = (str(error).strip() or "no reason given").splitlines()[0]
            return f"{type(error).__name__}: {first}"
        return "it has ended"
