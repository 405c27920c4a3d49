"""Writes what `make test-foreign` has seen of environments by two runners into the pages of their homes.

`python scripts/parity_table.py`: each `.foreign/parity/HOME.json` becomes the table `parity` on
`docs/environments/HOME.md`, each `HOME.PART.json` its table `parity-PART`.
"""

from __future__ import annotations

import json
from pathlib import Path

from docs_markdown import replace_part, table

ROOT = Path(__file__).parents[1]
PARITY = ROOT / ".foreign" / "parity"
PAGES = ROOT / "docs" / "environments"
HEAD = ("environment", "rollouts", "requests", "different rewards", "same requests", "same rewards")
_WORDS = {True: "yes", False: "**no**"}


def main() -> None:
    """Replace the table of each home that was run."""
    for path in sorted(PARITY.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            (
                one["environment"],
                *(str(one[name]) for name in ("rollouts", "requests", "rewards")),
                *(_WORDS[one[name]] for name in ("same_requests", "same_rewards")),
            )
            for one in found["environments"]
        ]
        text = f"{found['package']}, run on {found['date']}:\n\n{table(HEAD, rows)}"
        home, *parts = path.stem.split(".")
        replace_part(PAGES / f"{home}.md", "-".join(["parity", *parts]), text)


if __name__ == "__main__":
    main()
