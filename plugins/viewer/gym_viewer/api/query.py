"""What a request asks for: the names in its path and its query, read and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import ImmutableMultiDict

from gym_core import UsageError
from gym_viewer.index.store import FAILURES
from gym_viewer.library import NotThere


@dataclass(frozen=True, slots=True)
class Query:
    """A request. `path`: what stands in its path, `values`: in its query. All methods raise `UsageError`."""

    path: Mapping[str, Any]
    values: ImmutableMultiDict[str, str]

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        return str(self.values.get(name, default))

    def texts(self, name: str) -> Sequence[str]:
        """All texts of a name that are not empty."""
        return [text for text in self.values.getlist(name) if text]

    def count(self, name: str, default: int, most: int = 1 << 53) -> int:
        """A number from 0 on."""
        text = self.values.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdecimal() or len(text) > 16:
            raise UsageError(f"{name}={text[:50]}: this is no number")
        return min(int(text), most)

    def number(self, name: str) -> float | None:
        """A finite number, None where there is none."""
        text = self.values.get(name)
        if text is None or text == "":
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{name}={text[:50]}: this is no number")
        return value

    def sort(self, names: Sequence[str], default: str) -> tuple[str, bool]:
        """What to sort by, one of `names`, and whether the highest come first."""
        text = self.values.get("sort") or default
        name = text.removeprefix("-")
        if name not in names and not name.startswith(tuple(one for one in names if one.endswith(":"))):
            raise UsageError(f"sort={text[:50]}: one sorts by {', '.join(names)}")
        return name, text.startswith("-")

    def rollout(self, name: str = "n") -> int:
        """The id of a rollout in the index, by what the page calls it."""
        text = str(self.path.get(name) or self.values.get(name) or "")
        digits = text.removeprefix("f")
        if not digits.isascii() or not digits.isdecimal() or len(digits) > 12:
            raise NotThere(f"there is no rollout {text[:50]!r}")
        return number_of(text)


def name_of(number: int) -> str:
    """What the page calls a rollout, by its id in the index."""
    return f"f{number - FAILURES}" if number >= FAILURES else str(number)


def number_of(name: str) -> int:
    """The id in the index of what the page calls so."""
    return int(name.removeprefix("f")) + (FAILURES if name.startswith("f") else 0)
