"""Which resources servers there are, and where they live: `nemo:ID`, the folder below `resources_servers`."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from gym_core import Home, UsageError

PACKAGE = "nemo-gym"
PYTHON = "3.13"
_IDENT = re.compile(r"[A-Za-z]\w*")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a server before it is loaded. `needs`: packages beside NeMo Gym. `steps`: it owns its turns."""

    needs: tuple[str, ...] = ()
    steps: bool = False


@cache
def table() -> Mapping[str, Any]:
    """What `scripts/nemo_servers.py` has read in the wheel of NeMo Gym."""
    found: Mapping[str, Any] = json.loads((files("gym_nemo_servers") / "servers.json").read_text("utf-8"))
    return found


def named(text: str | None) -> str:
    """The id of a server; its class may name it, too: `simple_weather`. Raises `UsageError`."""
    ident = (text or "").strip()
    if not ident:
        raise UsageError("nemo needs the id of a resources server", hint="--env nemo:ID, such as nemo:mcqa")
    if not _IDENT.fullmatch(ident):
        raise UsageError(
            f"{ident!r} is no id of a resources server", hint="a folder below `resources_servers`: nemo:mcqa"
        )
    return str(table()["aliases"].get(ident, ident))


def known(ident: str) -> Known:
    """What the table says of a server; nothing of one that it does not have."""
    about = table()["servers"].get(ident, {})
    return Known(tuple(about.get("needs", ())), bool(about.get("steps")))


def home_of(ident: str) -> Home | None:
    """The venv that a server lives in: one for all that need nothing else; None where NeMo Gym is here."""
    if importlib.util.find_spec("nemo_gym") is not None:
        return None
    needs = known(ident).needs
    return Home(name=f"nemo:{ident}" if needs else "nemo", packages=(*needs, PACKAGE), python=PYTHON)
