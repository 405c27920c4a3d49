"""What is public: every gym type in a public signature has a public name, and nothing is public by accident."""

from __future__ import annotations

import builtins
import dataclasses
import importlib
import inspect
import sys
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import gym_core
from gym_core import errors, responses, spi

FACADES = ("errors", "responses")


def public(module: ModuleType) -> dict[str, Any]:
    """The names of a module that are there for others."""
    return {name: getattr(module, name) for name in dir(module) if not name.startswith("__")}


PUBLIC = {name: value for name, value in public(gym_core).items() if name not in FACADES}
NAMED = {id(value) for module in (gym_core, errors, responses) for value in public(module).values()}
NAMED.add(id(spi.ExecutorProvider))  # the one setting whose type is for those who extend gym


def annotated(name: str, value: Any) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """What has annotations of its own: functions, and classes with what is public in them."""
    if inspect.isclass(value):
        if value.__module__.startswith("gym_core"):
            yield name, value, vars(value).get("__annotations__", {})
            for member, inner in vars(value).items():
                made = member == "__init__" and not dataclasses.is_dataclass(value)  # of fields, which are annotated
                if made or not member.startswith("_"):
                    inner = getattr(inner, "fget", None) or getattr(inner, "__func__", inner)
                    if inspect.isfunction(inner):
                        yield f"{name}.{member}", inner, inner.__annotations__
    elif inspect.isfunction(value):
        yield name, value, value.__annotations__


def types_in(hint: Any) -> Iterator[type]:
    """The classes of gym in an annotation."""
    if isinstance(hint, list | tuple):
        for part in hint:
            yield from types_in(part)
    elif typing.get_args(hint) or typing.get_origin(hint):
        yield from types_in(typing.get_origin(hint))
        yield from types_in(typing.get_args(hint))
    elif isinstance(hint, typing.TypeVar):
        yield from types_in(hint.__bound__)
    elif inspect.isclass(hint) and hint.__module__.startswith("gym_core"):
        yield hint


def private_types(name: str, owner: Any, annotations: dict[str, Any]) -> Iterator[str]:
    """The types in annotations that have no public name."""
    known = {**PUBLIC, **vars(sys.modules[owner.__module__])}  # what is imported for type checkers only is public
    for what, text in annotations.items():
        if what.startswith("_"):
            continue
        text = getattr(text, "__forward_arg__", text)
        hint = eval(text, known) if isinstance(text, str) else text
        for found in types_in(hint):
            if id(found) not in NAMED:
                yield f"{name}: `{what}` is {found.__module__}.{found.__qualname__}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_type_in_a_public_signature_has_a_public_name(name: str) -> None:
    found = [line for each in annotated(name, PUBLIC[name]) for line in private_types(*each)]
    assert not found


@pytest.mark.parametrize("facade", FACADES)
def test_every_type_in_the_signatures_of_a_module_has_a_public_name(facade: str) -> None:
    names = public(importlib.import_module(f"gym_core.{facade}"))
    found = [line for name in names for each in annotated(name, names[name]) for line in private_types(*each)]
    assert not found


@pytest.mark.parametrize("name", ["gym_core", *(f"gym_core.{facade}" for facade in FACADES), "gym_core.spi"])
def test_everything_imports_what_is_public_and_nothing_else(name: str) -> None:
    module = importlib.import_module(name)
    found: dict[str, Any] = {}
    exec(f"from {name} import *", found)
    found.pop("__builtins__")
    assert found.keys() - {"__version__"} == public(module).keys() - {*dir(builtins)}
    assert not {*found} & {*dir(builtins)}, "it hides a builtin"
    foreign = [key for key, value in found.items() if inspect.ismodule(value) and key not in FACADES]
    assert not foreign
    for key, value in found.items():
        # an option that click has made is a value of gym's, and no name of click's
        made = "<locals>" in getattr(value, "__qualname__", "")
        if value is not Any and not made and (inspect.isclass(value) or inspect.isfunction(value)):
            assert value.__module__.startswith(("gym_core", "pluggy")), f"{key} is {value.__module__}'s"


def test_what_is_named_like_a_builtin_is_public_all_the_same() -> None:
    assert "open" in dir(gym_core)
    assert "open" in PUBLIC
    assert gym_core.open.__module__ == "gym_core.engine.api"


def test_the_public_members_of_a_rollout_are_what_its_row_says() -> None:
    members = {name for name in dir(gym_core.Rollout) if not name.startswith("_")}
    assert not members & {"account", "plain", "source", "names_task"}
