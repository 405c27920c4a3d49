"""The guard around a library's code: calls that hang, and games that are over without a reward."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from gym_core import Rollout, UsageError
from gym_textgames import guard
from gym_textgames.environment import GameOptions, GameServer
from gym_textgames.game import Game, Library, Seen, Settings
from gym_textgames.guard import RandomState, in_thread


def test_a_call_that_hangs_loses_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HANGING", 0.05)
    free, begun, over = threading.Event(), threading.Event(), threading.Event()
    threads = list[threading.Thread]()

    def hang() -> None:
        threads.append(threading.current_thread())
        free.wait(60)

    def draw() -> float:
        begun.set()
        assert over.wait(30)
        return random.random()

    async def play() -> list[float]:
        state = RandomState(2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_thread(RandomState(1), hang), 0.1)
        (hanging,) = threads
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


def test_calls_are_made_in_order_by_one_thread_and_those_given_up_not_at_all() -> None:
    made = list[tuple[int, str]]()
    free = threading.Event()

    def call(name: str) -> None:
        made.append((threading.get_ident(), name))
        assert name != "first" or free.wait(30)

    async def play() -> None:
        first, second, third = (
            asyncio.ensure_future(in_thread(RandomState(1), call, name)) for name in ("first", "second", "third")
        )
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(first, third)

    asyncio.run(play())
    assert [name for _, name in made] == ["first", "third"]
    assert len({thread for thread, _ in made}) == 1


def test_each_game_draws_from_numpy_as_if_it_were_alone() -> None:
    numpy = pytest.importorskip("numpy")
    states = [RandomState(seed) for seed in (1, 2)]

    async def play() -> list[list[float]]:
        drawn = list[list[float]]([[], []])
        for _ in range(3):  # the second of each two normal numbers is kept from the first
            for numbers, state in zip(drawn, states, strict=True):
                numbers.append(await in_thread(state, numpy.random.normal))
        return drawn

    before = numpy.random.get_state()
    drawn = asyncio.run(play())
    assert drawn == [[alone.normal() for _ in range(3)] for alone in map(numpy.random.RandomState, (1, 2))]
    after = numpy.random.get_state()
    assert (after[1] == before[1]).all()
    assert after[2:] == before[2:]


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


def test_a_game_that_blocks_while_it_is_made_is_given_up_in_one_line() -> None:
    free = threading.Event()

    class Blocking(Endings):
        def make(self, name: str, settings: Settings) -> Game:
            free.wait(60)
            return Ending({})

    class Blocked(GameServer):
        library = Blocking({})

    async def open_it() -> None:
        async with Blocked(GameOptions.model_validate({"id": "x", "loading": 0.1})):
            raise AssertionError("it is open")

    try:
        with pytest.raises(UsageError, match=r"^blocked:x did not load within 0\.1 s: it is in `wait` of threading"):
            asyncio.run(open_it())
    finally:
        free.set()
