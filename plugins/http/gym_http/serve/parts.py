"""What is said of a component that is served."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic.errors import PydanticUserError

import gym_core
from gym_core import Component
from gym_core.spi import Assembler
from gym_http.protocol.wire import info_to_wire


def describe(component: Component, assembler: Assembler, place: str, **capabilities: bool) -> dict[str, Any]:
    """What `GET /v1/component` says of one. `place`: `env`, `agent`, or a role. `capabilities`: further ones."""
    about = assembler.about
    models: Mapping[str, Any] = about.described.get("models", {})
    described: Mapping[str, Any] = models.get(place) or about.described.get(place) or {}
    cls, info = type(component), component.describe()
    return {
        "name": info.component.get("name") or component.context.name or cls.__name__,
        "ref": described.get("ref", ""),
        "doc": inspect.cleandoc(cls.__doc__ or ""),
        "distribution": described.get("distribution", ""),
        "version": described.get("version", ""),
        "gym_core": gym_core.__version__,
        "options_schema": _schema(component),
        "capabilities": {**info_to_wire(info), **capabilities},
        "options": {**described.get("options", {}), **about.operational.get(place, {})},
    }


def _schema(component: Component) -> dict[str, Any] | None:
    """The JSON schema of a component's options, where there is one."""
    try:
        schema: dict[str, Any] = type(component.options).model_json_schema()
    except PydanticUserError:
        return None
    return schema
