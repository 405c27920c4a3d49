"""Code of other people's environments: which variables it sees, and what it raises when it is loaded, in one line."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.errors import UsageError, causes_of, error_text

_NOT_REACHED = (
    "connect", "resolve", "offline", "unreachable", "cannot reach", "timed out", "max retries", "name or service",
    "is not cached", "'clone'",
)  # fmt: skip
"""Words of libraries that fetch, in small letters: they have no class of error in common."""
_PLACES = (re.compile(r"(https?://[^\s'\"<>)]+)"), re.compile(r"host='([\w.-]+)'"), re.compile(r"Dataset (\S+) is not"))
_LONGEST = 300


class LoadFailure:
    """Why code could not be loaded. `causes`: the error and what is beneath it; `text`: all that these say."""

    def __init__(self, error: BaseException) -> None:
        self.causes = [*causes_of(error)]
        self.text = " | ".join(map(error_text, self.causes))

    @property
    def words(self) -> str:
        """What happened, in one line: the innermost cause tells most."""
        root = self.causes[-1]
        if isinstance(root, SystemExit):
            return f"it left with sys.exit({root.code!r})"
        return " ".join(described(root).split())[:_LONGEST]

    @property
    def missing_module(self) -> str:
        """The module that is not there, if that is why."""
        root = self.causes[-1]
        return (root.name or "") if isinstance(root, ModuleNotFoundError) else ""

    @property
    def wants_key(self) -> bool:
        """Whether it asked a model by itself, with a key."""
        return "api_key" in self.text.lower()

    @property
    def fetching(self) -> str:
        """What it did when a network was not reached, such as `fetches something from URL`; empty where it was not."""
        if not any(word in self.text.lower() for word in _NOT_REACHED):
            return ""
        found = next((one for pattern in _PLACES if (one := pattern.search(self.text))), None)
        place = found[1].rstrip(":") if found else next(filter(None, map(_asked_for, self.causes)), "")
        return f"fetches something from {place}" if place else "fetches something"

    def hint(self, *known: str) -> str:
        """What to do: the first that is known, else what is known of all code."""
        if told := next(filter(None, known), ""):
            return told
        if self.fetching:
            return f"it {self.fetching} when it is loaded, and did not get there"
        return "the log of the run, or -v, shows where"


def _asked_for(error: BaseException) -> str:
    """The host that was looked up or connected to, which Python's own errors do not name: its frames hold it."""
    trace = error.__traceback__
    while trace is not None:
        if host := _host_of(trace.tb_frame):
            return host
        trace = trace.tb_next
    return ""


def _host_of(frame: FrameType) -> str:
    if frame.f_globals.get("__name__") != "socket":
        return ""
    address = frame.f_locals.get("address") or (frame.f_locals.get("host"),)
    return address[0] if isinstance(address[0], str) else ""


def whereabouts(frame: FrameType | None) -> str:
    """What code that runs does, seen from the innermost frame of its thread: `waits for HOST`, else `is in NAME`."""
    innermost = frame
    while frame is not None:
        if host := _host_of(frame):
            return f"waits for {host}"
        frame = frame.f_back
    if innermost is None:
        return ""
    return f"is in `{innermost.f_code.co_name}` of {innermost.f_globals.get('__name__', innermost.f_code.co_filename)}"


@contextmanager
def loading(name: object, hints: Callable[[LoadFailure], Iterable[str]]) -> Iterator[None]:
    """A block that loads code: what it raises, `sys.exit` included, becomes a `UsageError` of one line.

    `name`: as whoever asked for it would write it. `hints`: what its kind of code may need, the first that is no empty
    text counts. A `UsageError` passes, and so does the end that somebody asked for.
    """
    try:
        yield
    except UsageError:
        raise
    except BaseException as error:
        if asked_to_end(error):
            raise
        logging.getLogger("gym").debug("%s could not be loaded", name, exc_info=error)
        failure = LoadFailure(error)
        raise UsageError(f"{name} cannot be loaded: {failure.words}", hint=failure.hint(*hints(failure))) from error


def model_keys() -> list[str]:
    """The variables of this process that hold keys of models: code that sees one can ask a model past the run."""
    return [name for name in os.environ if name.endswith("_API_KEY")]


@contextmanager
def changed_variables(hidden: Collection[str], shown: Mapping[str, str] | None = None) -> Iterator[None]:
    """Variables of this process as code is to see them, put back at the end."""
    shown = shown or {}
    kept = {name: os.environ.pop(name) for name in (*hidden, *shown) if name in os.environ}
    os.environ.update(shown)
    try:
        yield
    finally:
        for name in shown:
            os.environ.pop(name, None)
        os.environ.update(kept)
