"""Plays games of TextArena and GEM with scripts: `python check_games.py`, in a venv that has them and gym."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import gym_core
from gym_core import CallContext, ComponentContext, ModelBackend, Request, Response, Rollout, UsageError
from gym_textgames.environment import GameOptions, GameServer, Gem, TextArena


class Script(ModelBackend):
    """Says these in turn."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self.lines = list(lines)
        self.requests: list[Request] = []

    async def respond(self, request: Request, context: CallContext) -> Response:
        self.requests.append(request)
        content = [{"type": "output_text", "text": self.lines.pop(0)}]
        return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})


def play(server: type[GameServer], name: str, lines: Sequence[str], other: Any = None, **options: Any) -> Rollout:
    """The rollout of the first task."""

    async def collect() -> Rollout:
        models: dict[str, Any] = {"policy": Script(lines)}
        if other is not None:
            models["opponent"] = other
        env = server(GameOptions(id=name, **options), ComponentContext())
        run = gym_core.collect(model=models, env=env, limit=1, agent_options={"max_turns": 100})
        (rollout,) = [rollout async for rollout in run]
        assert rollout.error is None, rollout.error
        return rollout

    return asyncio.run(collect())


def games_of_two() -> None:
    won = play(TextArena, "TicTacToe-v0", ["[0]", "[1]", "[2]"], other := Script(["[3]", "[4]"]))
    assert won.rewards == {"policy": 1.0, "opponent": -1.0}, won.rewards
    assert won.stop_reason == "game_over"
    assert len(other.requests[1].input) > len(other.requests[0].input)
    lost = play(TextArena, "TicTacToe-v0", ["[0]", "[1]", "[8]"], Script(["[3]", "[4]", "[5]"]))
    assert (lost.reward, lost.rewards["opponent"]) == (-1.0, 1.0), lost.rewards
    second = play(TextArena, "TicTacToe-v0", ["[3]", "[4]"], Script(["[0]", "[1]", "[2]"]), seat=1)
    assert (second.reward, second.rewards["opponent"]) == (-1.0, 1.0), second.rewards
    itself = play(TextArena, "TicTacToe-v0", ["[0]", "[3]", "[1]", "[4]", "[2]"])
    assert itself.rewards == {"policy": 1.0, "opponent": -1.0}, itself.rewards
    assert [made["actor"] for made in itself.model_calls][:3] == ["policy", "opponent", "policy"]
    twice = play(TextArena, "TicTacToe-v0", ["[0]", "[0]", "[0]"], Script(["[3]"]))
    assert twice.reward == -1.0
    assert "invalid move" in str(twice.trajectory.items)


def games_of_one() -> None:
    lake = play(TextArena, "FrozenLake-v0", ["[right]"] * 2 + ["[nonsense]"] * 9)
    assert lake.reward is not None
    name = "game:GuessTheNumber-v0-easy"
    tries = [play(Gem, name, [f"\\boxed{{{number}}}", "I do not know."]) for number in range(1, 11)]
    right = next(rollout for rollout in tries if rollout.info["steps"] == 1)
    assert right.reward == 1.0, right.info
    assert [rollout.reward for rollout in tries].count(1.0) == 1
    assert right.stop_reason == "terminated"


def errors() -> None:
    async def enter(server: type[GameServer], name: str) -> str:
        try:
            async with server(GameOptions.model_validate({"id": name}), ComponentContext()):
                return ""
        except UsageError as error:
            return str(error)

    assert "did you mean TicTacToe-v0" in asyncio.run(enter(TextArena, "TicTacTo-v0"))
    assert "game:GuessTheNumber-v0" in asyncio.run(enter(Gem, "game:GuessTheNumber-v0"))


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()) as printed:
        games_of_two()
        games_of_one()
        errors()
    sys.exit(f"a library printed {printed.getvalue()[:200]!r}" if printed.getvalue() else 0)
