"""In an isolated environment: what the distribution it was built for offers, as its record will hold it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from gym_core import Operational
from gym_core.errors import PluginError
from gym_core.spi import MAY_BE_ELSEWHERE, Kind, Loaded, PluginManager, canonical, describe_component, is_selector
from gym_isolated.shapes import shape_of

CORE = "gym-core"


def describe_distribution(name: str | None = None) -> dict[str, Any]:
    """`distribution`, `version`, `summary`, `components` and `extensions` of what was asked to be installed here.

    `name`: of the distribution; else it is the one that came from a folder or a URL (PEP 610, `direct_url.json`).
    Raises `PluginError` for a component that cannot be loaded, `LookupError` where the distribution is not there.
    """
    found = _from_url() if name is None else metadata.distribution(name)
    manager = PluginManager(environ={**os.environ, "GYM_DISABLE_PLUGINS": ""})
    own = [plugin for plugin in manager.plugins if plugin.belongs_to(found.name)]
    components = [
        _component(manager.load(plugin.kind, plugin.qualified_name))
        for plugin in own
        if plugin.kind in MAY_BE_ELSEWHERE
    ]
    return {
        "distribution": found.name,
        "version": found.version,
        "summary": found.metadata["Summary"] or "",
        "core": metadata.version(CORE),
        "components": components,
        "extensions": [plugin.name for plugin in own if plugin.kind not in MAY_BE_ELSEWHERE],
    }


def _from_url() -> metadata.Distribution:
    asked = [
        found
        for found in metadata.distributions()
        if found.read_text("direct_url.json") is not None and canonical(found.name) != CORE
    ]
    if len(asked) != 1:
        names = ", ".join(sorted(found.name for found in asked)) or "none"
        raise LookupError(f"one distribution was to be installed, and the environment holds {names}")
    return asked[0]


def _component(loaded: Loaded) -> dict[str, Any]:
    """A component as the record holds it: its description, and what its stand-in is made of."""
    description = describe_component(loaded)
    fields = loaded.component.Options.model_fields
    for option in description["options"]:
        info = fields[option["name"]]
        option |= {
            "shape": shape_of(info.annotation),
            "selector": is_selector(info),
            "operational": any(isinstance(mark, Operational) for mark in info.metadata),
        }
    return {
        "kind": loaded.plugin.kind.value,
        "name": loaded.plugin.name,
        **description,
        "defaults": _defaults(loaded),
        "schema": _schema(loaded),
        "session": _session(loaded.component) if loaded.plugin.kind is Kind.RESOURCE_SERVER else None,
    }


def _defaults(loaded: Loaded) -> dict[str, Any]:
    """The defaults of its options as JSON; those that are required or secret have none."""
    from pydantic_core import PydanticSerializationError

    options = loaded.component.Options
    try:
        given: Mapping[str, Any] = options.model_construct().model_dump(mode="json")
    except (PydanticSerializationError, ValueError) as error:
        plugin = loaded.plugin
        problem = f"the defaults of the {plugin.kind.label} {plugin.name!r} are no JSON: {error}"
        raise PluginError(plugin.distribution, problem) from error
    from gym_core.spi import is_secret_field

    fields = options.model_fields
    return {name: value for name, value in given.items() if not is_secret_field(fields[name])}


def _schema(loaded: Loaded) -> dict[str, Any] | None:
    """The JSON schema of its options, where there is one."""
    from pydantic.errors import PydanticUserError

    try:
        schema: dict[str, Any] = loaded.component.Options.model_json_schema()
    except PydanticUserError:
        return None
    return schema


def _session(component: Any) -> dict[str, Any] | None:
    """What is known of its sessions before one is open; None where nothing is."""
    from gym_core.spi import class_tools
    from gym_http.protocol.wire import capabilities

    session = getattr(component, "session_type", None)
    if session is None:
        return None
    return {**capabilities(session), "tools": [spec.schema for spec in class_tools(session)]}
