"""What a user types to name a component: `[DIST/]NAME[:SELECTOR]`, a URL, or a script, `FILE.py[:CLASS[:SELECTOR]]`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from gym_core.domain.errors import UsageError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|unix:", re.IGNORECASE)
_SCRIPT = re.compile(r"((?:[a-zA-Z]:[\\/])?[^:]*[^:\\/]\.py)(?::([^:]*))?(?::(.*))?", re.DOTALL)
_PATH = re.compile(r"(\.{1,2}|~[^/]*)?/|\.{1,2}(\\|$)")
_WORD = re.compile(r"[^\s/:]+")
_HINT = "write NAME, NAME:SELECTOR or DISTRIBUTION/NAME, such as `openai:gpt-4.1-mini` or `gym-openai-model/openai`"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference: `name` is the name of an entry point.

    `selector`: all that follows the first colon, colons and slashes included. A `url` stands alone and means the
    component that its scheme names, see `gym_schemes`, with the URL as its selector; until that is known, `name` is
    empty. Of a script: `path`, as it was given, and the class `member`, if one was named; its `name` is the file's,
    without the ending.
    """

    text: str = field(compare=False)
    name: str = ""
    distribution: str | None = None
    selector: str | None = None
    url: str | None = None
    path: str | None = None
    member: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference. Raises `UsageError` with an example."""
        stripped = text.strip()
        if _URL.match(stripped):
            return cls(stripped, selector=stripped, url=stripped)
        if script := _SCRIPT.fullmatch(stripped):
            file, member, selector = script.groups()
            if member == "" or selector == "":
                raise UsageError(f"nothing follows the colon of {text!r}", hint="write FILE.py or FILE.py:CLASS")
            return cls(stripped, _stem(file), selector=selector, path=file, member=member)
        if _PATH.match(stripped):
            raise _no_script(stripped)
        path, colon, selector = stripped.partition(":")
        distribution, slash, name = path.rpartition("/")
        if not _WORD.fullmatch(name) or (slash and not _WORD.fullmatch(distribution)):
            raise UsageError(f"{text!r} names no component", hint=_HINT)
        if colon and not selector.strip():
            raise UsageError(f"nothing follows the colon of {text!r}", hint=_HINT)
        return cls(stripped, name, distribution or None, selector if colon else None)

    @property
    def file(self) -> Path:
        """The absolute path of a script."""
        return Path(os.path.abspath(os.path.expanduser(self.path or "")))

    def located(self, folder: Path = Path()) -> Reference:
        """The same from any working directory: a script's relative path starts from `folder`."""
        if self.path is None:
            return self
        path = os.path.abspath(folder / os.path.expanduser(self.path))
        return replace(self, path=path, text=str(replace(self, path=path)))

    def portable(self) -> Reference:
        """The same without what is true of this machine alone, as rows and settings have it: a script by its name."""
        return self if self.path is None else replace(self, path=self.file.name)

    def __str__(self) -> str:
        if self.url is not None:
            return self.url
        selector = f":{self.selector}" if self.selector is not None else ""
        if self.path is not None:
            return self.path + (f":{self.member}" if self.member is not None else "") + selector
        return (f"{self.distribution}/" if self.distribution else "") + self.name + selector


def located(text: str, folder: Path = Path()) -> str:
    """A reference as text that means the same from any working directory; what is none is left to whoever uses it."""
    try:
        return str(Reference.parse(text).located(folder))
    except UsageError:
        return text


def _stem(path: str) -> str:
    return re.split(r"[\\/]", path)[-1].removesuffix(".py")


def _no_script(text: str) -> UsageError:
    path = text.partition(":")[0]
    if os.path.isfile(f"{path}.py"):
        return UsageError(f"{path}: there is no such file", hint=f"did you mean {path}.py?")
    hint = "a script is a Python file with a class, FILE.py or FILE.py:CLASS; a package is installed and named"
    what = "is a folder" if os.path.isdir(path) else "does not end in .py"
    return UsageError(f"{path} {what}", hint=hint)
