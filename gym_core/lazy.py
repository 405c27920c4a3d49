"""Packages whose names are imported when they are first used."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, names: Mapping[str, str], modules: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package. The latter has no name of a builtin, to hide none.

    `names`: those of each module, separated by spaces; `.pool` is a module of the package.
    `modules`: those of its own modules that are names of it. Hide all three from type checkers, or a misspelt name is
    no error to them:

        if TYPE_CHECKING:
            from package.pool import Pool as Pool
        else:
            __getattr__, __dir__, __all__ = lazy_names(__name__, {".pool": "Pool"})
    """
    where = {name: module for module, its in names.items() for name in its.split()}
    public = sorted((*where, *modules.split()))

    def get(name: str) -> Any:
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if name in where:
            value = getattr(import_module(where[name], package), name)
        else:
            value = import_module(f".{name}", package)
        setattr(sys.modules[package], name, value)
        return value

    return get, public.copy, [name for name in public if not hasattr(builtins, name)]
