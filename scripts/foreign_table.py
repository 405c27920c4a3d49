"""Writes what `make test-foreign` has seen into the documentation: `python scripts/foreign_table.py`."""

from __future__ import annotations

import json
from pathlib import Path

from docs_markdown import code, replace_part, table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".foreign" / "results.jsonl"
PAGES = ROOT / "docs" / "train"
TABLES = {
    "foreign": (PAGES / "trainers.md", ("trainer", "format", "loaded by", "run on")),
    "servers": (PAGES / "tokens.md", ("server", "options", "what agreed", "run on")),
}


def main() -> None:
    """Replace the tables of which something was run by one of the last results."""
    found = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    if not found:
        raise SystemExit("nothing was run: the tables stay as they are")
    for name, (page, head) in TABLES.items():
        lines = [line for line in found if line.get("table", "foreign") == name]
        rows = [(line["package"], code(line["what"]), line["loaded"], line["date"]) for line in lines]
        if rows:
            replace_part(page, name, table(head, sorted(rows)))


if __name__ == "__main__":
    main()
