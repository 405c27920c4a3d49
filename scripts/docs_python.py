"""The Python API as Markdown: directives of mkdocstrings for `gym_core` and `gym_chat`, for `gym_core.spi` a table."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from docs_markdown import code, table

CHAPTERS: Mapping[str, tuple[str, ...]] = {
    "Runs": ("gym_core.engine", "gym_core.contract.executor"),
    "Components": ("gym_core.contract.component", "gym_core.contract.hookspecs"),
    "Models": ("gym_core.contract.model",),
    "Environments": ("gym_core.contract.resource_server", "gym_core.contract.sandbox"),
    "Tools": ("gym_core.contract.tools",),
    "Agents": ("gym_core.contract", "gym_core.domain.stop_reasons"),
    "Tasks": ("gym_core.domain.task",),
    "Requests and responses": ("gym_core.domain.responses", "gym_core.domain.sampling"),
    "Rollouts": ("gym_core.domain.rollout", "gym_core.domain.conversation"),
    "Errors": ("gym_core.domain.errors",),
    "JSON and the rest": ("gym_core.domain",),
}
"""Headings of the page of `gym_core`, with the modules or packages whose names they hold: the longest match counts."""

_LAYERS = {
    "cli": "For commands",
    "contract": "For components",
    "domain": "Rows, conversations and errors",
    "engine": "The engine",
    "wiring": "Plugins and their options",
}


def public_names(package: str) -> dict[str, str]:
    """The public names of a package of lazy names, each with the module that has it."""
    tree = ast.parse(Path(importlib.import_module(package).__file__ or "").read_text(encoding="utf-8"))
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: node.module or ""
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def python_api() -> str:
    """A directive for every public name of `gym_core` and `gym_chat`, under headings."""
    found: dict[str, list[str]] = {chapter: [] for chapter in CHAPTERS}
    for name, home in public_names("gym_core").items():
        if home != "gym_core":
            found[_chapter(home)].append(name)
    return "\n\n".join([*_chapters(found), *_modules(), *_section("gym_chat")])


def _chapter(home: str) -> str:
    return max(
        (len(module), chapter)
        for chapter, modules in CHAPTERS.items()
        for module in modules
        if f"{home}.".startswith(f"{module}.")
    )[1]


def _chapters(found: Mapping[str, list[str]]) -> Iterator[str]:
    for chapter, names in found.items():
        if names:
            yield f"## {chapter}"
            yield from (f"::: gym_core.{name}" for name in names)


def _modules() -> Iterator[str]:
    """The modules of `gym_core` that are public, each with what it has beyond the names of `gym_core` itself."""
    known = public_names("gym_core")
    for name, home in known.items():
        if home == "gym_core":
            yield from _section(f"gym_core.{name}", known)


def _section(name: str, known: Collection[str] = ()) -> Iterator[str]:
    """A module with its public names, `known` ones excepted."""
    module = importlib.import_module(name)
    yield f"## `{name}`\n\n{_own_docstring(module)}"
    yield from (f"::: {name}.{member}" for member in further_names(module) if member not in known)


def further_names(module: ModuleType) -> list[str]:
    """The public classes and functions of a module, in alphabetical order."""
    return sorted(name for name, value in vars(module).items() if isinstance(value, type) or inspect.isfunction(value))


def second_tier() -> str:
    """The names of `gym_core.spi` by layer, each with the first sentence on it and the module that it comes from."""
    layers: dict[str, list[tuple[str, str, str]]] = {}
    for name, home in public_names("gym_core.spi").items():
        module = home.removeprefix("gym_core.")
        said = first_sentence("gym_core.spi", name, home)
        layers.setdefault(module.partition(".")[0], []).append((code(name), said, code(module)))
    parts = []
    for layer, rows in layers.items():
        parts += [f"## {_LAYERS[layer]}", table(("name", "what it is", "from"), rows)]
    return "\n\n".join(parts)


def documentation(package: str, name: str, home: str) -> str:
    """The docstring of a public name; of a value, the text that stands below it."""
    value = getattr(importlib.import_module(package), name)
    documented = isinstance(value, type) or inspect.isroutine(value) or inspect.ismodule(value)
    return (_own_docstring(value) if documented else "") or _below(home, name)


def _own_docstring(value: Any) -> str:
    doc = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    return inspect.cleandoc(doc or "")


def _below(home: str, name: str) -> str:
    """The text below a value where it is made, which may be another module than the one that it is imported from."""
    body = ast.parse(Path(importlib.import_module(home).__file__ or "").read_text(encoding="utf-8")).body
    for node, following in itertools.pairwise(body):
        if isinstance(node, ast.ImportFrom) and any(alias.asname == name for alias in node.names):
            return _below(node.module or "", name)
        targets = (
            [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
        )
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return inspect.cleandoc(str(following.value.value))
    return ""


def first_sentence(package: str, name: str, home: str) -> str:
    """The first sentence on a public name, or its first line."""
    paragraph = " ".join(documentation(package, name, home).split("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return (sentence + stop).strip()
