"""A small run with everything that formats for trainers have to cope with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gym_core import Episode, Item, Request, Stop, StopReason, Task, tool
from gym_core.responses import item_text
from gym_testing import think
from tests.support.agents import FunctionAgent
from tests.support.envs import PlainSession, env
from tests.support.models import call, say
from tests.support.running import config, execute
from tests.support.tokens import TokenModel

REWARDS = {"calls": (1.0, 0.25, 0.0), "thinks": (0.5, 0.5, 0.5), "cut": (0.0, 1.0, 0.5), "fails": (1.0, None, 0.0)}
"""The rewards of each task's repeats; None for a failure."""
FAILED = sum(reward is None for rewards in REWARDS.values() for reward in rewards)
ROLLOUTS = sum(map(len, REWARDS.values()))


class Office(PlainSession):
    """Two tools whose parameters have nothing in common."""

    @tool
    def look(self, at: str) -> str:
        """Look at something."""
        return f"seen {at}"

    @tool
    def find(self, id: int, deep: bool) -> str:
        """Find something."""
        return f"found {id}"

    def verify(self, trajectory: Any) -> float:
        """As it is written."""
        reward = REWARDS[self.task.task_id][self._context.repeat]
        if reward is None:
            raise RuntimeError("the verifier broke")
        return reward


def _answer(request: Request) -> Sequence[Item]:
    asked = [item_text(item) for item in request.input if item.get("role") == "user"]
    turn = sum(item.get("type") == "function_call_output" for item in request.input)
    if "calls" in asked[0] and turn < 2:
        return [call("look", {"at": "Oslo"}, "c1")] if turn == 0 else [call("find", {"id": 7, "deep": True}, "c1")]
    if "thinks" in asked[0]:
        return [think("let me see"), say("ok so é 🌍")]
    return [say("ok so")]


async def _agent(episode: Episode) -> Stop:
    items = list(episode.request.input)
    while True:
        answer = await episode.respond(items)
        items += answer.output
        if not answer.function_calls:
            break
        items += await episode.call_tools(answer.function_calls)
    if "cut" in item_text(items[0]):
        return Stop(StopReason.MAX_TURNS)
    return Stop(StopReason.COMPLETED)


def write_run(output: Path, *, tokens: bool = True, splits: bool = False) -> Path:
    """Collect it. `splits`: what is sampled is encoded anew when it comes back, so that there are breaks."""
    tasks = [Task.ask(f"{name} please", task_id=name, answer=name, instructions="Be brief.") for name in REWARDS]
    model = TokenModel(
        lambda request, *_: _answer(request),
        splits=splits,
        versions=("17",),
        silent=() if tokens else tuple(range(100)),
    )
    wanted = config(model, env(Office, tasks=tasks), FunctionAgent(_agent), output=output, repeats=3, concurrency=1)
    asyncio.run(execute(wanted))
    return output
