"""`gym search`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gym_core.spi import PluginManager, Terminal, debug_option, json_option, pass_terminal, suggestion

if TYPE_CHECKING:
    from gym_catalog.entries import Entry

TITLES = ("ID", "VARIANTS", "STATE", "TURNS", "SUMMARY")
SHOWN = 60
"""So much of what stands in the way is shown in a table."""


@click.command()
@click.argument("words", metavar="[WORD]...", nargs=-1)
@json_option("Print one object: how many families there are, with a verdict and in all, and every entry.")
@debug_option
@pass_terminal
def search(terminal: Terminal, words: tuple[str, ...], as_json: bool) -> int:
    """Find environments that the installed adapters can run.

    Entries that hold every WORD are shown, in whatever case: in the id, which is what `--env` takes, the summary, the
    state, the needs or the adapter. Families are shown in one line each, and every variant where a single family is
    left.

    STATE is "verdict" where two scripted answers earned different rewards, "rollout" where rollouts were judged and all
    earned the same, "lists" where only tasks came, "loads" where it only opened, else what stands in the way.

    The exit status is 0 where something was found, and 1 where nothing was.
    """
    from gym_catalog.entries import VERDICT, by_family, installed

    known = [*installed(PluginManager().plugins)]
    entries = [entry for entry in known if all(map(entry.has, words))]
    families = by_family(entries)
    reached = sum(any(entry.state == VERDICT for entry in variants) for variants in families.values())
    if as_json:
        rows = [entry.to_wire() for entry in entries]
        terminal.out_json({"families": len(families), "with_verdict": reached, "entries": rows})
        return 0 if entries else 1
    if not entries:
        terminal.note(_nothing(words, known))
        return 1
    if len(families) == 1:
        terminal.table(TITLES, [_row(entry, "") for variants in families.values() for entry in variants])
    else:
        terminal.table(TITLES, [_row(variants[0], str(len(variants))) for variants in families.values()])
    terminal.note(f"families: {len(families):,}, with a verdict: {reached:,}, ids: {len(entries):,}")
    return 0


def _row(entry: Entry, variants: str) -> tuple[str, ...]:
    state = entry.state if len(entry.state) <= SHOWN else f"{entry.state[: SHOWN - 3]}..."
    return entry.id, variants, state, str(entry.turns or ""), entry.summary


def _nothing(words: Sequence[str], known: Sequence[Entry]) -> str:
    """What is said where nothing was found: of words that no entry holds, those that are near them."""
    from gym_catalog.entries import near

    if not known:
        return "no adapter with a catalogue is installed: gym-textgames, gym-reasoning-gym and others bring one"
    lost = [word for word in words if not any(entry.has(word) for entry in known)]
    if not lost:
        return f"no environment has {' and '.join(map(repr, words))} at once, though some have each of them"
    guess = suggestion(dict.fromkeys(one for word in lost for one in near(word, known)))
    return f"no installed adapter knows an environment with {' and '.join(map(repr, lost))}{guess}"
