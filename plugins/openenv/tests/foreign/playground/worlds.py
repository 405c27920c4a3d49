"""Environments with actions of their own."""

from __future__ import annotations

import base64
import os
import random
import time
from typing import Any, Literal

from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from pydantic import Field

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()


class Guess(Action):
    """Guess the number."""

    number: int = Field(ge=0, le=9, description="Your guess.")


class Seen(Observation):
    hint: str = ""
    left: int = 0


class World(Environment):
    """What they have in common."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()
        self._random = random.Random(0)

    def _begin(self, seed: int | None) -> None:
        self._random = random.Random(seed)
        self._state = State()

    @property
    def state(self) -> State:
        return self._state


class Numbers(World):
    """Higher or lower, with rewards that do not add up evenly."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, tries: int = 6, **_: Any) -> Seen:
        self._begin(seed)
        self._secret, self._left = self._random.randrange(10), tries
        return Seen(hint="Guess a number from 0 to 9.", left=tries)

    def step(self, action: Guess, timeout_s: float | None = None, **_: Any) -> Seen:
        self._left -= 1
        if action.number == self._secret:
            return Seen(hint="right", left=self._left, reward=1.0, done=True)
        hint = "higher" if action.number < self._secret else "lower"
        return Seen(hint=hint, left=self._left, reward=-0.1, done=self._left == 0)

    def get_metadata(self) -> EnvironmentMetadata:
        return EnvironmentMetadata(name="numbers", description="Find the number.")


class Alone(Numbers):
    """Several of it get into each other's way."""

    SUPPORTS_CONCURRENT_SESSIONS = False


class Word(Action):
    message: str


class Hangman(World):
    """Letters by text."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        self._begin(seed)
        self._word, self._found = self._random.choice(["gym", "open", "agent"]), set[str]()
        return Seen(hint="_" * len(self._word))

    def step(self, action: Word, timeout_s: float | None = None, **_: Any) -> Seen:
        letters = set(action.message.lower()) & set(self._word)
        new, self._found = letters - self._found, self._found | letters
        shown = "".join(letter if letter in self._found else "_" for letter in self._word)
        return Seen(hint=shown, reward=len(new) / len(set(self._word)), done="_" not in shown)


class Move(Action):
    way: Literal["left", "right"]


class Picture(Observation):
    screen: list[int] = Field(default_factory=list)
    screen_shape: list[int] = Field(default_factory=list)
    shot: list[list[list[int]]] | None = None
    drawn: str = ""


class Corridor(World):
    """What is seen is drawn, in each of the ways that environments draw; whole numbers and bools are rewards."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Picture:
        self._begin(seed)
        self._place = 2
        return self._seen()

    def step(self, action: Move, timeout_s: float | None = None, **_: Any) -> Picture:
        self._place += 1 if action.way == "right" else -1
        return self._seen(reward=self._place == 4, done=self._place in (0, 4))

    def _seen(self, **more: Any) -> Picture:
        row = [[255 if place == self._place else 0] * 3 for place in range(8)]
        return Picture(screen=[value for _ in range(8) for pixel in row for value in pixel], screen_shape=[8, 8, 3],
                       shot=[row] * 8, drawn=PIXEL, **more)  # fmt: skip


class Nothing(Action):
    pass


class Coin(World):
    """An action without fields; some steps give no reward."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        self._begin(seed)
        self._tossed = 0
        return Seen(hint="Toss.", reward=0.0)

    def step(self, action: Nothing, timeout_s: float | None = None, **_: Any) -> Seen:
        self._tossed += 1
        heads = self._random.random() < 0.5
        return Seen(hint="heads" if heads else "tails", reward=1 if heads else None, done=self._tossed == 5)


class Order(Action):
    kind: Literal["slow", "raise", "die", "none", "nan", "ok"]
    details: dict[str, Any] = Field(default_factory=dict)


class Trouble(World):
    """Everything that goes wrong in a step."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, broken: bool = False, **_: Any) -> Seen:
        if broken:
            raise RuntimeError("the reset is broken")
        return Seen(hint="Order.")

    def step(self, action: Order, timeout_s: float | None = None, **_: Any) -> Seen:
        if action.kind == "slow":
            time.sleep(3)
        if action.kind == "raise":
            raise RuntimeError("the kitchen is closed")
        if action.kind == "die":
            print("I am dying", flush=True)
            os._exit(7)
        rewards = {"none": None, "nan": float("nan")}
        return Seen(hint="served", reward=rewards.get(action.kind, 0.25))


class Heavy(World):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no memory for a world")

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        return Seen()

    def step(self, action: Word, timeout_s: float | None = None, **_: Any) -> Seen:
        return Seen()
