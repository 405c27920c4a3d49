"""Two rollouts of a task: what they have in common once, and from where they part beside or below one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gym_core.spi import one_line, open_console, written
from gym_results.item_view import Block
from gym_results.rollout_view import block_texts, blocks, field_text, header, print_block

SIDE_BY_SIDE = 100
"""Columns that two rollouts need beside one another."""

Pair = tuple[str, str]


def render_pair(
    rows: tuple[dict[str, Any], dict[str, Any]],
    names: Pair,
    *,
    width: int | None,
    redact: Callable[[str], str],
) -> str:
    """Two rollouts as text. `names`: what the runs are called; `width`: as for `render`."""
    console = open_console(width)
    names = (one_line(redact(names[0])), one_line(redact(names[1])))
    for label, one, other in _headers(rows):
        _print_field(console, label, (redact(one), redact(other)), names, width)
    first, second = list(blocks(rows[0])), list(blocks(rows[1]))
    shared = _shared(first, second)
    for block in first[:shared]:
        console.print()
        print_block(console, block, width, redact)
    if shared == len(first) == len(second):
        console.print()
        console.print(Text("(no difference)", "dim"))
    elif width is not None and width >= SIDE_BY_SIDE:
        _print_beside(console, first[shared:], second[shared:], names, width, redact)
    else:
        for name, rest in zip(names, (first[shared:], second[shared:]), strict=True):
            for block in (Block(name, "", "bold magenta", heading=True), *rest):
                console.print()
                print_block(console, block, width, redact)
    return written(console)


def _headers(rows: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    one, other = ({label: value for label, value, _ in header(row) if label} for row in rows)
    for label in dict.fromkeys([*one, *other]):
        yield label, one.get(label, "-"), other.get(label, "-")


def _print_field(console: Console, label: str, values: Pair, names: Pair, width: int | None) -> None:
    if values[0] == values[1]:
        console.print(field_text(label, values[0]), soft_wrap=width is None)
        return
    for n, (name, value) in enumerate(zip(names, values, strict=True)):
        console.print(field_text(label if n == 0 else "", f"{name}: {value}", "yellow"), soft_wrap=width is None)


def _shared(first: list[Block], second: list[Block]) -> int:
    """How many blocks both begin with."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _print_beside(
    console: Console,
    first: list[Block],
    second: list[Block],
    names: Pair,
    width: int,
    redact: Callable[[str], str],
) -> None:
    column = (width - 3) // 2
    table = Table.grid(padding=(0, 3, 0, 0))
    for _ in names:
        table.add_column(width=column - 1, overflow="fold")
    heads = [[Block(name, "", "bold magenta", heading=True)] for name in names]
    for one, other in zip_longest(heads[0] + first, heads[1] + second):
        table.add_row("", "")
        cells = [Group(*block_texts(block, column - 1, redact)) if block else "" for block in (one, other)]
        table.add_row(*cells)
    console.print(table)
