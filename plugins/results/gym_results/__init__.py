"""What finished runs came to: the commands `gym show`, `gym stats` and `gym runs`.

For others who look at runs: `stored_runs` finds them, `comparison` counts and compares them, `pager` shows what is
long.
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
    from gym_results.runs import runs
    from gym_results.show import show
    from gym_results.stats import stats

    return {"runs": runs, "show": show, "stats": stats}
