"""Steer a run that is going on: the extension that listens for it, and the command `gym ctl` that asks it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import RunInfo, UsageError, hookimpl

if TYPE_CHECKING:
    import click

    from gym_core.spi import RunControl
    from gym_ctl.server import Server

logger = logging.getLogger("gym.ctl")
_servers: dict[str, Server] = {}


@hookimpl(contract=1)
def gym_extension_check() -> None:
    """Refuse a run that could not be steered. Raises `UsageError`."""
    import socket

    from gym_ctl.folder import own_folder

    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("the extension `ctl` needs Unix sockets, which this system does not have")
    own_folder(make=True)


@hookimpl(contract=1)
def gym_run_control(run: RunInfo, control: RunControl) -> None:
    """Listen for as long as the run goes on."""
    from gym_ctl.server import Server

    try:
        _servers[run.run_id] = Server(run.run_id, control)
    except (OSError, UsageError) as error:
        logger.warning("gym ctl cannot reach this run: %s", error)


@hookimpl(contract=1)
def gym_run_finished(run: RunInfo, summary: Mapping[str, Any]) -> None:
    """Listen no more."""
    server = _servers.pop(run.run_id, None)
    if server is not None:
        server.close()


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """The command."""
    from gym_ctl.command import ctl

    return {"ctl": ctl}
