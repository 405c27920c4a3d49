"""The agent `simple_agent`: calls tools until the model answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import Agent

__version__ = "0.1.0"


@hookimpl(contract=1)
def gym_agents() -> Mapping[str, type[Agent]]:
    """The agents of this package."""
    from gym_simple_agent.agent import SimpleAgent

    return {"simple_agent": SimpleAgent}
