"""What a component says of itself, as plain data: for `gym plugins show`, and for the record of an isolated one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gym_core.domain.blame import asked_to_end
from gym_core.domain.errors import PluginError
from gym_core.wiring.fields import OptionField, option_fields, selector_field
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.wiring.manager import Loaded


def describe_component(loaded: Loaded) -> dict[str, Any]:
    """`doc`, `selector`, `choices`, `options` and, of an environment, `preferred_agent`. Raises `PluginError`."""
    plugin, component = loaded.plugin, loaded.component
    try:
        choices = [str(choice) for choice in component.choices()]
        fields = option_fields(component, plugin.name)
    except BaseException as error:
        if asked_to_end(error):
            raise
        raise PluginError(
            plugin.distribution, f"the {plugin.kind.label} {plugin.name!r} cannot be described: {error}"
        ) from error
    description: dict[str, Any] = {
        # not the contract's own docstring, which `inspect.getdoc` would inherit
        "doc": inspect.cleandoc(component.__doc__ or ""),
        "selector": selector_field(component),
        "choices": choices,
        "options": described_options(fields),
    }
    if plugin.kind is Kind.RESOURCE_SERVER:
        description["preferred_agent"] = component.preferred_agent
    return description


def described_options(fields: Iterable[OptionField]) -> list[dict[str, Any]]:
    """Options as they are shown, each by its fields."""
    return [{**asdict(field), "environment": list(field.environment)} for field in fields]


RECORDED = "__gym_description__"
"""Where the class that stands for an isolated component keeps the description that was made in its environment."""


def recorded_description(component: type[Any]) -> dict[str, Any] | None:
    """The description that was recorded of a component that lives elsewhere; None for any other."""
    return getattr(component, RECORDED, None)
