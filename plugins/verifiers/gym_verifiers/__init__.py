"""Environments written for verifiers, and the runner that lets their own loops run."""

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
    from gym_verifiers.environment import Verifiers

    return {"verifiers": Verifiers}


@hookimpl(contract=1)
def gym_runners() -> Mapping[str, type[Runner]]:
    """The runner of its environments."""
    from gym_verifiers.runner import VerifiersLoop

    return {"verifiers_loop": VerifiersLoop}
