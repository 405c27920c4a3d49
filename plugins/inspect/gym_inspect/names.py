"""How tasks of Inspect are named, `PACKAGE/TASK` or `FILE.py@TASK`, and where they live: a package in one venv."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files

from gym_core import UsageError, Venv
from gym_core.spi import nearest

REQUIREMENT = "inspect_ai>=0.3.285,<0.4"
"""The releases whose way of running a sample is followed here."""
_TASK = re.compile(r"([A-Za-z][\w.-]*)(?:/([A-Za-z_]\w*))?")


@dataclass(frozen=True, slots=True)
class Named:
    """A task. `package`: what registers it, empty for a `file`.

    `task`: its name, empty for the only one of a file, and for a package, whose tasks share one venv.
    """

    task: str
    package: str = ""
    file: str = ""

    def __str__(self) -> str:
        if self.file:
            return f"inspect:{self.file}{'@' + self.task if self.task else ''}"
        return f"inspect:{self.package}{'/' + self.task if self.task else ''}"


def named(text: str | None) -> Named:
    """What stands after the colon. Raises `UsageError`."""
    given = (text or "").strip()
    if not given:
        raise UsageError("inspect needs a task", hint="--env inspect:PACKAGE/TASK, such as inspect:inspect_evals/gsm8k")
    file, _, task = given.partition("@")
    if file.endswith(".py"):
        return Named(task, file=file)
    if found := _TASK.fullmatch(given):
        return Named(found[2] or "", package=found[1])
    raise UsageError(f"{given!r} is no task of Inspect", hint="PACKAGE/TASK, or ./FILE.py@TASK")


def venv_of(wanted: Named) -> Venv | None:
    """The venv that a task has to live in; None where all that it needs is here."""
    here = importlib.util.find_spec("inspect_ai") is not None
    if here and (wanted.file or wanted.package in registered()):
        return None
    packages = [] if wanted.file else [wanted.package.replace("_", "-")]
    return Venv(name=str(replace(wanted, task="")), packages=(REQUIREMENT, *packages), near=partial(near_to, wanted))


def near_to(wanted: Named) -> list[str]:
    """Tasks of the catalogue that are called much like one that it does not have."""
    if not wanted.task or wanted.file:
        return []
    catalog = json.loads((files("gym_inspect") / "catalog.json").read_text("utf-8"))
    ids = [entry["id"] for entry in catalog["entries"]]
    return [] if str(wanted) in ids else nearest(str(wanted), ids, most=3, cutoff=0.8)


def registered() -> set[str]:
    """The packages that register with Inspect here, and Inspect itself, which has no tasks."""
    return {entry.name for entry in importlib.metadata.entry_points(group="inspect_ai")}
