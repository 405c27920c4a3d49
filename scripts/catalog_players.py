"""Players of games, each for one class of them, where chance alone does not come to the end of a play.

A player is handed the game itself, and may look at what a model would not be shown: it is there to show that the game
can be played to its end, and tells a good play from a bad one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any

Player = Callable[[Any, int, random.Random], str]
"""What the player of a number says next."""
SEND_MORE_MONEY = {"S": 9, "E": 5, "N": 6, "D": 7, "M": 1, "O": 0, "R": 8, "Y": 2}


def _blotto(game: Any, player: int, drawn: random.Random) -> str:
    return "[A7 B7 C6]" if player == 0 else "[A20 B0 C0]"


def _boxed_way(game: Any, player: int, drawn: random.Random) -> str:
    return f"\\boxed{{{drawn.choice(('up', 'down', 'left', 'right'))}}}"


def _checkers(game: Any, player: int, drawn: random.Random) -> str:
    squares = [*product(range(8), repeat=2)]
    steps = [*product((-2, -1, 1, 2), repeat=2)]
    moves = [(row, column, row + down, column + right) for row, column in squares for down, right in steps]
    found = [move for move in moves if game._is_valid_move(player, *move)]
    jumps = [move for move in found if abs(move[0] - move[2]) == 2]
    return f"[{' '.join(map(str, drawn.choice(jumps or found or [(0, 0, 0, 0)])))}]"


def _chopsticks(game: Any, player: int, drawn: random.Random) -> str:
    hands = game.state.game_state["hands"]
    ways = [(mine, its) for mine, its in product(range(2), repeat=2) if hands[player][mine] and hands[1 - player][its]]
    return "[attack {} {}]".format(*drawn.choice(ways))


def _countdown(game: Any, player: int, drawn: random.Random) -> str:
    first, second = drawn.sample(range(len(game.numbers)), 2)
    return f"[{first} {second} {drawn.choice('+*-')}]"


def _cryptarithm(game: Any, player: int, drawn: random.Random) -> str:
    return next(f"[{letter} {digit}]" for letter, digit in SEND_MORE_MONEY.items() if letter not in game.mapping)


def _crosswords(game: Any, player: int, drawn: random.Random) -> str:
    cells = product(range(len(game.board)), range(len(game.board[0])))
    row, column = next((row, column) for row, column in cells if game.board[row][column] == "_")
    return f"\\boxed{{{row} {column} {game.solution[row][column].upper()}}}"


def _goods(game: Any, player: int, drawn: random.Random) -> str:
    return f"{{I shall see.}} [{drawn.randint(0, 20)}]"


def _logic_puzzle(game: Any, player: int, drawn: random.Random) -> str:
    return " ".join(
        f"[{row} {column} {mark}]"
        for name, rows in game.game_board_solution.items()
        for row, columns in rows.items()
        for column, mark in columns.items()
        if game.game_board[name][row][column] != mark
    )


def _market(game: Any, player: int, drawn: random.Random) -> str:
    return f"{{I shall see.}} [{drawn.choice('ES')}]"


def _negotiation(game: Any, player: int, drawn: random.Random) -> str:
    return "[Offer: 1 Wheat -> 1 Ore]" if player == 0 else "[Accept]"


def _recruit(game: Any, player: int, drawn: random.Random) -> str:
    terms = " ".join(drawn.choice("ABCDE") for _ in range(8))
    return "[Accept]" if game.state.game_state.get("current_proposal") and player else f"[Propose] {terms}"


def _set(game: Any, player: int, drawn: random.Random) -> str:
    board = game.state.game_state["board"]
    numbers = (three for three in combinations(range(len(board)), 3) if _is_set([board[number] for number in three]))
    return str([number + 1 for number in next(numbers, (0, 1, 2))])


def _is_set(cards: list[Any]) -> bool:
    return all(len(set(marks)) != 2 for marks in zip(*cards, strict=True))


def _slitherlink(game: Any, player: int, drawn: random.Random) -> str:
    """Draw the rectangle of which the clues are."""
    for loop in _rectangles(game.R, game.C):
        if all(
            clue in (None, _around(loop, row, column))
            for row, clues in enumerate(game.clues)
            for column, clue in enumerate(clues)
        ):
            there = {("h", *edge) for edge in game.h_edges} | {("v", *edge) for edge in game.v_edges}
            return "[{} {} {}]".format(*min(loop ^ there))
    return "[h 0 0]"


def _rectangles(rows: int, columns: int) -> Iterator[set[tuple[str, int, int]]]:
    for top, bottom in combinations(range(rows + 1), 2):
        for left, right in combinations(range(columns + 1), 2):
            across = {("h", row, column) for row in (top, bottom) for column in range(left, right)}
            yield across | {("v", row, column) for row in range(top, bottom) for column in (left, right)}


def _around(loop: set[tuple[str, int, int]], row: int, column: int) -> int:
    return len(loop & {("h", row, column), ("h", row + 1, column), ("v", row, column), ("v", row, column + 1)})


def _sudoku(game: Any, player: int, drawn: random.Random) -> str:
    size = range(len(game.board))
    row, column = next((row, column) for row, column in product(size, repeat=2) if not game.board[row][column])
    return f"\\boxed{{{row + 1} {column + 1} {game.full_grid[row][column]}}}"


def _texas(game: Any, player: int, drawn: random.Random) -> str:
    return f"[{drawn.choice(game.state.game_state['legal_actions']).removeprefix('play_bet_')}]"


def _two_dollars(game: Any, player: int, drawn: random.Random) -> str:
    return "[Propose] $1.00" if player == 0 else "[Accept]"


PLAYERS: dict[str, Player] = {
    "gem.CrosswordsEnv": _crosswords,
    "gem.FifteenPuzzleEnv": _boxed_way,
    "gem.SokobanEnv": _boxed_way,
    "gem.SudokuEnv": _sudoku,
    "textarena.CheckersEnv": _checkers,
    "textarena.ChopsticksEnv": _chopsticks,
    "textarena.ColonelBlottoEnv": _blotto,
    "textarena.CountdownEnv": _countdown,
    "textarena.CryptarithmEnv": _cryptarithm,
    "textarena.LogicPuzzleEnv": _logic_puzzle,
    "textarena.MarketEntryGameEnv": _market,
    "textarena.NewRecruitEnv": _recruit,
    "textarena.PublicGoodsGameEnv": _goods,
    "textarena.SetEnv": _set,
    "textarena.SimpleNegotiationEnv": _negotiation,
    "textarena.SlitherlinkEnv": _slitherlink,
    "textarena.TwoDollarEnv": _two_dollars,
    "textarena.UltimateTexasHoldemEnv": _texas,
}
"""By the library and the class of a game."""


def within(game: Any) -> Any:
    """The library's own game, without what is wrapped around it."""
    found = getattr(game, "_arena", None) or getattr(game, "_world", None)
    while hasattr(found, "env"):
        found = found.env
    return found


def player_of(game: Any) -> Player | None:
    """Who plays this game, if anybody does."""
    kind = type(within(game))
    return PLAYERS.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
