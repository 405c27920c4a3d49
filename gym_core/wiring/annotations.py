"""The annotation of an option, as text for people, and as the rule by which typed text becomes a value."""

from __future__ import annotations

import enum
import pathlib
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr

from gym_core.domain.json_text import JsonError, parse_json

_TEXTUAL = (str, bytes, SecretStr, SecretBytes, pathlib.PurePath)
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def type_text(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """An annotation as people read it: `int > 0`, `auto | responses | chat`, `secret`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(arguments[0], [*arguments[1:], *metadata])
    if origin is Literal:
        text = " | ".join(str(argument) for argument in arguments)
    elif _is_union(origin):
        shown = dict.fromkeys(type_text(argument) for argument in arguments if argument is not type(None))
        text = " ".join([" | ".join(shown), *_bounds(metadata)])
        return f"{text} | none" if type(None) in arguments else text
    elif origin is not None and arguments:
        inner = ", ".join("..." if argument is ... else type_text(argument) for argument in arguments)
        text = f"{_name(origin)}[{inner}]"
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        text = " | ".join(str(member.value) for member in annotation)
    else:
        text = _name(annotation)
    return " ".join([text, *_bounds(metadata)])


def is_secret(annotation: Any) -> bool:
    """Whether an annotation holds pydantic's `SecretStr` or `SecretBytes` anywhere."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes):
        return True
    return any(is_secret(argument) for argument in get_args(annotation))


def is_path(annotation: Any) -> bool:
    """Whether an annotation holds a path, or several."""
    if isinstance(annotation, type) and issubclass(annotation, pathlib.PurePath):
        return True
    return any(is_path(argument) for argument in get_args(annotation))


def parse_text(text: str, annotation: Any) -> Any:
    """The value that typed text stands for: itself where text is wanted, else JSON, else again itself.

    Where text is one of several possibilities (`str | int`), JSON counts when it fits one of the others.
    """
    members = list(_members(annotation))
    if all(_is_textual(member) for member in members):
        return text
    try:
        value = parse_json(text)
    except JsonError:
        return text
    if any(_is_textual(member) for member in members) and not any(_takes(member, value) for member in members):
        return text
    return value


def item_annotation(annotation: Any) -> Any:
    """The annotation of a mapping's values; None where the annotation is no mapping."""
    for member in _members(annotation):
        origin = get_origin(member) or member
        if isinstance(origin, type) and issubclass(origin, Mapping):
            arguments = get_args(member)
            return arguments[1] if len(arguments) == 2 else Any
    return None


def wants_json(annotation: Any) -> bool:
    """Whether a value is written as a JSON list or object."""
    return all(_is_container(member) for member in _members(annotation))


def _members(annotation: Any) -> Iterator[Any]:
    """The possibilities of a union, without None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _members(arguments[0])
    elif _is_union(origin):
        for argument in arguments:
            if argument is not type(None):
                yield from _members(argument)
    else:
        yield annotation


def _is_union(origin: Any) -> bool:
    return origin is Union or origin is types.UnionType


def _is_textual(member: Any) -> bool:
    if get_origin(member) is Literal:
        return all(isinstance(argument, str) for argument in get_args(member))
    if not isinstance(member, type):
        return False
    if issubclass(member, enum.Enum):
        return all(isinstance(choice.value, str) for choice in member)
    return issubclass(member, _TEXTUAL)


def _is_container(member: Any) -> bool:
    origin = get_origin(member) or member
    if not isinstance(origin, type) or issubclass(origin, str | bytes):
        return False
    return issubclass(origin, Sequence | AbstractSet | Mapping | BaseModel)


def _takes(member: Any, value: Any) -> bool:
    origin = get_origin(member) or member
    if origin is Literal:
        return value in get_args(member)
    if origin in (Any, object):
        return True
    if not isinstance(origin, type) or _is_textual(member):
        return False
    if isinstance(value, dict):
        return issubclass(origin, Mapping | BaseModel)
    if isinstance(value, list):
        return issubclass(origin, Sequence | AbstractSet)
    if isinstance(value, bool):
        return origin is bool
    return issubclass(origin, int | float) and origin is not bool and isinstance(value, int | float)


def _bounds(metadata: Sequence[Any]) -> list[str]:
    bounds = []
    # pydantic wraps the bounds of an optional field (`Annotated[float, Field(ge=0)] | None`) once more
    for mark in [inner for outer in metadata for inner in getattr(outer, "metadata", [outer])]:
        for attribute, sign in _BOUNDS:
            bound = getattr(mark, attribute, None)
            if isinstance(bound, int | float):
                bounds.append(f"{sign} {bound}")
    return bounds


def _name(annotation: Any) -> str:
    if annotation in (Any, object):
        return "any"
    if not isinstance(annotation, type):
        return str(annotation)
    if issubclass(annotation, SecretStr | SecretBytes):
        return "secret"
    if issubclass(annotation, pathlib.PurePath):
        return "path"
    return annotation.__name__
