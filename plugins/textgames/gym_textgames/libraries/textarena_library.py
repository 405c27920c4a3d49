"""TextArena: games of one player or several, in text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import UsageError
from gym_textgames.game import Game, RegistryLibrary, Seen, Settings

MOST_PLAYERS = 15
"""How many are tried where nobody says."""


class TextArenaGame(Game):
    """A game of TextArena. A player is shown what is new to it, not the whole game again each time."""

    def __init__(self, arena: Any, library: Any, players: int) -> None:
        self._arena = _without_histories(arena, library)
        self._own_action = library.ObservationType.PLAYER_ACTION
        self.players = players
        self._rewards: Mapping[int, float] = {}
        self._details: Mapping[int, Any] = {}

    def reset(self, seed: int) -> Seen:
        """Begin, with as few players as the game takes where nobody has said how many."""
        if self.players:
            self._arena.reset(num_players=self.players, seed=seed)
        else:
            self._reset_with_fewest(seed)
        return self._seen("")

    def _reset_with_fewest(self, seed: int) -> None:
        refusal: Exception | None = None
        for players in range(1, MOST_PLAYERS + 1):
            try:
                self._arena.reset(num_players=players, seed=seed)
            except (AssertionError, ValueError) as error:  # that is how a game says that these are too few
                refusal = error
                continue
            self.players = players
            return
        raise UsageError(f"it takes no number of players from 1 to {MOST_PLAYERS}: {refusal}", hint="give -E players=N")

    def step(self, answer: str) -> Seen:
        """Hand the answer on as it is; the game says what it takes for invalid."""
        done, _ = self._arena.step(action=answer)
        if not done:
            return self._seen("")
        rewards, self._details = self._arena.close()
        self._rewards = {int(player): float(reward) for player, reward in (rewards or {}).items()}
        return Seen("", ended="game_over")

    def rewards(self) -> Mapping[int, float]:
        """What the game has given its players."""
        return self._rewards

    def details(self) -> Mapping[str, Any]:
        """What the game says of each player."""
        return {str(player): info for player, info in (self._details or {}).items()}

    def _seen(self, ended: str) -> Seen:
        player, messages = self._arena.get_observation()
        return Seen(self._text(player, messages), player=player, ended=ended)

    def _text(self, player: int, messages: Any) -> str:
        if isinstance(messages, str):
            return messages
        roles = getattr(self._arena.state, "role_mapping", None) or {}
        lines = []
        for sender, text, *kind in messages:
            if sender == player and self._own_action in kind:
                continue  # it is the player's own answer
            told = not isinstance(sender, int) or sender < 0  # by the game, some of which name no sender
            lines.append(f"{text}" if told else f"[{roles.get(sender, f'Player {sender}')}] {text}")
        return "\n".join(lines)


class TextArenaLibrary(RegistryLibrary):
    """The package textarena."""

    package = "textarena"
    extra = "textarena"

    def game(self, made: Any, library: Any, settings: Settings) -> Game:
        """A game."""
        return TextArenaGame(made, library, settings.players)


def _without_histories(arena: Any, library: Any) -> Any:
    """The game without the wrappers that show a player all that has been said, which the conversation holds already."""
    if not isinstance(arena, library.Wrapper):
        return arena
    inner = _without_histories(arena.env, library)
    if isinstance(arena, library.ObservationWrapper):
        return inner
    arena.env = inner
    return arena
