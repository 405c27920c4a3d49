"""Plays games with gym and with their library's own loop, and compares the rewards: `python check_parity.py`.

In a venv that has the libraries and gym. Up to ten families of each home that reached a verdict when the catalogue was
made and need nothing besides, each with two scripted plays of one task. What the Python or the libraries here cannot
load is passed over, and others take its place.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
HOMES = ("gymnasium", "minigrid", "textarena", "gem")
EACH = 10
FEWEST = 5  # of Gymnasium's own, few need no other package


def main() -> int:
    """Compare; the exit status."""
    sys.path.insert(0, str(ROOT / "scripts"))
    catalog: Any = importlib.import_module("catalog")
    logging.disable(logging.CRITICAL)
    text = (ROOT / "plugins" / "textgames" / "gym_textgames" / "catalog.json").read_text(encoding="utf-8")
    entries = [one for one in json.loads(text)["entries"] if one["state"] == "verdict" and not one["needs"]]
    differ = []
    for home in HOMES:
        prefix = catalog.HOMES[home].prefix
        compared = 0
        for name in {entry["family"]: entry["id"] for entry in entries if entry["home"] == home}.values():
            found = catalog.attempt(home, name.removeprefix(prefix))
            if alone := found.get("alone"):
                compared += 1
                if found["rewards"][: len(alone)] != alone:
                    differ.append(f"{name}: {found['state']}, gym {found['rewards']}, alone {alone}")
            if compared == EACH:
                break
        if compared < FEWEST:
            differ.append(f"{home}: no more than {compared} could be compared")
    print("\n".join(differ), file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
