"""The reference pages hold every public name, and every public name says what it is."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
_GENERATED = re.compile(r"^\w+\(.*\)( -> None)?$", re.DOTALL)
"""What Python writes below a class that has no docstring of its own: a dataclass, or a named tuple."""


def public(package: str) -> list[str]:
    return dir(importlib.import_module(package))


def undocumented(package: str) -> list[str]:
    """The public names of a package, and the public members of its classes, that nobody has described."""
    known = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import docs_python as d\nfor n, h in d.public_names({package!r}).items():\n"
            f" print(n) if not d.documentation({package!r}, n, h) else None",
        ],
        cwd=ROOT / "scripts",
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return [*known.stdout.split(), *_members(importlib.import_module(package))]


def _members(package: Any) -> Iterator[str]:
    for name in dir(package):
        value = getattr(package, name)
        if not isinstance(value, type) or not value.__module__.startswith("gym_core"):
            continue
        if _GENERATED.match(value.__doc__ or ""):
            yield name
        for member, what in vars(value).items():
            function = what.fget if isinstance(what, property) else getattr(what, "__func__", what)
            if not member.startswith("_") and inspect.isfunction(function) and not inspect.getdoc(function):
                yield f"{name}.{member}"


@pytest.mark.parametrize("package", ["gym_core", "gym_core.spi"])
def test_every_public_name_says_what_it_is(package: str) -> None:
    assert not undocumented(package), "write a docstring; below a value, a text"


def test_every_public_name_of_authors_stands_on_the_page_once() -> None:
    page = (REFERENCE / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: gym_core\.(\w+)$", page, re.MULTILINE)
    modules = re.findall(r"^## `gym_core\.(\w+)`$", page, re.MULTILINE)
    assert sorted([*shown, *modules]) == sorted(public("gym_core"))


def test_every_name_of_the_second_tier_stands_on_its_page() -> None:
    page = (REFERENCE / "spi.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(shown) == sorted(public("gym_core.spi"))
