"""What a component says of itself, as plain data: for `gym plugins show`, and for the record of an isolated one."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gym_core.domain.blame import blaming
from gym_core.wiring.fields import option_fields, selector_field
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.wiring.manager import Loaded

RECORDED = "__gym_description__"
"""Where the class that stands for an isolated component keeps the description that was made in its environment."""


def describe_component(loaded: Loaded) -> dict[str, Any]:
    """`doc`, `selector`, `choices`, `options` and, of an environment, `preferred_agent`. Raises `PluginError`."""
    plugin, component = loaded.plugin, loaded.component
    if (recorded := getattr(component, RECORDED, None)) is not None:
        return dict(recorded)
    with blaming(plugin.distribution, f"the {plugin.kind.label} {plugin.name!r} cannot be described"):
        description: dict[str, Any] = {
            # not the contract's own docstring, which `inspect.getdoc` would inherit
            "doc": inspect.cleandoc(component.__doc__ or ""),
            "selector": selector_field(component),
            "choices": [str(choice) for choice in component.choices()],
            "options": [asdict(field) for field in option_fields(component, plugin.name)],
        }
    if plugin.kind is Kind.RESOURCE_SERVER:
        description["preferred_agent"] = component.preferred_agent
    return description
