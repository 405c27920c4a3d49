"""The resource servers, one per library, and the session that plays a game of any."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from gym_core import (
    Done,
    Item,
    Options,
    ResourceServer,
    Response,
    Selector,
    Session,
    SessionContext,
    Task,
    Trajectory,
    UsageError,
    Verdict,
    tool,
    user_message,
)
from gym_core.errors import FieldError, SessionError
from gym_core.spi import LoadFailure, OpenSession, loading_option, nearest, suggestion, too_slow
from gym_textgames.game import Game, Library, Seen, Settings
from gym_textgames.guard import RandomState, guarded, heed_muted, in_thread, working_thread
from gym_textgames.libraries.gem_library import GemLibrary
from gym_textgames.libraries.gymnasium_library import GymnasiumLibrary
from gym_textgames.libraries.textarena_library import TextArenaLibrary

INVALID = "invalid_action"
"""The stop reason of an episode whose model has named no action too often."""
STEP_LIMIT = "step_limit"
"""The stop reason of an episode that has used up its steps."""
CUT = (INVALID, STEP_LIMIT)
"""The stop reasons of episodes whose game was not over."""
NOTHING = "(You see nothing new.)"
"""What a player is shown who has to act and is shown nothing."""
SEEDS = 2**31
"""Seeds are below this number."""


class GameSession(Session["GameServer"]):
    """One episode. The policy has the seat `seat`; all others are actors that a model plays."""

    optional_roles = ("opponent", "policy")

    async def setup(self) -> Sequence[Item]:
        """Make the game, begin it, and let whoever comes before the policy play."""
        self._state = RandomState(self.seed_of_task())
        self._game: Game | None = None
        self._made: list[float] = []  # the rewards of the policy's steps
        self._steps, self._invalid, self._in_a_row = 0, 0, 0
        self._ended = ""
        self._said: dict[int, list[Item]] = {}
        game = self._game = await self._library_call(self.server.make)
        seen = await self._library_call(game.reset, self.seed_of_task())
        seat = self.server.options.seat
        if seat >= game.players:
            raise UsageError(f"`seat` is {seat}, and the game has {game.players} players, counted from 0")
        seen = await self._others(seen)
        return [user_message(seen.text)] if seen.text else []

    def seed_of_task(self) -> int:
        """The seed of the task. Raises `errors.FieldError` where it is none."""
        seed = self.task.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < SEEDS:
            raise FieldError("seed", f"is {seed!r:.40}, and must be a whole number from 0 to {SEEDS - 1}")
        return seed

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """Take the answer for an action."""
        return self._told(await self._turn(response.output_text))

    def _told(self, text: str) -> Sequence[Item] | Done:
        return Done(reason=self._ended) if self._ended else [user_message(text or NOTHING)]

    async def _turn(self, answer: str) -> str:
        """The policy acts, then the others until it is its turn again. Gives what it is shown."""
        if self._ended:
            return "The game is over."
        game = self._playing()
        seen = await self._library_call(game.step, answer)
        if not seen.valid:
            return self._refused(seen.text)
        self._in_a_row = 0
        self._steps += 1
        self._made.append(seen.reward)
        seen = await self._others(seen)
        if not self._ended and self._steps == self.server.options.steps:
            self._ended = STEP_LIMIT
        return seen.text

    def _refused(self, text: str) -> str:
        self._invalid += 1
        self._in_a_row += 1
        if self._in_a_row > self.server.options.invalid:
            self._ended = INVALID
        return text

    async def _others(self, seen: Seen) -> Seen:
        """Let the other players act until it is the policy's turn, or the game is over."""
        game, seat = self._playing(), self.server.options.seat
        while not seen.ended and seen.player != seat:
            seen = await self._library_call(game.step, await self._ask(seen))
        self._ended = seen.ended
        return seen

    async def _ask(self, seen: Seen) -> str:
        """What the model of another player answers to what that player is shown."""
        game = self._playing()
        said = self._said.setdefault(seen.player, [user_message(self.server.instructions)])
        said.append(user_message(seen.text or NOTHING))
        role = "opponent" if "opponent" in self.models else "policy"
        answer = await self.actor(_name(seen.player, game.players, self.server.options.seat), role).respond(said)
        said += answer.output
        return answer.output_text

    def verify(self, trajectory: Trajectory) -> Verdict:
        """The return of the episode, or what the game has given each player."""
        game, seat = self._playing(), self.server.options.seat
        info = {"steps": self._steps, "invalid": self._invalid, "ended": self._ended or "cut", "rewards": self._made}
        given = game.rewards()
        if given is None:
            return Verdict(sum(self._made), info=info)
        del info["rewards"]
        players = {_name(player, game.players, seat): self._given(given, player) for player in range(game.players)}
        details = {"game": _jsonable(game.details())} if game.details() else {}
        rewards = players if game.players > 1 else {}
        return Verdict(players["policy"], info=info | details, rewards=rewards)

    def _given(self, given: Mapping[int, float], player: int) -> float:
        """What the library gave a player: nothing yet in a game that was cut, and never nothing in one that is over."""
        reward = given.get(player)
        if reward is None and self._ended not in (*CUT, ""):
            raise SessionError(f"{self.server.options.id} is over and gave player {player} no reward")
        return reward or 0.0

    async def close(self) -> None:
        """Close the game."""
        game, self._game = getattr(self, "_game", None), None
        if game is not None:
            await in_thread(self._state, game.close)

    def _playing(self) -> Game:
        if self._game is None:
            raise SessionError("the game has not begun, or is closed")
        return self._game

    async def _library_call(self, function: Any, *arguments: Any) -> Any:
        """Call the library's code; what it raises is this rollout's failure."""
        try:
            return await in_thread(self._state, function, *arguments)
        except (UsageError, SessionError):
            raise
        except Exception as error:
            name = self.server.options.id
            raise SessionError(f"{name} failed in `{function.__name__}`: {type(error).__name__}: {error}") from error


