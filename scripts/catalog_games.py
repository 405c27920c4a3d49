"""Finds plays of a game that earn different rewards: at random, by search, or by the library's own player."""

from __future__ import annotations

import copy
import random
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from catalog_players import player_of, within

ANSWERS = 300
"""So many answers of the policy are tried in a play, which is cut then."""
SEEDS = 3
"""So many tasks are tried."""
TRIES = 40
"""So many answers are tried on copies before one is given that may be invalid."""
KEEP = (0.0, 0.9, 0.97)
"""How often an action is taken once more: what has to swing up gets nowhere by one after another at random."""
SOON = 6.0
"""Seconds after which a game that has only failed is given up."""
NODES = 30_000
"""So many states are looked at in a search."""


@dataclass(frozen=True, slots=True)
class Play:
    """Answers in the order in which they were asked for, `mine` of them by the policy, and what they earned."""

    seed: int
    answers: tuple[str, ...]
    mine: int
    reward: float
    ended: str
    by: str


def find(library: Any, name: str, seconds: float) -> list[Play]:
    """The best and the worst play of one task that were found, or one, or none where nothing can be played.

    `seconds`: of this process's own work, so that no machine finds less because others use it, too.
    """
    plays: list[Play] = []
    until = time.process_time() + seconds
    for play in _tried(library, name, until):
        plays.append(play)
        if (found := _apart(plays)) is not None:
            return found
        if time.process_time() > until:
            break
    return plays[:1]


def _apart(plays: Sequence[Play]) -> list[Play] | None:
    """Two plays of the last one's task that earned different rewards, the better of which has come to its end."""
    mine = [play for play in plays if play.seed == plays[-1].seed]
    best = max(mine, key=lambda play: (play.reward, bool(play.ended), -play.mine))
    worst = min(mine, key=lambda play: (play.reward, not play.ended, play.mine))
    return [best, worst] if best.reward > worst.reward and best.ended else None


def _tried(library: Any, name: str, until: float) -> Iterator[Play]:
    """Random plays of each task, then what is found by more than chance, then random plays until the time is up.

    A play in which the game fails is none; where none is left, the failure is raised.
    """
    drawn = random.Random(0)
    failure: Exception | None = None
    fine = 0
    for play in _attempts(library, name, drawn, until):
        try:
            if (found := play()) is not None:
                fine += 1
                yield found
        except Exception as error:
            failure = error
            if not fine and time.process_time() > until - SOON:
                raise
    if failure is not None and not fine:
        raise failure


def _attempts(library: Any, name: str, drawn: random.Random, until: float) -> Iterator[Callable[[], Play | None]]:
    for seed in range(SEEDS):
        yield partial(_random, library, name, seed, drawn)
        yield partial(_by_the_bot, library, name, seed)
        yield partial(_by_search, library, name, seed, until)
        yield partial(_by_a_player, library, name, seed, drawn)
        yield partial(_by_a_player, library, name, seed, drawn)
        for number in range(8):
            yield partial(_random, library, name, seed, drawn, 0.5 * (number % 2), number % 4 > 1, KEEP[number % 3])
    for number in range(1000):
        if time.process_time() > until:
            return
        peek, legal, keep = 0.3 * (number % 4), number % 3 > 0, KEEP[number % 3]
        yield partial(_random, library, name, number % SEEDS, drawn, peek, legal, keep)


def _made(library: Any, name: str, seed: int) -> tuple[Any, Any, Any]:
    """A game that has begun, as a session begins it: its random state, itself and what is seen."""
    from gym_textgames.game import Settings
    from gym_textgames.guard import RandomState, guarded, heed_muted

    heed_muted()
    state = RandomState(seed)
    game = guarded(state, library.make, name, Settings())
    return state, game, guarded(state, game.reset, seed)


def _random(
    library: Any,
    name: str,
    seed: int,
    drawn: random.Random,
    peek: float = 0.0,
    legal: bool = False,
    keep: float = 0.0,
) -> Play:
    """A play at random. `peek`: how often an answer is a value that the game itself holds.

    `legal`: whether answers that TextArena calls invalid are tried on copies first, and left out. `keep`: how often an
    action that has a name is taken once more.
    """
    state, game, seen = _made(library, name, seed)
    texts: dict[int, str] = {}
    before = ""

    def says(seen: Any) -> str:
        nonlocal before
        texts[seen.player] = f"{texts.get(seen.player, '')}\n{seen.text}"[-6000:]
        text = game.how_to_act() if hasattr(game, "how_to_act") else texts[seen.player]
        for _ in range(TRIES):
            held = _held(game) if drawn.random() < peek else ()
            again = bool(before and getattr(game, "names", None)) and drawn.random() < keep
            answer = before if again else _guess(game, text, drawn, held)
            if not legal or _is_legal(game, answer, state):
                break
        before = answer
        return answer

    return _played(seed, state, game, seen, says, "play")


