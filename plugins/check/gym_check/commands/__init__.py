"""The commands `gym check` and `gym new`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from gym_core import hookimpl
from gym_core.spi import LazyGroup


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """Both of them."""
    from gym_check.commands.check import check_env

    return {"check": check_env, "new": _new}


_new = LazyGroup(
    "new",
    help="Start a package of your own: an environment, a model backend or an agent.",
    context_settings={"help_option_names": ["-h", "--help"]},
    table={
        "env": ("gym_check.commands.new:new_env", "Start an environment's package."),
        "model": ("gym_check.commands.new:new_model", "Start a model backend's package."),
        "agent": ("gym_check.commands.new:new_agent", "Start an agent's package."),
    },
)
