"""`gym view`."""

from __future__ import annotations

from pathlib import Path

import click

from gym_core.spi import Terminal, debug_option, pass_terminal

RESULTS = Path("results")
"""Where runs lie that nobody named a file for."""


@click.command()
@click.argument("places", metavar="[RUN | FOLDER]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
@debug_option
@pass_terminal
def view(terminal: Terminal, /, places: tuple[Path, ...], port: int, no_browser: bool) -> int:
    """Look at runs in the browser.

    RUN is what `gym run` wrote, FOLDER holds such files, also in folders below it; `results` by default. The page is
    served on this machine alone, to whoever has the address that is printed, until it is interrupted. Runs that are
    going on are followed.
    """
    from gym_viewer.library import Library
    from gym_viewer.serving import Serving

    return Serving(terminal, Library(places or (RESULTS,)), port=port, browser=not no_browser).carry_out()
