"""What a user types to name a component: `[DIST/]NAME[:SELECTOR]`, or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gym_core.domain.errors import UsageError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|unix:", re.IGNORECASE)
_WORD = re.compile(r"[^\s/:]+")
_HINT = "write NAME, NAME:SELECTOR or DISTRIBUTION/NAME, such as `openai:gpt-4.1-mini` or `gym-openai-model/openai`"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference: `name` is the name of an entry point.

    `selector`: all that follows the first colon, colons and slashes included. A `url` stands alone and means the
    component that its scheme names, see `gym_schemes`, with the URL as its selector; until that is known, `name` is
    empty.
    """

    text: str = field(compare=False)
    name: str = ""
    distribution: str | None = None
    selector: str | None = None
    url: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference. Raises `UsageError` with an example."""
        stripped = text.strip()
        if _URL.match(stripped):
            return cls(stripped, selector=stripped, url=stripped)
        path, colon, selector = stripped.partition(":")
        distribution, slash, name = path.rpartition("/")
        if not _WORD.fullmatch(name) or (slash and not _WORD.fullmatch(distribution)):
            raise UsageError(f"{text!r} names no component", hint=_HINT)
        if colon and not selector.strip():
            raise UsageError(f"nothing follows the colon of {text!r}", hint=_HINT)
        return cls(stripped, name, distribution or None, selector if colon else None)

    def __str__(self) -> str:
        if self.url is not None:
            return self.url
        distribution = f"{self.distribution}/" if self.distribution else ""
        return distribution + self.name + (f":{self.selector}" if self.selector is not None else "")
