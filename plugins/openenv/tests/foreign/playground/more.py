"""Environments whose actions, observations and rewards come in the other ways that OpenEnv's documentation shows."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from fastmcp import FastMCP
from openenv.core.env_server.interfaces import Transform
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolObservation
from openenv.core.env_server.types import Action, Observation, State
from openenv.core.rubrics import Rubric
from pydantic import BaseModel, Field

from playground.worlds import Seen, Word, World


class Order(Enum):
    UP = "up"
    DOWN = "down"


class Place(BaseModel):
    """Where a number is put."""

    row: int = 0
    column: int = Field(0, ge=0, le=5)


class Arrange(Action):
    """Put numbers in order."""

    values: list[int] = Field(min_length=1)
    order: Order = Order.UP
    place: Place | None = None


class Sorting(World):
    """Nested actions, with lists, choices and parts that may be left out; `level` of the reset is how many numbers."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, level: int = 3, **_: Any) -> Seen:
        self._begin(seed)
        self._values = [self._random.randrange(10) for _ in range(level)]
        return Seen(hint=f"Sort {self._values}.", left=level)

    def step(self, action: Arrange, timeout_s: float | None = None, **_: Any) -> Seen:
        wanted = sorted(self._values, reverse=action.order is Order.DOWN)
        right = sum(one == other for one, other in zip(action.values, wanted, strict=False))
        reward = right / len(wanted) / (3 if action.place is None else 7 + action.place.column)
        return Seen(hint=f"{right} right", reward=reward, done=right == len(wanted))


class Shortness(Rubric):
    def forward(self, action: Any, observation: Any) -> float:
        return 1.0 / (1 + len(action.message))


class Letters(Rubric):
    def forward(self, action: Any, observation: Any) -> float:
        return len(set(action.message)) / 26


class Taste(Rubric):
    """Two rubrics, weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.short, self.letters = Shortness(), Letters()

    def forward(self, action: Any, observation: Any) -> float:
        return 0.3 * self.short(action, observation) + 0.7 * self.letters(action, observation)


class Judged(World):
    """Rewards by a rubric."""

    def __init__(self) -> None:
        super().__init__()
        self.rubric = Taste()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        self._begin(seed)
        return Seen(hint="Say something short with many letters.")

    def step(self, action: Word, timeout_s: float | None = None, **_: Any) -> Seen:
        seen = Seen(hint=action.message.upper())
        seen.reward = self._apply_rubric(action, seen)
        return seen


class Late(Transform):
    """What is seen late is worth less."""

    def __call__(self, observation: Any) -> Any:
        return observation.model_copy(update={"reward": 1 / 3**observation.left, "done": observation.left == 4})


class Clock(World):
    """Asynchronous, with a transform that gives the rewards."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = Late()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        raise AssertionError("it is asynchronous")

    def step(self, action: Word, timeout_s: float | None = None, **_: Any) -> Seen:
        raise AssertionError("it is asynchronous")

    async def reset_async(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        self._begin(seed)
        self._ticks = seed or 0
        return Seen(hint="tick", left=self._ticks)

    async def step_async(self, action: Word, timeout_s: float | None = None, **_: Any) -> Any:
        await asyncio.sleep(0.001)
        self._ticks += 1
        return self._apply_transform(Seen(hint=action.message, left=self._ticks))


class Spend(Action):
    amount: float
    note: str = "é"


class Ledger(World):
    """Amounts that do not add up evenly, in actions and in rewards."""

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Seen:
        self._begin(seed)
        self._held = self._random.random() * 1e6
        return Seen(hint=f"{self._held!r}", reward=self._held)

    def step(self, action: Spend, timeout_s: float | None = None, **_: Any) -> Seen:
        self._held -= action.amount
        return Seen(hint=f"{self._held!r} {action.note}", reward=-action.amount / 7, done=self._held < 0)


class Shelf(MCPEnvironment):
    """Tools that take lists, objects and nothing; only the end gives a reward."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        mcp = FastMCP("shelf")
        self._state, self._books = State(), list[str]()

        @mcp.tool
        def put(titles: list[str], at: dict[str, int] | None = None) -> dict[str, Any]:
            """Put books on the shelf."""
            if not titles:
                raise ValueError("no book")
            self._books[(at or {}).get("place", 0) : 0] = titles
            return {"books": self._books, "count": len(self._books)}

        @mcp.tool
        def lock() -> str:
            """Lock the shelf: it is full."""
            self._books.append("")
            return "locked"

        super().__init__(mcp)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Observation:
        self._books.clear()
        self._wanted = 2 + (seed or 0)
        return Observation(metadata={"wanted": self._wanted})

    def _step_impl(self, action: Action, timeout_s: float | None = None, **_: Any) -> Observation:
        return Observation(metadata={"error": "unknown"})

    async def step_async(self, action: Action, timeout_s: float | None = None, **more: Any) -> Observation:
        seen = await super().step_async(action, timeout_s=timeout_s, **more)
        if isinstance(seen, CallToolObservation) and seen.tool_name == "lock" and seen.error is None:
            seen = seen.model_copy(update={"reward": (len(self._books) - 1) / self._wanted, "done": True})
        return seen

    @property
    def state(self) -> State:
        return self._state
