"""Tasks written for Inspect, and the runner that lets their solvers run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import ResourceServer, Runner

__version__ = "0.1.0"


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    """The resource servers of this package."""
    from gym_inspect.environment import Inspect

    return {"inspect": Inspect}


@hookimpl(contract=1)
def gym_runners() -> Mapping[str, type[Runner]]:
    """The runner of its tasks."""
    from gym_inspect.runner import InspectLoop

    return {"inspect_loop": InspectLoop}
