"""The environment `simple_weather`: questions about the weather, answered with one tool."""

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
    from gym_simple_weather.environment import SimpleWeather

    return {"simple_weather": SimpleWeather}
