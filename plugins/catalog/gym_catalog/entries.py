"""The catalogues of the installed adapters: `catalog.json` in the package of each."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_core import UsageError
from gym_core.spi import nearest

if TYPE_CHECKING:
    from gym_core.spi import Plugin

FILE = "catalog.json"
VERDICT = "verdict"
"""The state of what was seen to earn different rewards for different answers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An environment. `id`: what `--env` takes. `family`: what it is a variant of. `adapter`: who plays it.

    `state`: `verdict`, `rollout`, `lists`, `loads`, or what stands in the way. `needs`: what has to be there besides
    the adapter. `turns`: the model calls of the longer of the plays that were tried, None where none was.
    """

    id: str
    family: str
    summary: str
    adapter: str
    needs: Sequence[str]
    state: str
    turns: int | None = None

    def to_wire(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return asdict(self)

    def has(self, word: str) -> bool:
        """Whether a word stands somewhere in it, in whatever case."""
        texts = (self.id, self.family, self.summary, self.adapter, self.state, *self.needs)
        return any(word.casefold() in text.casefold() for text in texts)


def installed(plugins: Iterable[Plugin]) -> Iterator[Entry]:
    """What the adapters among the plugins know of; none of them is imported. Raises `UsageError` for a broken file."""
    packages: dict[str, str] = {}
    for plugin in plugins:
        if not plugin.source and plugin.state != "disabled":
            packages.setdefault(plugin.module.partition(":")[0].partition(".")[0], plugin.distribution)
    for package, distribution in packages.items():
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (path := Path(folder) / FILE).is_file():
                yield from read(path, distribution)


def read(path: Path, adapter: str) -> Iterator[Entry]:
    """The entries of a file. Raises `UsageError` for one that is none."""
    try:
        for row in json.loads(path.read_text(encoding="utf-8"))["entries"]:
            yield _entry(row, adapter)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{type(error).__name__}: {error}"
        hint = f"install {adapter} again"
        raise UsageError(f"the catalogue of {adapter}, {path}, cannot be read: {what}", hint=hint) from error


def _entry(row: Mapping[str, Any], adapter: str) -> Entry:
    return Entry(
        row["id"],
        row["family"],
        row.get("summary", ""),
        adapter,
        row.get("needs", ()),
        row["state"],
        row.get("turns"),
    )


def near(word: str, entries: Iterable[Entry]) -> list[str]:
    """What entries say that is spelt much like a word that none of them holds, as it is there."""
    return nearest(word, {text for entry in entries for text in _spellings(entry)}, most=3, cutoff=0.7)


def _spellings(entry: Entry) -> Iterator[str]:
    """Ids and states whole, and what they are made of, without their versions."""
    yield entry.id
    yield entry.adapter
    yield from [entry.state] if " " not in entry.state else ()
    yield from re.findall(r"[A-Za-z]\w+", entry.id)
    yield from re.split(r"[:/]", re.sub(r"-v\d+", "", entry.id))[1:]


def by_family(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Entries by what they are variants of: first those that reach a verdict, of them those of the family's home."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.family, []).append(entry)
    for variants in found.values():
        variants.sort(key=lambda entry: (entry.state != VERDICT, not entry.id.startswith(entry.family)))
    return found
