"""The environment `workplace`: office work with mail, calendar, contacts and tasks, judged by its final state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import ResourceServer

__version__ = "0.1.0"


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    """The resource servers of this package."""
    from gym_workplace.environment import Workplace

    return {"workplace": Workplace}