def _by_a_player(library: Any, name: str, seed: int, drawn: random.Random) -> Play | None:
    """A play by somebody who knows the game, if there is one."""
    state, game, seen = _made(library, name, seed)
    player = player_of(game)
    if player is None:
        return None
    return _played(seed, state, game, seen, lambda seen: player(within(game), seen.player, drawn), "player")


def _played(seed: int, state: Any, game: Any, seen: Any, says: Callable[[Any], str], by: str) -> Play:
    """A play in which that is said whenever somebody is asked, whoever it is."""
    from gym_textgames.guard import guarded

    answers: list[str] = []
    mine, earned = 0, 0.0
    while not seen.ended and mine < ANSWERS and len(answers) < 4 * ANSWERS:
        answers.append(says(seen))
        mine += seen.player == 0
        acting = seen.player
        seen = guarded(state, game.step, answers[-1])
        earned += seen.reward if acting == 0 else 0.0
    with suppress(Exception):
        guarded(state, game.close)
    given = game.rewards()
    reward = earned if given is None else given.get(0, 0.0)
    return Play(seed, tuple(answers), mine, reward, seen.ended, by)


def _guess(game: Any, text: str, drawn: random.Random, held: Sequence[str]) -> str:
    """An action by its name, or a value in the form that the text shows."""
    if names := getattr(game, "names", None):
        return str(drawn.choice(names))
    if (sizes := re.search(r"each from 0 up to ([\d, ]+)", text)) is not None:
        return " ".join(str(drawn.randint(0, int(most))) for most in sizes[1].strip(", ").split(", "))
    if type(game).__name__ == "GemGame":
        shown = re.findall(r"boxed\{([^{}]*)\}", text)
        value = drawn.choice(held) if held else drawn.choice([*shown[-12:], str(drawn.randint(0, 20))])
        return f"\\boxed{{{value}}}"
    if held:
        return f"[{drawn.choice(held)}]"
    shown = re.findall(r"\[[^\[\]\n]{1,40}\]", text)
    if shown and drawn.random() < 0.7:
        return _like(drawn.choice([*shown[:6], *shown[-12:]]), drawn)
    digits = [drawn.randint(0, 9) for _ in range(4)]
    numbers = [f"[{digits[0]}]", f"[{digits[0]} {digits[1]}]", f"[{digits[0]} {digits[1]} {digits[2]}]"]
    return str(drawn.choice([*shown[-20:], *numbers, f"[{drawn.choice('abcdefghijklmnopqrstuvwxyz')}]"]))


