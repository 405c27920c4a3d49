"""The plugins of installed distributions, as their metadata lies on disk: entry points and a head.

The same facts as `importlib.metadata`, whose import alone costs more than the whole scan here: one directory listing
per entry of `sys.path`, and one small file per distribution. Formats: "Entry points specification" and "Core metadata
specifications" of the Python Packaging User Guide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gym_core.wiring.kinds import GROUPS, Kind
from gym_core.wiring.plugin import Plugin, canonical

LEFT_BEHIND = ("~", "-")
"""How pip renames what it is about to remove: the first letter."""
POINTS = "entry_points.txt"
_EXTRAS = re.compile(r"\s*\[.*\]\s*$")


def scan(path: Sequence[str], kind: Kind | None = None) -> Iterator[Plugin]:
    """The plugins of the distributions along an import path; the first distribution of a name hides the others.

    `kind`: only of this one, which spares reading what the distributions of all others are.

    What cannot be read is passed over: one damaged installation must not hide the healthy ones. Where one folder has
    several of a name, as an interrupted upgrade leaves them behind, the newest of those with metadata counts.
    """
    seen: dict[str, str] = {}
    for owner, (folder, *_) in metadata_folders(path):
        # looked at only now: hardly any distribution is there twice
        if owner not in seen or not has_metadata(seen[owner]):
            seen[owner] = folder
            yield from read_plugins(folder, kind)


def metadata_folders(path: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The metadata folders along a path by the canonical name of their distribution, the one that counts first."""
    for place in dict.fromkeys(entry or os.curdir for entry in path):
        egg = os.path.join(place, "EGG-INFO")
        if place.endswith(".egg") and os.path.isdir(egg):
            yield canonical(name_and_version(egg)[0]), [egg]
            continue
        try:
            names = sorted(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        owners: dict[str, list[str]] = {}
        for name in names:
            if not name.startswith(LEFT_BEHIND):
                owners.setdefault(canonical(name_and_version(name)[0]), []).append(os.path.join(place, name))
        for owner, folders in owners.items():
            yield owner, folders if len(folders) == 1 else sorted(folders, key=_worth, reverse=True)


def name_and_version(folder: str) -> tuple[str, str]:
    """The name and the version that a metadata folder's own name tells."""
    path, base = os.path.split(folder)
    name, _, version = (os.path.basename(path) if base == "EGG-INFO" else base).rpartition(".")[0].partition("-")
    return name, version


def has_metadata(folder: str) -> bool:
    """Whether there is anything in it."""
    if os.path.isfile(folder):
        return folder.endswith(".egg-info")  # which may be a file
    return any(os.path.isfile(os.path.join(folder, name)) for name in ("METADATA", "PKG-INFO", POINTS))


def _worth(folder: str) -> tuple[bool, bool, Any]:
    from packaging.version import InvalidVersion, Version

    version = name_and_version(folder)[1]
    try:
        return has_metadata(folder), True, Version(version)
    except InvalidVersion:
        return has_metadata(folder), False, version


def read_plugins(folder: str, kind: Kind | None = None) -> list[Plugin]:
    """The plugins that a metadata folder tells of: all, or those of a kind."""
    content = content_of(folder, POINTS)
    group = kind.group if kind is not None else "gym."
    if f"[{group}".encode() not in content.replace(b" ", b""):
        return []
    head = parse_head(content_of(folder, about_file(folder)).decode("utf-8-sig", "replace"))
    name, version = name_and_version(folder)
    about = head.get("name") or name.replace("_", "-"), head.get("version") or version, head.get("summary", "")
    points = parse_entry_points(content.decode("utf-8-sig", "replace"))
    plugins = [Plugin(GROUPS[group], entry, value, *about) for (group, entry), value in points.items()]
    return [plugin for plugin in plugins if kind in (None, plugin.kind)]


def about_file(folder: str) -> str:
    """The name of the file that holds the head of the metadata."""
    return "METADATA" if folder.endswith(".dist-info") else "PKG-INFO"


def content_of(folder: str, name: str) -> bytes:
    """What a file holds; nothing where it cannot be read."""
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except OSError:
        return b""


def lines_of(text: str) -> Iterator[tuple[int, str, str]]:
    """The lines of `entry_points.txt` that say something: the number, the group that it stands under, and the line.

    A heading stands under itself.
    """
    group = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line and line[0] not in "#;":
            group = line[1:-1].strip() if line[0] == "[" else group
            yield number, group, line


def parse_entry_points(text: str) -> dict[tuple[str, str], str]:
    """The entry points of gym's groups: a module, or `module:attribute`, by group and name.

    Lines that are none are passed over; of two with the same name the first counts.
    """
    found: dict[tuple[str, str], str] = {}
    for _, group, line in lines_of(text):
        name, _, value = line.partition("=")
        name, value = name.strip(), _EXTRAS.sub("", value).strip()
        if group in GROUPS and line[0] != "[" and name and value:
            found.setdefault((group, name), value)
    return found


def parse_head(text: str) -> dict[str, str]:
    """The headers of a metadata file by their names in lower case, without the long ones' further lines."""
    head: dict[str, str] = {}
    for line in text.splitlines():
        if not line:
            break
        name, colon, value = line.partition(":")
        if colon and not line[0].isspace():
            head.setdefault(name.lower(), value.strip())
    return head
