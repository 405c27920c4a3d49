"""Plugins that live in environments of their own: where those are kept, and what each was found to offer.

An environment is a folder; its record, a JSON file beside it, says what it holds. Only what has a record counts: it is
written last, and in one step, so that half an environment is never seen.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gym_core.spi import canonical, data_folder

FORMAT = 5
"""The version of a record's shape. Records of another one are not read."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment of its own, and the one distribution it was built for.

    `folder`: where it lies. `request`: what the user asked for. `core`: the version of gym-core in it, and `contract`
    that of its contract, by which it is spoken to. `components`: each as `describe_component` gives it. `extensions`:
    the names of those that it holds and that cannot be used. `venv`: of one that a component lives in whose plugin is
    installed beside gym, its name. `instead` and `interpreter`: what --with and --python named, for when it is built
    again.
    """

    folder: Path
    request: str
    distribution: str
    version: str
    summary: str
    core: str
    contract: int
    python_version: str
    components: Sequence[Mapping[str, Any]]
    extensions: Sequence[str] = ()
    venv: str = ""
    instead: Sequence[str] = ()
    interpreter: str = ""

    @property
    def name(self) -> str:
        """By what it is known: the venv that it is, or its distribution."""
        return self.venv or self.distribution

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return python_of(self.folder)

    @property
    def remedy(self) -> str:
        """How it is built again."""
        return f"`gym install --isolated --upgrade {self.request}` builds it again"

    def to_wire(self) -> dict[str, Any]:
        """What its record holds."""
        return {"format": FORMAT, **asdict(self), "folder": self.folder.name}


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def libraries_of(folder: Path) -> Path | None:
    """Where the packages of a virtual environment lie; None where it holds none."""
    found = (path for pattern in ("lib/python*", "Lib") for path in folder.glob(f"{pattern}/site-packages"))
    return next(found, None)


def record_name(distribution: str, venv: str = "") -> str:
    """The name of the record of a distribution, or of the venv of one of its components."""
    if not venv:
        return f"{canonical(distribution)}.json"
    plain = re.sub(r"[^a-z0-9]+", "-", venv.lower()).strip("-")[:60]
    return f"venv.{plain}.{hashlib.sha256(venv.encode()).hexdigest()[:8]}.json"


def store_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the environments are: `isolated` in gym's folder for the data of this user."""
    return data_folder(environ) / "isolated"


def read_environments(store: Path) -> list[tuple[Path, Environment]]:
    """The environments of a store with their records. One that cannot be read is passed over."""
    try:
        names = sorted(name for name in os.listdir(store) if name.endswith(".json"))
    except OSError:
        return []
    if os.path.abspath(sys.prefix).startswith(str(store) + os.sep):
        return []  # this is one of them, which knows nothing of the others
    records = [store / name for name in names]
    return [(record, found) for record in records if (found := read_environment(record)) is not None]


def broken_environments(store: Path) -> list[tuple[Path, str]]:
    """The records of a store whose plugins are not found or cannot be used, and why."""
    try:
        records = [store / name for name in sorted(os.listdir(store)) if name.endswith(".json")]
    except OSError:
        return []
    broken = []
    for record in records:
        environment = read_environment(record)
        if environment is None:
            broken.append((record, "cannot be read, or is of another version of gym"))
        elif not environment.python.exists():
            broken.append((record, f"names the interpreter {environment.python}, which is not there"))
    return broken


def read_environment(record: Path) -> Environment | None:
    """The environment of a record; None where there is none, or none of this format."""
    import orjson

    try:
        read = orjson.loads(record.read_bytes())
        if read["format"] != FORMAT:
            return None
        del read["format"]
        read["folder"] = record.parent / read["folder"]
        read["instead"] = tuple(read["instead"])
        read["components"] = [one for one in read["components"] if one["kind"] and one["name"]]
        return Environment(**read)
    except (OSError, ValueError, KeyError, TypeError):
        return None
