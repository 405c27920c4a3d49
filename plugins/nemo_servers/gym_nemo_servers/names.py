"""Which resources servers there are, and where they live: `nemo:ID`, the folder below `resources_servers`."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from gym_core import UsageError, Venv
from gym_core.spi import did_you_mean
from gym_isolated import packages_folder

DISTRIBUTION = "gym-nemo-servers"
FOLDER = "resources_servers"
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


def venv_of(ident: str) -> Venv | None:
    """The venv that a server lives in: one for all that need nothing else; None where NeMo Gym is here.

    `ident`: empty for that one. Raises `UsageError` for what is no server: of the NeMo Gym in that venv where there is
    one, else of the table.
    """
    if importlib.util.find_spec("nemo_gym") is not None:
        return None
    needs = known(ident).needs
    venv = Venv(name=f"nemo:{ident}" if needs else "nemo", packages=(*needs, PACKAGE), python=PYTHON)
    if ident and ident not in table()["servers"]:  # of another version, maybe
        installed = _installed(venv)
        if not (installed and (installed / ident / "app.py").is_file()):
            raise unknown(ident, [path.parent.name for path in installed.glob("*/app.py")] if installed else ())
    return venv


def _installed(venv: Venv) -> Path | None:
    """The folder of the servers in a venv that has been made."""
    packages = packages_folder(DISTRIBUTION, venv.name)
    return packages / FOLDER if packages is not None else None


def unknown(ident: str, there: Collection[str] = ()) -> UsageError:
    """What is said of an id that no server has. `there`: the ids of those that are installed."""
    known_ones = {*there} or {*table()["servers"], *table()["aliases"]}
    guess = did_you_mean(ident, known_ones, most=3, shown="nemo:{}".format)
    version = "NeMo Gym" if there else f"NeMo Gym {table()['version']}"
    return UsageError(
        f"{version} has no resources server {ident!r}{guess}", hint="`gym search nemo:` lists those that were tried"
    )
