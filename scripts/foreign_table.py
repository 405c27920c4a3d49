"""Writes what `make test-foreign` has seen into the documentation: `python scripts/foreign_table.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from docs_markdown import code, table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / ".foreign" / "results.jsonl"
PAGE = ROOT / "docs" / "train" / "trainers.md"
_PART = re.compile(r"(<!-- generated:foreign -->\n).*?(<!-- end:foreign -->)", re.DOTALL)


def main() -> None:
    """Replace the table by one of the last results."""
    found = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []
    if not found:
        raise SystemExit("nothing was run: the table stays as it is")
    rows = [(line["package"], code(line["what"]), line["loaded"], line["date"]) for line in found]
    made = table(("trainer", "format", "loaded by", "run on"), sorted(rows))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_PART.sub(lambda part: f"{part[1]}\n{made}\n\n{part[2]}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
