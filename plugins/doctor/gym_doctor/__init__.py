"""`gym doctor`: what may keep a run from going well, found before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """The command."""
    from gym_doctor.command import doctor

    return {"doctor": doctor}
