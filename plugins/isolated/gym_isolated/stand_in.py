"""The class that stands for an isolated component: made from its record, without starting anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gym_core
from gym_core import Component, Session, ToolSpec, Trajectory, UsageError, Verdict
from gym_core.errors import PluginError
from gym_core.spi import RECORDED, Kind, Plugin
from gym_isolated.components import BASES
from gym_isolated.process import ask
from gym_isolated.records import read_environment
from gym_isolated.resolving import Origin

_DESCRIBED = ("doc", "selector", "choices", "options", "preferred_agent")


def stand_in(plugin: Plugin) -> type[Component]:
    """A component's class in its stead: the same name, docstring, choices and preferences.

    Raises `PluginError` for an environment that cannot be used.
    """
    origin = _recorded(plugin)
    component = origin.component
    attributes: dict[str, Any] = {
        "origin": origin,
        "__doc__": component["doc"],
        "__module__": __name__,
        RECORDED: {key: component[key] for key in _DESCRIBED if key in component},
        "choices": classmethod(lambda cls: tuple(component["choices"])),
    }
    if plugin.kind is Kind.RESOURCE_SERVER:
        attributes["preferred_agent"] = component["preferred_agent"]
        if component["tools"] is not None:
            attributes["session_type"] = _session_class(component)
    return type(component["name"], (BASES[plugin.kind],), attributes)


def check(plugin: Plugin) -> None:
    """Load the plugin where it lives. Raises `PluginError` when it cannot be."""
    environment = _recorded(plugin).environment
    try:
        ask(environment, "describe", {"distribution": environment.distribution})
    except UsageError as error:
        raise PluginError(plugin.distribution, error.message, hint=error.hint) from error


def _recorded(plugin: Plugin) -> Origin:
    environment = read_environment(Path(plugin.environment))
    if environment is None:
        raise PluginError(plugin.distribution, "its isolated environment is gone", hint="`gym plugins list`")
    again = environment.remedy
    if environment.contract != gym_core.CONTRACT_VERSION:
        raise PluginError(
            plugin.distribution,
            f"its isolated environment has gym-core {environment.core}, which keeps version {environment.contract} of "
            f"the contract, and this one version {gym_core.CONTRACT_VERSION}",
            hint=again,
        )
    if not environment.python.exists():
        raise PluginError(
            plugin.distribution,
            f"its isolated environment has no interpreter any more: {environment.python}",
            hint=again,
        )
    for component in environment.components:
        if (component["kind"], component["name"]) == (plugin.kind.value, plugin.name):
            return Origin(environment, component)
    raise PluginError(plugin.distribution, f"its isolated environment holds no {plugin.kind.label} {plugin.name!r}")


def _session_class(component: Mapping[str, Any]) -> type[Session[Any]]:
    """What is known of the sessions before one is open: the roles they need and the tools they have."""
    tools = tuple(ToolSpec.described(schema, _elsewhere) for schema in component["tools"])
    # the second is what `class_tools` would find
    return type("IsolatedSession", (_Elsewhere,), {"roles": tuple(component["roles"]), "__gym_tools__": tools})


class _Elsewhere(Session[Any]):
    """Stands for a session's class. The sessions themselves are opened in the environment."""

    def verify(self, trajectory: Trajectory) -> Verdict:
        raise NotImplementedError("this session is opened in its isolated environment")


async def _elsewhere(owner: Any, arguments: str) -> Any:
    raise NotImplementedError("this tool runs in its isolated environment")
