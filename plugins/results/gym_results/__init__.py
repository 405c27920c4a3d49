"""What one does with results files: the commands `gym show`, `gym stats`, `gym runs`, `gym rescore`, `gym export` and
`gym import`.

For others who look at runs: `stored_runs` finds them, `comparison` counts and compares them, `rescoring` verifies them
again, `conditions` reads what `--where` asks for, `fields` finds the fields that were meant, `csv_lines` writes tables,
`part_view` says what is no text, `pager` shows what is long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """The commands, each of which imports what it needs when it is carried out."""
    from gym_results.export import export
    from gym_results.import_ import import_
    from gym_results.rescore import rescore
    from gym_results.runs import runs
    from gym_results.show import show
    from gym_results.stats import stats

    return {"export": export, "import": import_, "rescore": rescore, "runs": runs, "show": show, "stats": stats}