class CallingSession(GameSession):
    """One episode whose actions are calls of a tool."""

    @tool
    async def act(self, action: str) -> str | Done:
        """Act in the game, and see what comes of it.

        Args:
            action: The action, as the rules name it.
        """
        text = await self._turn(action)
        return Done(text, reason=self._ended) if self._ended else text or NOTHING

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """An answer names no action here."""
        return self._told(self._refused("Act by calling the tool `act`."))


class GameOptions(Options):
    """Options of an environment."""

    id: Annotated[str, Selector()] = Field("", description="The id of the environment or game in its library.")
    tasks: PositiveInt = Field(100, description="How many tasks there are: one per seed.")
    seed: int = Field(0, ge=0, lt=SEEDS, description="The seed of the first task; each further one has the next.")
    actions: Literal["reply", "tool"] = Field(
        "reply", description="Whether the model acts by its answer, or by calling the tool `act`."
    )
    steps: NonNegativeInt = Field(0, description="The most steps of an episode; 0 leaves it to the environment.")
    invalid: NonNegativeInt = Field(
        2, description="How many answers in a row may name no action before the episode ends."
    )
    names: list[str] = Field(
        default_factory=list, description="Names for discrete actions, in the order of their numbers: left,right."
    )
    players: NonNegativeInt = Field(0, description="How many players there are; 0 is as few as the game takes.")
    seat: NonNegativeInt = Field(0, description="Which player the model is, counted from 0.")
    loading: PositiveFloat = loading_option()
    make: dict[str, Any] = Field(
        default_factory=dict, description="Arguments for the library's `make`, such as make.is_slippery=false."
    )


class GameServer(ResourceServer[GameOptions]):
    """Games of a library, by their ids: one task per seed."""

    session_type = GameSession
    library: ClassVar[Library]
    instructions = ""

    @classmethod
    def choices(cls) -> Sequence[str]:
        """The ids, where the library is installed."""
        if importlib.util.find_spec(cls.library.package) is None:
            return ()
        heed_muted()
        return guarded(RandomState(0), cls.library.ids)

    async def __aenter__(self) -> Self:
        """Import the library and try the game. Raises `UsageError` in one line."""
        name, library = self.options.id, self.library
        own = type(self).__name__.lower()
        if importlib.util.find_spec(library.package) is None:
            raise UsageError(
                f"{own} needs the package {library.package}, which is not installed",
                hint=f'pip install "gym-textgames[{library.extra}]"',
            )
        if not name:
            raise UsageError(f"{own} needs an id: `{own}:ID`", hint=f"`gym plugins show {own}` lists them")
        try:
            async with asyncio.timeout(self.options.loading) as bound:
                self.instructions = await in_thread(RandomState(0), self._try)
        except LookupError as error:
            if error.args != (name,):
                raise UsageError(f"{own}:{name} cannot be made: {_words(error)}") from error
            near = nearest(name, self.choices(), most=3) or nearest(name.split("-")[0], self.choices(), most=3)
            raise UsageError(
                f"{own} has no {name!r}{suggestion(near)}", hint=f"`gym plugins show {own}` lists them"
            ) from None
        except UsageError as error:
            raise UsageError(f"{own}:{name}: {error.message}", hint=error.hint) from None
        except Exception as error:
            if bound.expired():
                raise too_slow(f"{own}:{name}", self.options.loading, working_thread()) from None
            failure = LoadFailure(error)
            hint = failure.hint(f"pip install {failure.missing_module}" if failure.missing_module else "")
            raise UsageError(f"{own}:{name} cannot be made: {_words(error)}", hint=hint) from error
        return self

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session of the kind that the options want."""
        if self.options.actions == "tool":
            return OpenSession(CallingSession(task, self, context))
        return super().open_session(task, context)

    def make(self) -> Game:
        """A game, not yet begun."""
        options = self.options
        return self.library.make(options.id, Settings(options.names, options.players, options.make))

    def tasks(self) -> Iterator[Task]:
        """One task per seed."""
        for seed in range(self.options.seed, min(self.options.seed + self.options.tasks, SEEDS)):
            yield Task.ask(self.instructions, task_id=f"{self.options.id}-{seed}", game=self.options.id, seed=seed)

    def _try(self) -> str:
        game = self.make()
        try:
            game.reset(self.options.seed)
            return game.instructions or "You play a game. Answer each message with your move, in the form it asks for."
        finally:
            game.close()


class Gymnasium(GameServer):
    """Environments of Gymnasium whose actions are discrete or text: `gymnasium:FrozenLake-v1`, `gymnasium:MODULE:ID`.

    What is seen is drawn as text where the environment can, else the observation is written out. The reward is the
    return of the episode.
    """

    library = GymnasiumLibrary()


class TextArena(GameServer):
    """Games of TextArena: `textarena:TicTacToe-v0`.

    The other players are the model of the role `opponent`, or the policy's own. The reward is what the game gives the
    policy, and `rewards` holds that of every player.
    """

    library = TextArenaLibrary()


class Gem(GameServer):
    """Worlds of GEM: `gem:game:GuessTheNumber-v0`. The reward is the return of the episode."""

    library = GemLibrary()


def _name(player: int, players: int, seat: int) -> str:
    """The actor that a player is."""
    if player == seat:
        return "policy"
    return "opponent" if players == 2 else f"player_{player}"


def _words(error: BaseException) -> str:
    """What an error says, in one line."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip(" \t*")]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_jsonable(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
