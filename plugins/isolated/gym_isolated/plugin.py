"""The class that stands for an isolated component: made from its record, without starting anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gym_core
from gym_core import Component, Session, ToolSpec, Trajectory, UsageError, Verdict
from gym_core.errors import PluginError
from gym_core.spi import RECORDED, Kind, Plugin
from gym_isolated.options import options_class
from gym_isolated.process import ask
from gym_isolated.records import Environment, read_environment

_DESCRIBED = ("doc", "selector", "choices", "options", "preferred_agent")
_SHOWN = ("name", "type", "default", "required", "secret", "environment", "description")


def stand_in(plugin: Plugin) -> type[Component]:
    """A component's class in its stead: the same name, docstring, options, choices and preferences.

    Raises `PluginError` for an environment that cannot be used.
    """
    environment, component = _recorded(plugin)
    attributes: dict[str, Any] = {
        "Options": options_class(environment, component),
        "__doc__": component["doc"],
        "__module__": __name__,
        RECORDED: _description(component),
        "choices": classmethod(lambda cls: tuple(component["choices"])),
    }
    if plugin.kind is Kind.RESOURCE_SERVER:
        attributes["preferred_agent"] = component["preferred_agent"]
        if component["session"] is not None:
            attributes["session_type"] = _session_class(component["session"])
    return type(component["name"], (_base(plugin.kind),), attributes)


def check(plugin: Plugin) -> None:
    """Load the plugin where it lives. Raises `PluginError` when it cannot be."""
    environment, _ = _recorded(plugin)
    try:
        ask(environment, {"do": "describe", "distribution": environment.distribution})
    except UsageError as error:
        raise PluginError(plugin.distribution, error.message, hint=error.hint) from error


def _base(kind: Kind) -> type[Component]:
    if kind is Kind.RESOURCE_SERVER:
        from gym_isolated.resource_server import IsolatedResourceServer

        return IsolatedResourceServer
    if kind is Kind.MODEL:
        from gym_isolated.model import IsolatedModel

        return IsolatedModel
    from gym_isolated.agent import IsolatedAgent

    return IsolatedAgent


def _recorded(plugin: Plugin) -> tuple[Environment, Mapping[str, Any]]:
    environment = read_environment(Path(plugin.environment))
    if environment is None:
        raise PluginError(plugin.distribution, "its isolated environment is gone", hint="`gym plugins list`")
    again = f"`gym install --isolated --upgrade {environment.request}` builds it again"
    if environment.core != gym_core.__version__:
        raise PluginError(
            plugin.distribution,
            f"its isolated environment has gym-core {environment.core}, this is {gym_core.__version__}",
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
            return environment, component
    raise PluginError(plugin.distribution, f"its isolated environment holds no {plugin.kind.label} {plugin.name!r}")


def _description(component: Mapping[str, Any]) -> dict[str, Any]:
    """What `describe_component` gave in the environment."""
    described = {key: component[key] for key in _DESCRIBED if key in component}
    described["options"] = [{key: option[key] for key in _SHOWN} for option in component["options"]]
    return described


def _session_class(known: Mapping[str, Any]) -> type[Session[Any]]:
    """What is known of the sessions before one is open: the roles they need and the tools they have."""
    attributes: dict[str, Any] = {
        "roles": tuple(known["roles"]),
        "open_tools": known["open_tools"],
        "concurrent_tools": known["concurrent_tools"],
        "judges_trajectory": known["judges_trajectory"],
        # what `class_tools` would find
        "__gym_tools__": tuple(ToolSpec.described(schema, _elsewhere) for schema in known["tools"]),
    }
    return type("IsolatedSession", (_Elsewhere,), attributes)


class _Elsewhere(Session[Any]):
    """Stands for a session's class. The sessions themselves are opened in the environment."""

    def verify(self, trajectory: Trajectory) -> Verdict:
        raise NotImplementedError("this session is opened in its isolated environment")


async def _elsewhere(owner: Any, arguments: str) -> Any:
    raise NotImplementedError("this tool runs in its isolated environment")
