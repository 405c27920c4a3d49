"""Bodies over HTTP, each said once: the type by which one is read, refused and described.

A body is a `TypedDict`. What is `AsItCame` in it stays the plain dict that it came as, with the fields that nobody here
knows. pydantic does the checking; the words for what is wrong are gym's own, and name the field by its path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    GetCoreSchemaHandler,
    InstanceOf,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import core_schema
from typing_extensions import TypedDict

from gym_core import Item
from gym_core.spi import is_number
from gym_http.protocol.errors import WireError

Kind = TypeVar("Kind")

LARGEST = 2**53
"""Beyond it, readers of JSON disagree on what a whole number is."""

shape = with_config(ConfigDict(strict=True))
"""A `TypedDict` that may have further fields."""
whole_shape = with_config(ConfigDict(strict=True, extra="forbid"))
"""A `TypedDict` without further fields: what stands there may be a misspelt one."""

_EXTRA = "extra_forbidden"
_OBJECT = "must be an object"
_WORDS = {
    "missing": "is missing",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "string_pattern_mismatch": "must be a text of visible ASCII characters",
}
"""What is wrong, by pydantic's name for it; the rest is no object."""
_CONTAINERS = frozenset({_OBJECT, _WORDS["list_type"]})


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """What pydantic makes of a type, when it is first asked for: a process reads few of the bodies that there are."""
    return TypeAdapter(kind)


@cache
def _validator(kind: Any) -> Callable[[Any], Any]:
    validate: Callable[[Any], Any] = adapter(kind).validator.validate_python
    return validate


def read(kind: type[Kind], value: Any, field: str = "") -> Kind:
    """A value of JSON as a type. `field`: its own path, for messages. Raises `WireError` for the first thing wrong."""
    try:
        body: Kind = _validator(kind)(value)  # type: ignore[arg-type]  # a class is hashable
    except ValidationError as error:
        raise _wire_error(error, kind, field) from None
    return body


def _wire_error(error: ValidationError, kind: Any, field: str) -> WireError:
    # A field that nobody knows comes first: it may be the misspelt one that is missing.
    first = min(error.errors(include_url=False), key=lambda found: found["type"] != _EXTRA)
    path = ".".join(str(part) for part in ((field, *first["loc"]) if field else first["loc"]))
    if first["type"] == _EXTRA:
        return WireError(path, f"is not known here; the fields are {', '.join(kind.__annotations__)}")
    if first["type"] == "said":
        return WireError(path, first["msg"])
    if "error" in (context := first.get("ctx", {})):
        return WireError(path, str(context["error"]))
    words = _WORDS.get(first["type"], _OBJECT)
    return WireError(path, "is missing" if first["input"] is None and words in _CONTAINERS else words)


@dataclass(frozen=True, slots=True, eq=False)
class AsItCame:
    """`Annotated[list[Item], AsItCame(list[ItemShape])]`: checked as the shape says, and kept as it came."""

    kind: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The shape's schema, within a function that passes over what it makes."""
        return core_schema.no_info_wrap_validator_function(_kept, handler.generate_schema(self.kind))


def _kept(value: Any, check: Callable[[Any], Any]) -> Any:
    check(value)
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """`Annotated[Any, Described(list[ChatCall])]`: described as the shape says, checked as the annotated type is."""

    kind: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The shape's schema, which is never asked, before the type's own: a chain is described by its first link."""
        shown = core_schema.no_info_wrap_validator_function(_unasked, handler.generate_schema(self.kind))
        return core_schema.chain_schema([shown, handler(source)])


def _unasked(value: Any, check: Callable[[Any], Any]) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Says:
    """The words for whatever is wrong with a value, which the alternatives of a union would each say of themselves."""

    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """The type's own schema, with these words."""
        return core_schema.custom_error_schema(handler(source), "said", custom_error_message=self.words)


def _whole(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _finite(value: float) -> float:
    if not is_number(value):
        raise ValueError
    return value


Count: TypeAlias = Annotated[
    int, Field(ge=0, le=LARGEST), BeforeValidator(_whole), Says(f"must be a whole number from 0 to {LARGEST}")
]
"""A whole number, which JSON may also write as `3.0`."""
Number: TypeAlias = Annotated[
    int | float, AfterValidator(_finite), Says("must be a number"), WithJsonSchema({"type": "number"})
]
Token: TypeAlias = Annotated[str, Field(pattern="^[ -~]*$")]
Name: TypeAlias = Annotated[
    str | int | float | bool | None,
    Says("must be a string"),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]
"""A name or an id, in whatever form somebody wrote it that can be looked up."""
Object: TypeAlias = InstanceOf[dict[str, Any]]
"""Any object. It is not looked into, which would copy it."""
Objects: TypeAlias = Annotated[list[dict[str, Any]], AsItCame(Annotated[list[Object], FailFast()])]
Input: TypeAlias = Annotated[str | list[Object], Says("must be a string or a list of objects")]


@shape
class ItemShape(TypedDict, total=False):
    """An item of a conversation: what its readers look up in sets and mappings. Further fields are anything."""

    type: str | None
    role: str | None
    status: str | None
    name: Name
    id: Name
    call_id: Name


Items: TypeAlias = Annotated[list[Item], AsItCame(Annotated[list[ItemShape], FailFast()])]
