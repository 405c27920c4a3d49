"""The environment `openenv`: servers that speak OpenEnv, one session per rollout."""

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
    from gym_openenv.environment import OpenEnv

    return {"openenv": OpenEnv}
