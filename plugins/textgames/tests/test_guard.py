"""The guard around a library's code: calls that hang, and games that are over without a reward."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from gym_core import Rollout
from gym_textgames import guard
from gym_textgames.environment import GameServer
from gym_textgames.game import Game, Library, Seen, Settings
from gym_textgames.guard import RandomState, in_thread


def test_a_call_that_hangs_loses_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HANGING", 0.05)
    free, begun, over = threading.Event(), threading.Event(), threading.Event()

    def draw() -> float:
        begun.set()
        assert over.wait(30)
        return random.random()

    async def play() -> list[float]:
        before, state = set(threading.enumerate()), RandomState(2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(RandomState(1), free.wait, 60), 0.1)
        (hanging,) = (one for one in set(threading.enumerate()) - before if one.name == "gym-textgames")
        async with asyncio.timeout(30):
            first = await in_thread(state, random.random)
            second = asyncio.ensure_future(in_thread(state, draw))
            assert await asyncio.to_thread(begun.wait, 30)
            free.set()  # it ends while another has its turn, and puts nothing back
            await asyncio.to_thread(hanging.join, 30)
            over.set()
            return [first, await second]

    expected = random.Random(2)
    assert asyncio.run(play()) == [expected.random(), expected.random()]


class Ending(Game):
    """Over at once. `given`: what its players get."""

    players = 2

    def __init__(self, given: Mapping[int, float]) -> None:
        self.given = given

    def reset(self, seed: int) -> Seen:
        return Seen("Play.")

    def step(self, answer: str) -> Seen:
        return Seen("", ended="game_over" if answer == "end" else "")

    def rewards(self) -> Mapping[int, float]:
        return self.given


class Endings(Library):
    package = "random"
    extra = "none"

    def __init__(self, given: Mapping[int, float]) -> None:
        self.given = given

    def ids(self) -> Sequence[str]:
        return ["x"]

    def make(self, name: str, settings: Settings) -> Game:
        return Ending(self.given)


@pytest.mark.parametrize("given", [{}, {1: 1.0}, {0: 1.0}])
def test_a_game_that_is_over_without_a_reward_is_a_failure(
    given: Mapping[int, float], rolled: Callable[..., Rollout]
) -> None:
    class Over(GameServer):
        library = Endings(given)

    rollout = rolled("x", "end", server=Over)
    assert (rollout.status.value, rollout.reward) == ("verifier_error", None)
    assert "is over and gave player" in str(rollout.error)


def test_a_game_that_was_cut_has_given_nothing(rolled: Callable[..., Rollout]) -> None:
    class Cut(GameServer):
        library = Endings({})

    rollout = rolled("x", "on", "on", server=Cut, steps=2)
    assert (rollout.stop_reason, rollout.reward, rollout.rewards) == (
        "step_limit",
        0.0,
        {"policy": 0.0, "opponent": 0.0},
    )
