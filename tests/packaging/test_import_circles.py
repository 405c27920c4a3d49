"""No circle among the modules of the core, of the plugins and of the examples, whenever an import happens.

An import counts at the head of a module and within a function, and so does the name of a module as a text, alone or as
`module:attribute`: it is what `import_module`, tables of commands and lazy names are given. What stands under
`TYPE_CHECKING` is for type checkers and is not executed. Who takes a name from a package that is lazy depends on the
module that has it.
"""

from __future__ import annotations

import ast
import builtins
import gc
import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT / "gym_core", *sorted(ROOT.glob("plugins/*/gym_*")), *sorted(ROOT.glob("examples/*/gym_*"))]


def modules(package: Path) -> Iterator[tuple[str, str]]:
    """The name of each module, and its code."""
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, path.read_text(encoding="utf-8")


@cache
def trees() -> Mapping[str, ast.Module]:
    return {name: parsed(code) for package in PACKAGES for name, code in modules(package)}


def parsed(code: str) -> ast.Module:
    """The tree of a module.

    While one is built, Python 3.11 minds whatever a collection of garbage lets other threads parse.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(code)
    finally:
        if collects:
            gc.enable()


def lazy_packages() -> list[str]:
    """The modules with lazy names. Only what may be one is parsed: it is asked whenever tests are collected."""
    told = ((name, code) for package in PACKAGES for name, code in modules(package))
    return [name for name, code in told if "__getattr__" in code and lazy_names(parsed(code))]


def is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def lazy_names(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """The names that a module imports when they are used, each with the module and the name that it has there.

    It tells them to type checkers, and all others have a `__getattr__` instead.
    """
    return {
        each.asname or each.name: (node.module or "", each.name)
        for branch in tree.body
        if isinstance(branch, ast.If)
        and is_for_types(branch)
        and "__getattr__" in "".join(map(ast.unparse, branch.orelse))
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }


@cache
def lazy_names_of(module: str) -> Mapping[str, tuple[str, str]]:
    """The lazy names of a module by its name; of one that is not here, none."""
    return lazy_names(trees()[module]) if module in trees() else {}


def home(module: str, name: str) -> str:
    """The module that gives a name: a submodule itself, and where the package is lazy the one that it takes it from."""
    if f"{module}.{name}" in trees():
        return f"{module}.{name}"
    lazy = lazy_names_of(module)
    return home(*lazy[name]) if name in lazy else module


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a node and what is in it import."""
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and is_for_types(node):
            nodes += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            yield from (home(node.module or "", each.name) for each in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value.partition(":")[0]
        nodes += ast.iter_child_nodes(node)


@cache
def imports() -> Mapping[str, set[str]]:
    """Of every module those that it imports."""
    found = {}
    for name, tree in trees().items():
        lazily = {home(*where) for where in lazy_names_of(name).values()}
        found[name] = ({*imported(tree), *lazily} & trees().keys()) - {name}
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = imports()
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]  # `TopologicalSorter` speaks of what comes before, not of what is imported
        raise AssertionError(" -> ".join(circle)) from None


def test_imports_of_every_kind_are_seen() -> None:
    graph = imports()
    assert "gym_core.contract.executor" in graph["gym_core.spi"]
    assert "gym_core.cli.run" in graph["gym_core.cli.app"]
    assert "gym_workers.worker" in graph["gym_workers.worker_process"]
    code = "if TYPE_CHECKING:\n    import a.b\ndef f():\n    from gym_core import Task\nload('gym_core.cli.app:app')"
    assert set(imported(ast.parse(code))) == {"gym_core.domain.task", "gym_core.cli.app"}


@pytest.mark.parametrize("package", lazy_packages())
def test_lazy_names_are_those_that_type_checkers_see(package: str) -> None:
    lazy = lazy_names_of(package)
    module = importlib.import_module(package)
    starred = {name for name in lazy if not hasattr(builtins, name)}
    assert starred == {*module.__all__} - {"__version__"}
    for name, (where, original) in lazy.items():
        there = importlib.import_module(where)
        expected = (
            getattr(there, original) if hasattr(there, original) else importlib.import_module(home(where, original))
        )
        assert getattr(module, name) is expected
