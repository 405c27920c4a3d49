"""`gym search [WORD]...`: environments that exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    import click


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """The command."""
    from gym_catalog.command import search

    return {"search": search}
