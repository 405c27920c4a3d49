"""Components behind a URL or in a child process, as plugins like any other.

The name of all three is `remote`; a URL as a reference (`--env http://host:8000`) means it. The runner of an
environment that is elsewhere is `served`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import Agent, ModelBackend, ResourceServer, Runner


@hookimpl(contract=1)
def gym_model_backends() -> Mapping[str, type[ModelBackend]]:
    """The model behind a URL."""
    from gym_http.remote.model import RemoteModel

    return {"remote": RemoteModel}


@hookimpl(contract=1)
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:
    """The environment behind a URL."""
    from gym_http.remote.environment import RemoteResourceServer

    return {"remote": RemoteResourceServer}


@hookimpl(contract=1)
def gym_agents() -> Mapping[str, type[Agent]]:
    """The agent behind a URL."""
    from gym_http.remote.agent import RemoteAgent

    return {"remote": RemoteAgent}


@hookimpl(contract=1)
def gym_runners() -> Mapping[str, type[Runner]]:
    """The runner of an environment that is elsewhere, and the loop over NeMo Gym's `/reset` and `/step`."""
    from gym_http.remote.nemo_steps import StepRunner
    from gym_http.remote.runner import ServedRunner

    return {"served": ServedRunner, "steps": StepRunner}


@hookimpl(contract=1)
def gym_schemes() -> Mapping[str, str]:
    """URLs in place of names."""
    return dict.fromkeys(("http", "https", "unix"), "gym-http/remote")
