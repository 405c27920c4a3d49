"""The packages that a run needs on the nodes of a cluster, as a runtime environment of Ray.

What was installed from an index is installed there the same way. What was not, such as an editable installation, is
sent: its modules, and beside them the metadata that holds its entry points, by which gym finds it there, too.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gym_core.spi import TEST_INSTALLER

OURS = ("gym-core", "gym-ray", "gym-workers")


def runtime_env(names: Iterable[str]) -> dict[str, Any]:
    """The `runtime_env` for workers that need these distributions, and those that every worker needs."""
    return environment({*OURS, *names})


def environment(names: Iterable[str]) -> dict[str, Any]:
    """The `runtime_env` with these distributions and no others."""
    wanted = {canonicalize_name(name) for name in names}
    modules: list[str] = []
    pip: list[str] = []
    for name in sorted(wanted):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if _from_index(found):
            pip.append(f"{name}=={found.version}")
        else:
            modules += _files(found)
            pip += requirements(found, wanted)
    env: dict[str, Any] = {"py_modules": modules, "excludes": ["__pycache__"]} if modules else {}
    return env | ({"pip": sorted(set(pip))} if pip else {})


def requirements(found: Distribution, without: Iterable[str]) -> Iterator[str]:
    """What a distribution needs, but for its extras and what is sent anyway."""
    for text in found.requires or ():
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) in without or "extra" in str(requirement.marker or ""):
            continue
        if requirement.marker is None or requirement.marker.evaluate():
            yield f"{requirement.name}{requirement.specifier}"


def _from_index(found: Distribution) -> bool:
    """Whether an installer fetched it from an index: whatever came from a folder has no place to be fetched from."""
    origin = found.read_text("direct_url.json")
    if origin:
        return "dir_info" not in json.loads(origin)
    return (found.read_text("INSTALLER") or "").strip() not in ("", TEST_INSTALLER.decode())


def _files(found: Distribution) -> list[str]:
    """The modules of a distribution that lie on this machine, and its metadata."""
    tops = {point.value.partition(":")[0].partition(".")[0] for point in found.entry_points}
    places = []
    for top in sorted(tops):
        spec = importlib.util.find_spec(top)
        if spec is not None:
            places += list(spec.submodule_search_locations or [spec.origin or ""])[:1]
    info = getattr(found, "_path", None)
    return [place for place in places if place] + ([str(Path(info))] if info is not None else [])
