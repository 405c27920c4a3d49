"""The gateway `http`: an HTTP server of the run's process, by which programs reach models and tools of its rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import Gateway


@hookimpl(contract=1)
def gym_gateways() -> Mapping[str, type[Gateway]]:
    """The gateway."""
    from gym_http.gateway.component import HttpGateway

    return {"http": HttpGateway}
