"""The options of a component as rows of a table: for `gym plugins show`, the docs and error messages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gym_core.contract.component import FromEnv, Operational, Options, Selector
from gym_core.wiring.annotations import is_secret, type_text
from gym_core.wiring.secrets import MASK

if TYPE_CHECKING:
    from gym_core.contract.component import Component


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option. `default`: as text, empty for none. `environment`: the variables it is read from, in order."""

    name: str
    type: str
    default: str
    environment: tuple[str, ...]
    description: str
    secret: bool = False
    required: bool = False


def option_fields(cls: type[Component], name: str = "") -> list[OptionField]:
    """The options of a component's class. `name`: the component's own, for the variables `GYM_<NAME>_<FIELD>`."""
    return [
        OptionField(
            name=field,
            type=type_text(info.annotation, info.metadata),
            default=_default_text(info),
            environment=variables(name, field, info),
            description=" ".join((info.description or "").split()),
            secret=is_secret(info.annotation),
            required=info.is_required(),
        )
        for field, info in cls.Options.model_fields.items()
    ]


def selector_field(cls: type[Component]) -> str | None:
    """The option that the part after a reference's colon fills."""
    return next(iter(_marked(cls.Options, Selector)), None)


def operational_fields(cls: type[Options]) -> set[str]:
    """The options that change no result."""
    return set(_marked(cls, Operational))


def secret_fields(cls: type[Options]) -> set[str]:
    """The options whose values are never shown."""
    return {field for field, info in cls.model_fields.items() if is_secret(info.annotation)}


def _marked(cls: type[Options], mark: type[Any]) -> list[str]:
    """The options that carry a mark."""
    return [
        field
        for field, info in cls.model_fields.items()
        if any(isinstance(found, mark) or found is mark for found in info.metadata)
    ]


def variables(name: str, field: str, info: FieldInfo) -> tuple[str, ...]:
    """The environment variables of an option, the first that is set winning."""
    own = (variable(name, field),) if name else ()
    marked = [variable for mark in info.metadata if isinstance(mark, FromEnv) for variable in mark.names]
    return tuple(dict.fromkeys((*own, *marked)))


def variable(name: str, field: str) -> str:
    """`GYM_<NAME>_<FIELD>`, with underscores for all that is neither letter nor digit."""
    return "GYM_" + re.sub(r"[^A-Z0-9]", "_", f"{name}_{field}".upper())


def _default_text(info: FieldInfo) -> str:
    if info.is_required():
        return ""
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if is_secret(info.annotation):
        return MASK if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return str(getattr(value, "value", value))
