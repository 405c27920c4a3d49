"""Writes what `make test-foreign` has seen into the documentation: `python scripts/foreign_table.py`."""

from __future__ import annotations

import json
from pathlib import Path

from docs_markdown import code, replace_part, table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".foreign" / "results.jsonl"
PAGE = ROOT / "docs" / "train" / "trainers.md"


def main() -> None:
    """Replace the table by one of the last results."""
    found = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    if not found:
        raise SystemExit("nothing was run: the table stays as it is")
    rows = [(line["package"], code(line["what"]), line["loaded"], line["date"]) for line in found]
    replace_part(PAGE, "foreign", table(("trainer", "format", "loaded by", "run on"), sorted(rows)))


if __name__ == "__main__":
    main()
