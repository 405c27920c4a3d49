"""The environments `gymnasium`, `textarena` and `gem`: games and worlds of these libraries, by their ids."""

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
    from gym_textgames.environment import Gem, Gymnasium, TextArena

    return {"gymnasium": Gymnasium, "textarena": TextArena, "gem": Gem}
