"""The annotation of an option as JSON, and back: as much of it as decides how typed text becomes a value.

What the annotation names (an enumeration, a model of the plugin's own) cannot be imported outside of its environment.
Its shape can: text, a number, a list, a mapping of secrets. The values themselves are checked where the class is.
"""

from __future__ import annotations

import enum
import pathlib
import types
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

Shape: TypeAlias = "str | dict[str, Any]"
"""`text`, `path`, `secret`, `int`, `float`, `bool`, `none`, `list`, `object`, `model`, `any`, or one of
`{"list": Shape}`, `{"map": Shape}`, `{"union": [Shape, ...]}` and `{"choice": [value, ...]}`."""

_PLAIN: Mapping[str, Any] = {
    "text": str,
    "path": pathlib.Path,
    "secret": SecretStr,
    "int": int,
    "float": float,
    "bool": bool,
    "none": type(None),
    "list": list[Any],
    "object": dict[str, Any],
    "model": BaseModel,
    "any": Any,
}
# a subclass stands before what it extends
_CLASSES: Sequence[tuple[type, str]] = (
    (SecretStr, "secret"),
    (SecretBytes, "secret"),
    (pathlib.PurePath, "path"),
    (str, "text"),
    (bytes, "text"),
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (type(None), "none"),
    (BaseModel, "model"),
    (Mapping, "object"),
    (Sequence, "list"),
    (AbstractSet, "list"),
)


def shape_of(annotation: Any) -> Shape:
    """The shape of an annotation; `any` for what has none of its own."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0])
    if origin is Literal:
        return {"choice": [_plain(argument) for argument in arguments]}
    if origin is Union or origin is types.UnionType:
        return {"union": [shape_of(argument) for argument in arguments]}
    if annotation is None:
        return "none"
    cls = origin if origin is not None else annotation
    if not isinstance(cls, type):
        return "any"
    if issubclass(cls, enum.Enum):
        return {"choice": [_plain(member) for member in cls]}
    name = next((name for known, name in _CLASSES if issubclass(cls, known)), "any")
    if name == "object" and len(arguments) == 2:
        return {"map": shape_of(arguments[1])}
    if name == "list":
        kinds = [shape_of(argument) for argument in arguments if argument is not ...]
        if kinds:
            return {"list": kinds[0] if len(kinds) == 1 else {"union": kinds}}
    return name


def annotation_of(shape: Any) -> Any:
    """An annotation of that shape, made of the standard library's types and pydantic's secrets."""
    if isinstance(shape, str):
        return _PLAIN.get(shape, Any)
    match shape:
        case {"choice": [*values]}:
            return Literal[tuple(values)]
        case {"union": [*members]}:
            return Union[tuple(annotation_of(member) for member in members)]  # noqa: UP007  # made at run time
        case {"list": item}:
            return list[annotation_of(item)]  # type: ignore[misc]  # made at run time
        case {"map": item}:
            return dict[str, annotation_of(item)]  # type: ignore[misc]  # made at run time
    return Any


def _plain(value: Any) -> Any:
    """A choice as JSON."""
    inner = value.value if isinstance(value, enum.Enum) else value
    return inner if inner is None or isinstance(inner, str | int | float | bool) else str(inner)


def hidden(value: Any, shape: Any) -> Any:
    """A value with `SecretStr` in the place of each text that the shape says is secret."""
    if shape == "secret":
        return SecretStr(value) if isinstance(value, str) else value
    match shape:
        case {"union": [*members]}:
            return next((found for member in members if (found := hidden(value, member)) is not value), value)
        case {"list": item} if isinstance(value, list | tuple):
            return _changed(value, [hidden(inner, item) for inner in value])
        case {"map": item} if isinstance(value, Mapping):
            return _changed(value, {key: hidden(inner, item) for key, inner in value.items()})
    return value


def _changed(before: Any, after: Any) -> Any:
    """`after`, or the very value from before where nothing was hidden in it."""
    old, new = (value.values() if isinstance(value, Mapping) else value for value in (before, after))
    return before if all(one is other for one, other in zip(old, new, strict=True)) else after


def shown(value: Any) -> Any:
    """A value with the text of its secrets, for the one who may know it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, SecretBytes):
        return value.get_secret_value().decode("utf-8", "replace")
    if isinstance(value, BaseModel):
        return shown(dict(value))
    if isinstance(value, Mapping):
        return {key: shown(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [shown(inner) for inner in value]
    return value
