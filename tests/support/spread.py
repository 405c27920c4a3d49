"""Components that other processes can import, and that do what the text of a task tells them, as JSON.

What a model is told: `error` (see `ERRORS`), `sleep` (seconds), `hang`, `usage`, `say`, `die` (its process, every
time), `die_once` (a file that says that it has), `mark` (a file that it makes when it is asked), `log` (a warning),
`meet` (a folder, where it waits until two processes have come), `wait_for` (a file).
`verify` says in `info` which process it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr

import gym_core
from gym_core import (
    Agent,
    CallContext,
    Episode,
    ModelBackend,
    Request,
    ResourceServer,
    Response,
    Rollout,
    Session,
    Stop,
    Task,
    Trajectory,
    Verdict,
    hookimpl,
    tool,
)
from gym_core.domain import errors

if TYPE_CHECKING:
    from gym_testing.isolation import IsolatedPlugins

ERRORS = {
    "wrong key": errors.AuthenticationError("the key is refused"),
    "bad request": errors.BadRequestError("no such option", status=400),
}
PARENT = "GYM_TEST_PARENT"
"""The variable that holds the process of the test, for components that fail elsewhere only."""


def play(directions: dict[str, Any]) -> None:
    """What needs no waiting."""
    if "mark" in directions:
        Path(directions["mark"]).touch()
    if "log" in directions:
        gym_core.ComponentContext().logger.warning("%s", directions["log"])
    if "die_once" in directions and not (marker := Path(directions["die_once"])).exists():
        marker.touch()
        directions = {**directions, "die": True}
    if directions.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)


async def meet(folder: Path) -> None:
    """Wait until two processes have been here."""
    (folder / str(os.getpid())).touch()
    while len(os.listdir(folder)) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


class SpreadModelOptions(gym_core.Options):
    """None of them need be set."""

    key: SecretStr = Field(SecretStr(""), description="A secret.")
    max_output_tokens: int | None = Field(None, description="Most tokens of an answer.")
    fail_elsewhere: bool = Field(False, description="Whether it cannot be opened in a worker.")
    die_elsewhere: bool = Field(False, description="Whether opening it ends a worker.")


class SpreadModel(ModelBackend[SpreadModelOptions]):
    """Does what it is told."""

    async def __aenter__(self) -> SpreadModel:
        if os.environ.get(PARENT, str(os.getpid())) != str(os.getpid()):
            if self.options.die_elsewhere:
                os._exit(7)
            if self.options.fail_elsewhere:
                raise RuntimeError(f"no room here, {self.options.key.get_secret_value()}")
        return self

    async def respond(self, request: Request, context: CallContext) -> Response:
        """Answer as told."""
        content = request.input[-1].get("content", "{}")
        text = content if isinstance(content, str) else content[0]["text"]
        directions: dict[str, Any] = json.loads(text)
        play(directions)
        if "error" in directions:
            raise ERRORS[directions["error"]]
        await asyncio.sleep(directions.get("sleep", 0))
        if "meet" in directions:
            await meet(Path(directions["meet"]))
        while "wait_for" in directions and not Path(directions["wait_for"]).exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
        if directions.get("hang"):
            await asyncio.Event().wait()
        answer = directions.get("say", "done").replace("KEY", self.options.key.get_secret_value())
        output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]}]
        taken = directions.get("usage", [10, 2])
        usage = {"input_tokens": taken[0], "output_tokens": taken[1], "total_tokens": sum(taken)}
        return Response({"id": "r", "model": "told", "output": output, "usage": usage})


class SpreadSession(Session[Any]):
    """Rewards as the task says."""

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    def verify(self, trajectory: Trajectory) -> Verdict:
        """Its reward, and where it was given."""
        if self.task.get("broken"):
            raise ValueError("cannot judge this")
        info = {"process": os.getpid(), "arguments": sys.argv, "seed": self.seed, **odd_values(self.task)}
        return Verdict(float(self.task.get("reward_wanted", 1.0)), {"half": 0.5}, info)


def odd_values(task: Task) -> dict[Any, Any]:
    """What is no plain JSON, where a task asks for it."""
    return {"odd": {2**70}, 7: Path(os.fsdecode(b"\xff")), "thing": task.get("thing")} if "thing" in task else {}


class SpreadEnv(ResourceServer):
    """Twelve tasks that are done at once."""

    session_type = SpreadSession

    def tasks(self) -> Iterable[Task]:
        """Its tasks."""
        return [told(number) for number in range(12)]


class SpreadGroups(SpreadEnv):
    """The same, scoring rollouts of a task together: each has what its reward is above the mean."""

    def score_group(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """The verdicts, which say which process gave them."""
        mean = sum(rollout.reward or 0.0 for rollout in rollouts) / len(rollouts)
        return [Verdict((rollout.reward or 0.0) - mean, info={"scored_in": os.getpid()}) for rollout in rollouts]


class SpreadAgent(Agent):
    """Asks once."""

    async def run(self, episode: Episode) -> Stop:
        """Ask once."""
        return Stop((await episode.respond(episode.request.input)).stop_reason)


@hookimpl(contract=1)
def gym_model_backends() -> dict[str, type[ModelBackend]]:
    return {"spread_model": SpreadModel}


@hookimpl(contract=1)
def gym_resource_servers() -> dict[str, type[ResourceServer]]:
    return {"spread_env": SpreadEnv, "spread_groups": SpreadGroups}


@hookimpl(contract=1)
def gym_agents() -> dict[str, type[Agent]]:
    return {"spread_agent": SpreadAgent}


GROUPS = {"gym.models": "spread_model", "gym.resource_servers": "spread_env", "gym.agents": "spread_agent"}
COMPONENTS: dict[str, Any] = {"model": "spread_model", "env": "spread_env", "agent": "spread_agent"}


def told(number: int, fields: Mapping[str, Any] | None = None, /, **directions: Any) -> Task:
    """A numbered task with directions for the model."""
    return Task.ask(json.dumps(directions), task_id=f"t{number}", **(fields or {}))


def write_tasks(path: Path, tasks: Sequence[Task]) -> Path:
    """Tasks as a file."""
    path.write_bytes(b"".join(json.dumps(task.row).encode() + b"\n" for task in tasks))
    return path


def install(plugins: IsolatedPlugins) -> None:
    """Make these components those that are installed."""
    named = {group: {name: __name__} for group, name in GROUPS.items()}
    named["gym.resource_servers"]["spread_groups"] = __name__
    plugins.record("spread", named, "1.0", "Spread")
