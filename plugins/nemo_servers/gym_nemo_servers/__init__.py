"""Resources servers of NeMo Gym, made from their classes, and the runner of those that own their turns."""

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
    from gym_nemo_servers.environment import NemoServer

    return {"nemo": NemoServer}


@hookimpl(contract=1)
def gym_runners() -> Mapping[str, type[Runner]]:
    """The runner of its environments that own their turns."""
    from gym_http.remote.nemo_steps import StepRunner

    return {"nemo_steps": StepRunner}
