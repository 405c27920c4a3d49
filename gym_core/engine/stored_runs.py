"""The runs that lie in a folder, found by their manifests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gym_core.domain.errors import UsageError
from gym_core.engine.storage.manifest import Manifest

MANIFEST = ".run.json"


def manifests(folder: Path) -> Iterator[Path]:
    """The paths of what look like manifests, in this folder and those below it; hidden folders are left out.

    Raises `UsageError` where the folder cannot be read.
    """
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read: {error.strerror or error}", hint="give a folder, or the results, of runs"
        ) from None
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if name.endswith(MANIFEST))


def rows_of(manifest: Path) -> Path:
    """The results that belong to a manifest."""
    return manifest.with_name(manifest.name.removesuffix(MANIFEST) + ".jsonl")


def latest_run(folder: Path) -> Path:
    """The results of the run in a folder that was started last. Raises `UsageError` where there is none."""
    found = max(_started(folder), default=None)
    if found is None:
        raise UsageError(f"there is no run in {folder}", hint="give the results of one: `gym run` names the file")
    return found[1]


def _started(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in manifests(folder):
        try:
            created = Manifest.read(path).created_at
        except UsageError:  # what is no manifest is no run
            continue
        rows = rows_of(path)
        if isinstance(created, str) and rows.is_file():
            yield created, rows
