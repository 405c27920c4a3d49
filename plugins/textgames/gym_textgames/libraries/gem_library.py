"""GEM: worlds whose actions and observations are text."""

from __future__ import annotations

from typing import Any

from gym_textgames.game import Game, RegistryLibrary, Seen, Settings


class GemGame(Game):
    """A world of GEM; it has rules of its own for an answer that it cannot read."""

    def __init__(self, world: Any) -> None:
        self._world = world

    def reset(self, seed: int) -> Seen:
        """Begin."""
        observation, info = self._world.reset(seed=seed)
        return Seen(_text(observation, info))

    def step(self, answer: str) -> Seen:
        """Hand the answer on as it is."""
        observation, reward, terminated, truncated, info = self._world.step(answer)
        ended = "terminated" if terminated else "truncated" if truncated else ""
        return Seen(_text(observation, {} if ended else info), reward=float(reward), ended=ended)


class GemLibrary(RegistryLibrary):
    """The package gem-llm."""

    package = "gem"
    extra = "gem"

    def game(self, made: Any, library: Any, settings: Settings) -> Game:
        """A world."""
        return GemGame(made)


def _text(observation: Any, info: Any) -> str:
    suffix = info.get("suffix") if isinstance(info, dict) else None
    return "\n".join(str(part) for part in (observation, suffix) if part)
