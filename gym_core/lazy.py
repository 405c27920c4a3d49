"""Packages whose names are imported when they are first used."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

FOR_TYPE_CHECKERS = re.compile(r"^    from (\S+) import (\w+) as \2$", re.MULTILINE)


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package. The latter has no name of a builtin, to hide none.

    The names are those that the package tells type checkers of, a line each, so that they stand once. From those all
    three are hidden, or a misspelt name is no error to them:

        if TYPE_CHECKING:
            from package import errors as errors
            from package.pool import Pool as Pool
        else:
            __getattr__, __dir__, __all__ = lazy_names(__name__)

    Raises `ImportError` for a package that lies there without its source.
    """
    # Read by a pattern: to parse the longest of them would cost a command as much as all else that it reads of itself.
    try:
        source = Path(sys.modules[package].__file__ or "").read_text(encoding="utf-8")
    except OSError as error:
        raise ImportError(f"the source of {package} is not here, in which its names are listed: {error}") from error
    where = {name: module for module, name in FOR_TYPE_CHECKERS.findall(source)}
    public = sorted(where)

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = where[name]
        value = import_module(f"{package}.{name}") if module == package else getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, public.copy, [name for name in public if not hasattr(builtins, name)]
