"""One plugin, as a listing knows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gym_core.wiring.kinds import Kind

State: TypeAlias = Literal["ready", "isolated", "disabled", "conflict"]


def canonical(name: str) -> str:
    """A distribution's name in the spelling that compares equal for all its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of an installed distribution, or what a source of plugins has found elsewhere.

    `module`: the entry point's value, a module or `module:attribute`. `state`: `conflict` where another distribution
    offers the same kind and name, so that it must be called `distribution/name`; `isolated` where it is ready in an
    environment of its own. `source`: the name of the source that has found it, empty for one that is installed here;
    `environment`: where that keeps it, in its own words, and `python`: the version of the Python there.
    """

    kind: Kind
    name: str
    module: str
    distribution: str
    version: str
    summary: str
    state: State = "ready"
    source: str = ""
    environment: str = ""
    python: str = ""

    @property
    def qualified_name(self) -> str:
        """The reference that means this plugin and no other."""
        return f"{self.distribution}/{self.name}"

    def belongs_to(self, distribution: str) -> bool:
        """Whether that is its distribution, in any spelling."""
        return canonical(self.distribution) == canonical(distribution)
