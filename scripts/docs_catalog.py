"""The generated parts of the documentation that follow from the catalogues of the adapters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docs_markdown import code, table

ROOT = Path(__file__).parents[1]
VERDICT = "verdict"
STATES = (VERDICT, "rollout", "lists", "loads")
NEVER = 160
"""So much is shown of what stands in the way."""

Entry = Mapping[str, Any]


def catalogs() -> Iterator[Mapping[str, Any]]:
    """The catalogues that ship with adapters."""
    for path in sorted(ROOT.glob("plugins/*/gym_*/catalog.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def by_home() -> dict[str, tuple[Mapping[str, Any], list[Entry]]]:
    """What was tried with which versions, and its entries."""
    return {
        home: (tried, [entry for entry in catalog["entries"] if entry["home"] == home])
        for catalog in catalogs()
        for home, tried in catalog["homes"].items()
    }


def homes() -> str:
    """How many families and ids of each home reach what."""
    found = by_home()
    rows = [(*_home(home, tried), *_counts(entries)) for home, (tried, entries) in found.items()]
    every = [entry for _, entries in found.values() for entry in entries]
    rows.append(("all, each family once", "", *_counts(every)))
    titles = ("home", "tried with", "families", "reach a verdict", "in several turns", "ids", "of these a verdict")
    return table(titles, rows)


def alone() -> str:
    """How often a home's own loop earned the same."""
    rows = []
    for home, (_, entries) in by_home().items():
        compared = [entry for entry in entries if "same_alone" in entry]
        if compared:
            same = sum(entry["same_alone"] for entry in compared)
            others = ", ".join(code(entry["id"]) for entry in compared if not entry["same_alone"])
            rows.append((code(home), str(len(compared)), str(same), others))
    return table(("home", "ids compared", "same rewards, to the bit", "others"), rows)


def families() -> str:
    """Every family of each home, with the id of its that came furthest."""
    parts = []
    for home, (_, entries) in by_home().items():
        rows = []
        for variants in _families(entries).values():
            best = min(variants, key=lambda entry: STATES.index(entry["state"]) if entry["state"] in STATES else 9)
            state = best["state"] if best["state"] in STATES else _plain(best["state"])[:NEVER]
            turns = str(best.get("turns", "") or "")
            rows.append((code(best["id"]), str(len(variants)), state, turns, _plain(best.get("summary", ""))))
        parts.append(f"### {home}\n\n" + table(("id", "variants", "state", "turns", "summary"), rows))
    return "\n\n".join(parts)


def _home(home: str, tried: Mapping[str, Any]) -> tuple[str, str]:
    packages = ", ".join(f"{name} {version}" for name, version in tried["packages"].items())
    return code(home), f"{packages}, Python {tried['python']}, {tried['on']}"


def _counts(entries: Sequence[Entry]) -> tuple[str, ...]:
    found = _families(entries)
    judged = [[entry for entry in variants if entry["state"] == VERDICT] for variants in found.values()]
    reached = [variants for variants in judged if variants]
    several = [variants for variants in reached if max(entry["turns"] for entry in variants) > 1]
    return (*map(str, (len(found), len(reached), len(several), len(entries), sum(map(len, judged)))),)


def _families(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry["family"], []).append(entry)
    return found


def _plain(text: str) -> str:
    """Text that means nothing to Markdown."""
    return "".join(f"\\{sign}" if sign in "\\|*_`<>[]#{}$" else sign for sign in text)