def _like(shown: str, drawn: random.Random) -> str:
    """Something of the form that is shown: other numbers, other single letters, another sign."""

    def other(found: re.Match[str]) -> str:
        old = found[0]
        if old.isdecimal():
            return str(drawn.randint(0, drawn.choice([2, 4, 7, 9, 14])))
        if old in "+-":
            return drawn.choice("+-")
        if old in "XY" and drawn.random() < 0.5:
            return str(drawn.randint(0, 8))
        letters = drawn.choice(["ABC", "ABCDEFGHI", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"])
        return drawn.choice(letters if old.isupper() else letters.lower())

    return re.sub(r"\d+|(?<![a-zA-Z])[A-Za-z](?![a-zA-Z])|[+-](?=\])", other, shown)


def _is_legal(game: Any, answer: str, state: Any) -> bool:
    """Whether TextArena takes an answer for a move: tried on a copy."""
    from gym_textgames.guard import guarded

    inner = copy.deepcopy(getattr(game, "_arena", None))
    if inner is None:
        return True
    before = copy.deepcopy(state)
    try:
        guarded(before, inner.step, answer)
    except Exception:
        return False
    while hasattr(inner, "env"):
        inner = inner.env
    return not getattr(inner.state, "made_invalid_move", False) and not getattr(inner.state, "error_count", 0)


def _held(game: Any) -> list[str]:
    """Short values within the game, among which there may be the answer."""
    held = within(game)
    found: dict[str, None] = {}
    state = getattr(getattr(held, "state", None), "game_state", None)
    _gather(state if isinstance(state, dict) else {}, found, 3)
    _gather({key: value for key, value in vars(held).items() if key != "state"}, found, 3)
    return [value for value in found if value.strip()][:60]


def _gather(value: Any, found: dict[str, None], depth: int) -> None:
    if isinstance(value, bool) or value is None or depth < 0:
        return
    if isinstance(value, str | int | float):
        if len(text := str(value)) <= 200:
            found[text] = None
    elif isinstance(value, dict):
        for inner in list(value.values())[:40]:
            _gather(inner, found, depth - 1)
    elif isinstance(value, list | tuple):
        if value and len(value) <= 12 and all(isinstance(one, str | int) for one in value):
            found[" ".join(map(str, value))] = None
            found["".join(map(str, value))] = None
        for inner in value[:40]:
            _gather(inner, found, depth - 1)


def _by_the_bot(library: Any, name: str, seed: int) -> Play | None:
    """A play by the player that comes with MiniGrid, which knows the levels of BabyAI."""
    from gym_textgames.guard import guarded

    if "BabyAI-" not in name:
        return None
    from minigrid.utils.baby_ai_bot import BabyAIBot

    state, game, seen = _made(library, name, seed)
    answers, earned, action = [], 0.0, None
    try:
        bot = BabyAIBot(game._world.unwrapped)
        while not seen.ended and len(answers) < ANSWERS:
            action = bot.replan(action)
            answers.append(game.names[int(action)])
            seen = guarded(state, game.step, answers[-1])
            earned += seen.reward
    except Exception:
        return None
    return Play(seed, tuple(answers), len(answers), earned, seen.ended, "bot")


def _by_search(library: Any, name: str, seed: int, until: float) -> Play | None:
    """The shortest way to a reward in a grid of MiniGrid, over copies of it."""
    _, game, _ = _made(library, name, seed)
    world = getattr(game, "_world", None)
    if not hasattr(getattr(world, "unwrapped", None), "grid") or "Dynamic" in name or "BabyAI-" in name:
        return None
    seen = {_key(world)}
    waiting = deque([(world, ())])
    while waiting and len(seen) < NODES and time.process_time() < until:
        world, way = waiting.popleft()
        for action in range(world.action_space.n - 1):  # the last one does nothing
            inner = copy.deepcopy(world)
            _, reward, terminated, truncated, _ = inner.step(action)
            answers = (*way, game.names[action])
            if reward > 0:
                return Play(seed, answers, len(answers), float(reward), "terminated" if terminated else "", "search")
            if not terminated and not truncated and (key := _key(inner)) not in seen:
                seen.add(key)
                waiting.append((inner, answers))
    return None


def _key(world: Any) -> Any:
    inner = world.unwrapped
    carried = inner.carrying
    held = (carried.type, carried.color) if carried else None
    return inner.grid.encode().tobytes(), tuple(map(int, inner.agent_pos)), int(inner.agent_dir), held


def alone(library: str, name: str, play: Play) -> float:
    """What the library's own loop, without gym, gives the policy for these answers: its number, to the bit."""
    import numpy

    random.seed(play.seed)
    numpy.random.seed(play.seed)
    answers = iter(play.answers)
    if library == "textarena":
        import textarena

        arena = textarena.make(name)
        _begun(arena, play.seed)
        for answer in answers:
            arena.get_observation()
            done, _ = arena.step(action=answer)
            if done:
                return float(arena.close()[0].get(0, 0.0))
        return 0.0
    earned = []
    if library == "gem":
        import gem

        world: Any = gem.make(name)
        world.reset(seed=play.seed)
    else:
        import gymnasium

        from gym_textgames.game import Settings
        from gym_textgames.libraries.gymnasium_library import GymnasiumLibrary

        named: Any = GymnasiumLibrary().make(name, Settings())  # knows what the words mean
        world = gymnasium.make(name)
        world.action_space.seed(play.seed)
        world.reset(seed=play.seed)
        answers = iter([named.read(answer) for answer in play.answers])
    for answer in answers:
        _, reward, terminated, truncated, _ = world.step(answer)
        earned.append(float(reward))
        if terminated or truncated:
            break
    return float(sum(earned))


def _begun(arena: Any, seed: int) -> None:
    for players in range(1, 16):
        with suppress(AssertionError, ValueError):
            arena.reset(num_players=players, seed=seed)
            return


def described(library: Any, name: str) -> str:
    """What a player is told first, in a line."""
    _, game, seen = _made(library, name, 0)
    world = getattr(game, "_world", None)
    doc = (getattr(type(getattr(world, "unwrapped", None)), "__doc__", "") or "") if hasattr(game, "names") else ""
    text = re.sub(r"#+ *Description|\*\*|\[GAME\]", "", doc) or seen.text
    return first_sentence(text)


def first_sentence(text: str) -> str:
    """The first sentence of a text, without what is longer than a line."""
    words = " ".join(re.sub(r"<[^>]*>|[#*`=_-]{3,}", " ", text).split())
    sentence = re.split(r"(?<=[a-z)\"'][.!?])\s", words)[0]
    return sentence if len(sentence) <= 120 else sentence[:117].rsplit(" ", 1)[0] + " ..."
