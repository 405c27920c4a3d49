"""A model that answers after a while, and a verifier that takes its time: what `workers.py` and `simulation.py` run.

The verifier hashes, so that its time is CPU and nothing else; how often is an option, found by `rounds_for`.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

import gym_core
from gym_core import (
    Agent,
    CallContext,
    Episode,
    ModelBackend,
    Request,
    ResourceServer,
    Response,
    Session,
    Stop,
    Task,
    Trajectory,
    hookimpl,
)
from gym_testing.site import Site

BLOCK = bytes(1 << 14)
TEXT = "The answer to this question is a sentence of moderate length. " * 8


def burn(rounds: int) -> None:
    """Work."""
    for _ in range(rounds):
        hashlib.sha256(BLOCK).digest()


def rounds_for(seconds: float) -> int:
    """How many rounds take so long here."""
    burn(100)
    best = min(_timed(400) for _ in range(5)) / 400
    return max(0, round(seconds / best))


def _timed(rounds: int) -> float:
    started = time.process_time()
    burn(rounds)
    return time.process_time() - started


class BenchModelOptions(gym_core.Options):
    latency: float = Field(0.0, description="Median seconds; 0 answers at once.")
    spread: float = Field(1.0, description="Sigma of the logarithm.")


class BenchModel(ModelBackend[BenchModelOptions]):
    """Answers after a time with a heavy tail: log-normal, the same for the same task."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        if self.options.latency:
            chance = random.Random(f"{context.key[0]}/{context.key[1]}")
            await asyncio.sleep(chance.lognormvariate(0.0, self.options.spread) * self.options.latency)
        content = [{"type": "output_text", "text": TEXT, "annotations": []}]
        message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content}
        usage = {"input_tokens": 120, "output_tokens": 100, "total_tokens": 220}
        return Response({"id": "r", "object": "response", "model": "bench", "output": [message], "usage": usage})


class BenchSession(Session[Any]):
    def verify(self, trajectory: Trajectory) -> float:
        burn(self.server.options.rounds)
        return float("answer" in trajectory.output_text)


class BenchEnvOptions(gym_core.Options):
    rounds: int = Field(0, description="Work of the verifier.")


class BenchEnv(ResourceServer[BenchEnvOptions]):
    """A question per task."""

    session_type = BenchSession


class BenchAgent(Agent):
    """Asks once."""

    async def run(self, episode: Episode) -> Stop:
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_model_backends() -> Mapping[str, type[ModelBackend]]:
    return {"bench_model": BenchModel}


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    return {"bench_env": BenchEnv}


@hookimpl(contract=1)
def gym_agents() -> Mapping[str, type[Agent]]:
    return {"bench_agent": BenchAgent}


GROUPS = {"gym.models": "bench_model", "gym.resource_servers": "bench_env", "gym.agents": "bench_agent"}


@contextmanager
def installed() -> Iterator[Path]:
    """The components as an installed package, and a folder for files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module = Path(__file__).stem
        Site(folder / "site").record("bench", {group: {name: module} for group, name in GROUPS.items()}, "1.0", "Bench")
        sys.path[:0] = [str(folder / "site"), str(Path(__file__).parent)]
        yield folder


def write_tasks(path: Path, count: int) -> Path:
    """So many tasks of about a kilobyte."""
    import orjson

    with path.open("wb") as file:
        for number in range(count):
            row = Task.ask(f"Question {number}: " + TEXT, task_id=f"q{number}").row
            file.write(orjson.dumps({**row, "context": TEXT}) + b"\n")
    return path
