"""The environment `reasoning_gym`: the procedural reasoning tasks of the package reasoning-gym."""

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
    from gym_reasoning_gym.environment import ReasoningGym

    return {"reasoning_gym": ReasoningGym}
