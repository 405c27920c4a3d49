"""What a game of any library is to a session."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reset or a step gave: what `player` is shown, who acts next.

    `reward`: of this step. `ended`: why the game is over, empty while it is not. `valid`: False for an answer that
    names no action, by which nothing has happened.
    """

    text: str
    player: int = 0
    reward: float = 0.0
    ended: str = ""
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What a game is made with. `names`: of its actions. `players`: how many, 0 for as few as it takes."""

    names: Sequence[str] = ()
    players: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Game(ABC):
    """One game at a time. Its methods run guarded, and may raise whatever the library raises."""

    players: int = 1

    @property
    def instructions(self) -> str:
        """What a player is told before the first observation."""
        return ""

    @abstractmethod
    def reset(self, seed: int) -> Seen:
        """Begin."""

    @abstractmethod
    def step(self, answer: str) -> Seen:
        """Let the player whose turn it is act as its answer says."""

    def rewards(self) -> Mapping[int, float] | None:
        """The rewards by player where the library says them at the end, else None: those of the steps count."""
        return None

    def details(self) -> Mapping[str, Any]:
        """What else is to be said of a game that is over, as JSON."""
        return {}

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what the game holds."""


class Library(ABC):
    """A library of games, imported when it is first used."""

    package: ClassVar[str]
    """What is imported."""
    extra: ClassVar[str]
    """Its extra of this distribution."""

    @abstractmethod
    def ids(self) -> Sequence[str]:
        """The ids that it knows."""

    @abstractmethod
    def make(self, name: str, settings: Settings) -> Game:
        """A game by its id. Raises what the library raises, and `UsageError` for one that cannot be played as text."""


class RegistryLibrary(Library):
    """A library with an `ENV_REGISTRY` of its games."""

    def ids(self) -> Sequence[str]:
        """The ids of its registry."""
        importlib.import_module(self.package)
        return list(importlib.import_module(f"{self.package}.envs.registration").ENV_REGISTRY)

    def make(self, name: str, settings: Settings) -> Game:
        """A game by its id. Raises `LookupError` for one that the registry lacks."""
        if name not in self.ids():
            raise LookupError(name)
        library = importlib.import_module(self.package)
        return self.game(library.make(name, **settings.arguments), library, settings)

    @abstractmethod
    def game(self, made: Any, library: Any, settings: Settings) -> Game:
        """The game for what the library made."""
