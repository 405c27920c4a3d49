"""`gym view`."""

from __future__ import annotations

from pathlib import Path

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, pass_terminal


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
@click.option(
    "--export", "page", metavar="FILE", type=click.Path(path_type=Path), help="Write one page that needs no server."
)
@click.option(
    "--rollout",
    "chosen",
    metavar="N | TASK_ID[#REPEAT]",
    multiple=True,
    help="With --export: only this rollout. Repeatable.",
)
@debug_option
@pass_terminal
def view(
    terminal: Terminal,
    /,
    places: tuple[Path, ...],
    port: int,
    no_browser: bool,
    page: Path | None,
    chosen: tuple[str, ...],
) -> int:
    """Look at runs in the browser.

    RUN is what `gym run` wrote, FOLDER holds such files, also in folders below it; `results` by default. The page is
    served on this machine alone, to whoever has the address that is printed, until it is interrupted. Runs that are
    going on are followed. With --export nothing is served: the run, or some rollouts of it, become one file.
    """
    if page is not None:
        return _export(terminal, places, page, chosen)
    if chosen:
        raise UsageError("--rollout chooses what --export writes", hint="the page itself shows all rollouts")
    from gym_results.stored_runs import RESULTS
    from gym_viewer.library import Library
    from gym_viewer.serving import Serving

    return Serving(terminal, Library(places or (RESULTS,)), port=port, browser=not no_browser).carry_out()


def _export(terminal: Terminal, places: tuple[Path, ...], page: Path, chosen: tuple[str, ...]) -> int:
    from gym_results.reading import refuse_writes_to_runs
    from gym_results.stored_runs import RESULTS, results_at
    from gym_viewer.export import write_page

    if len(places) > 1:
        raise UsageError("--export writes one run", hint="name one, and export the others each by itself")
    rows = results_at(places[0] if places else RESULTS)
    refuse_writes_to_runs([rows], [("the page", page)])
    count = write_page(page, rows, chosen)
    terminal.out(f"{page}: {count:,} rollout{'' if count == 1 else 's'} of {rows}")
    return 0
