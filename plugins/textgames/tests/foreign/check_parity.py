"""Plays games with gym and with their library's own loop, and compares the rewards: `python check_parity.py`.

In a venv that has the libraries and gym. Ten families of each home that reached a verdict when the catalogue was made,
each with two scripted plays of one task.
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


def main() -> int:
    """Compare; the exit status."""
    sys.path.insert(0, str(ROOT / "scripts"))
    catalog: Any = importlib.import_module("catalog")
    logging.disable(logging.CRITICAL)
    text = (ROOT / "plugins" / "textgames" / "gym_textgames" / "catalog.json").read_text(encoding="utf-8")
    entries = [entry for entry in json.loads(text)["entries"] if entry["state"] == "verdict"]
    differ = []
    for home in HOMES:
        prefix = catalog.HOMES[home].prefix
        names = list({entry["family"]: entry["id"] for entry in entries if entry["home"] == home}.values())[:EACH]
        for name in names:
            found = catalog.attempt(home, name.removeprefix(prefix))
            if found["state"] != "verdict" or found["alone"] != found["rewards"]:
                differ.append(f"{name}: {found['state']}, gym {found.get('rewards')}, alone {found.get('alone')}")
    print("\n".join(differ), file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
