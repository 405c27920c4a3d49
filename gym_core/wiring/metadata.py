"""Installed distributions as they lie on disk: their entry points and the head of their metadata.

The same facts as `importlib.metadata`, whose import alone costs more than the whole scan here: one directory listing
per entry of `sys.path`, and one small file per distribution. Formats: "Entry points specification" and "Core metadata
specifications" of the Python Packaging User Guide.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_MARKER = b"[gym."
_OUR_HEADING = re.compile(rb"(?im)^\W*\[\W*gyms?[._ -]")
_REQUIRES_GYM = re.compile(rb"(?im)^requires-dist:\s*gym[-_.]+core\b")
_HEAD_BYTES = 65_536
_LEFT_BEHIND = ("~", "-")  # how pip renames what it is about to remove
ARCHIVES = (".whl", ".tar.gz", ".zip")
"""How the names of files end that can be installed."""
TEST_INSTALLER = b"gym-tests"
"""Who made an installation that hides others on purpose, as its `INSTALLER` file says."""
_EXTRAS = re.compile(r"\s*\[.*\]\s*$")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One line of `entry_points.txt`: `value` is a module or `module:attribute`."""

    group: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution that has entry points for gym."""

    name: str
    version: str
    summary: str
    entry_points: tuple[EntryPoint, ...]


def canonical(name: str) -> str:
    """A distribution's name in the spelling that compares equal for all its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requested_name(package: str) -> str | None:
    """The distribution that an argument of pip or uv names; None for a folder or a URL, which do not tell."""
    from packaging.requirements import InvalidRequirement, Requirement

    if package.endswith(ARCHIVES) and " @ " not in package:
        return canonical(re.split(r"-\d", os.path.basename(package), maxsplit=1)[0])
    try:
        return canonical(Requirement(package).name)
    except InvalidRequirement:
        return None


@dataclass(frozen=True, slots=True)
class Damage:
    """What hides a plugin, or could: an installation that is not sound. `fix`: what to do about it."""

    distribution: str
    version: str
    message: str
    fix: str


def scan(path: Sequence[str]) -> Iterator[Distribution]:
    """The distributions along an import path that have entry points for gym; the first of a name hides the others.

    What cannot be read is passed over: one damaged installation must not hide the healthy ones. Where one folder has
    several of a name, as an interrupted upgrade leaves them behind, the newest of those with metadata counts.
    """
    seen: dict[str, str] = {}
    for found in _folders(path):
        owner, (folder, *_) = found
        # looked at only now: hardly any distribution is there twice
        if owner in seen and _has_metadata(seen[owner]):
            continue
        seen[owner] = folder
        read = _read(folder)
        if read is not None:
            yield read


def _folders(path: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The metadata folders along a path by the canonical name of their distribution, the one that counts first."""
    for place in dict.fromkeys(entry or os.curdir for entry in path):
        egg = os.path.join(place, "EGG-INFO")
        if place.endswith(".egg") and os.path.isdir(egg):
            yield canonical(_named(egg)[0]), [egg]
            continue
        try:
            names = sorted(name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info")))
        except OSError:
            continue
        owners: dict[str, list[str]] = {}
        for name in names:
            if not name.startswith(_LEFT_BEHIND):
                owners.setdefault(canonical(_named(name)[0]), []).append(os.path.join(place, name))
        for owner, folders in owners.items():
            yield owner, folders if len(folders) == 1 else sorted(folders, key=_worth, reverse=True)


def _named(folder: str) -> tuple[str, str]:
    """The name and the version that a folder's own name tells."""
    path, base = os.path.split(folder)
    name, _, version = (os.path.basename(path) if base == "EGG-INFO" else base).rpartition(".")[0].partition("-")
    return name, version


def _has_metadata(folder: str) -> bool:
    if os.path.isfile(folder):
        return folder.endswith(".egg-info")  # which may be a file
    return any(os.path.isfile(os.path.join(folder, name)) for name in ("METADATA", "PKG-INFO", "entry_points.txt"))


def _worth(folder: str) -> tuple[bool, bool, Any]:
    from packaging.version import InvalidVersion, Version

    try:
        return _has_metadata(folder), True, Version(_named(folder)[1])
    except InvalidVersion:
        return _has_metadata(folder), False, _named(folder)[1]


def damaged(path: Sequence[str]) -> Iterator[Damage]:
    """What is not sound along an import path and hides a plugin, or may do so."""
    counted: dict[str, str] = {}
    for owner, folders in _folders(path):
        for folder in folders:
            yield from _look(owner, folder)
            earlier = counted.setdefault(owner, folder)
            if earlier != folder and not _has_metadata(earlier):
                counted[owner] = folder
            elif earlier != folder and _has_metadata(folder):
                yield from _twice(owner, earlier, folder)
    yield from _leftovers(path)


def _look(owner: str, folder: str) -> Iterator[Damage]:
    version = _named(folder)[1]
    again = f"`gym install {owner}` again, or remove the folder"
    if not _has_metadata(folder):
        yield Damage(owner, version, f"{folder} holds no metadata, as an interrupted installation leaves it", again)
        return
    if os.path.isfile(folder):
        return
    about = "METADATA" if folder.endswith(".dist-info") else "PKG-INFO"
    contents: dict[str, bytes] = {}
    for name in (about, "entry_points.txt"):
        file = os.path.join(folder, name)
        try:
            with open(file, "rb") as opened:
                contents[name] = opened.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Damage(owner, version, f"{file} cannot be read: {error.strerror or error}", again)
            return
    points = contents.get("entry_points.txt", b"")
    requires_gym = _REQUIRES_GYM.search(contents.get(about, b"")) is not None
    if not requires_gym and not _OUR_HEADING.search(points) and b"\0" not in points:
        return
    if about not in contents:
        yield Damage(owner, version, f"{folder} has no {about}", again)
    recorded = _recorded_size(folder, "entry_points.txt")
    if recorded is not None and recorded != len(points):
        message = f"{folder}/entry_points.txt has {len(points)} bytes, but RECORD says {recorded}"
        yield Damage(owner, version, message, again)
    for name, content in contents.items():
        for problem in _problems(name, content, owner, requires_gym):
            yield Damage(owner, version, f"{os.path.join(folder, name)}: {problem}", again)


def _recorded_size(folder: str, name: str) -> int | None:
    """The size of a file of a metadata folder that its installer noted."""
    path = f"{os.path.basename(folder)}/{name}"
    for line in _content(os.path.join(folder, "RECORD"), whole=True).decode("utf-8", "replace").splitlines():
        if line.startswith((f"{path},", f'"{path}",')):
            size = line.rpartition(",")[2]
            return int(size) if size.isdecimal() else None
    return None


def _problems(name: str, content: bytes, owner: str, requires_gym: bool) -> Iterator[str]:
    if b"\0" in content:
        yield "not UTF-8 text: it has null bytes"
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"not UTF-8 text: {error.reason} at byte {error.start}"
        return
    if name == "entry_points.txt":
        for number, what in _wrong_lines(text, requires_gym):
            yield f"line {number}: {what}"
    else:
        said = parse_head(text).get("name")
        if said is None:
            yield "it says no name"
        elif canonical(said) != owner:
            yield f"it says that the name is {said}, the folder says {owner}"


def _wrong_lines(text: str, requires_gym: bool) -> Iterator[tuple[int, str]]:
    from gym_core.wiring.kinds import GROUPS

    group = ""
    seen: dict[tuple[str, str], int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            group = line[1:-1].strip()
            if line[-1] != "]":
                yield number, f"{line!r} is no heading, as it has no ] at its end"
            elif near := misspelt_group(group):
                yield number, f"the group {group!r} is not one of gym's; {near!r} is"
            elif requires_gym and group.startswith("gym.") and group not in GROUPS:
                yield number, f"the group {group!r} is not one of gym's, which are {', '.join(GROUPS)}"
        elif not group and requires_gym:
            yield number, f"{line!r} stands under no heading such as [{next(iter(GROUPS))}]"
        elif group in GROUPS:
            name, _, value = (part.strip() for part in line.partition("="))
            if not name or not value:
                yield number, f"{line!r} is no entry point, which is NAME = MODULE"
            elif name[0] == "-" or not name.isprintable() or "/" in name or ":" in name:
                yield (
                    number,
                    f"{name!r} is no name that commands take, with / or : in it, - before it, or unseen",
                )
            elif seen.setdefault((group, name), number) != number:
                yield number, f"{name!r} stands in line {seen[group, name]} already, which counts"


def _twice(owner: str, first: str, second: str) -> Iterator[Damage]:
    """Two installations of a name, where they differ in what gym finds."""
    counts, hidden = _read(first), _read(second)
    on_purpose = _content(os.path.join(first, "INSTALLER")).strip() == TEST_INSTALLER
    if (counts or hidden) and counts != hidden and not on_purpose:
        message = f"{owner} is there twice: {first} counts and hides {second}"
        yield Damage(owner, _named(second)[1], message, f"remove one of them, or `gym install --upgrade {owner}`")


def _leftovers(path: Sequence[str]) -> Iterator[Damage]:
    """What pip left behind in the middle of an uninstallation, links that lead nowhere, folders that cannot be read."""
    for place in dict.fromkeys(entry or os.curdir for entry in path):
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            yield from _archived(place)
            continue
        except OSError as error:
            yield Damage("", "", f"{place} cannot be read: {error.strerror or error}", "look at its permissions")
            continue
        for name in names:
            file = os.path.join(place, name)
            if name.startswith(_LEFT_BEHIND) and name.endswith(".dist-info") and (left := _read(file)) is not None:
                message = f"{file} is what an interrupted change of {left.name} left behind; its plugins are not found"
                yield Damage(left.name, left.version, message, f"`gym install {left.name}` again, remove the folder")
            elif name.endswith(".egg-link"):
                target = _content(file).decode("utf-8", "replace").partition("\n")[0].strip()
                if not os.path.isdir(os.path.join(place, target)):
                    owner = name.removesuffix(".egg-link")
                    yield Damage(owner, "", f"{file} leads to {target}, which is not there", f"`gym install {owner}`")


def _archived(place: str) -> Iterator[Damage]:
    """What an archive that can be imported from, such as a wheel, offers and gym does not read."""
    from zipfile import BadZipFile, ZipFile

    with contextlib.suppress(OSError, BadZipFile), ZipFile(place) as archive:
        for name in archive.namelist():
            if name.endswith("entry_points.txt") and any(
                parse_entry_points(archive.read(name).decode("utf-8", "replace"))
            ):
                message = f"{place} is an archive, whose plugins are not found: {name}"
                yield Damage(canonical(_named(os.path.dirname(name))[0]), "", message, f"`gym install {place}`")


def _read(folder: str) -> Distribution | None:
    content = _content(os.path.join(folder, "entry_points.txt"))
    if _MARKER not in content.replace(b" ", b""):
        return None
    entry_points = tuple(parse_entry_points(content.decode("utf-8-sig", "replace")))
    if not entry_points:
        return None
    filename = "METADATA" if folder.endswith(".dist-info") else "PKG-INFO"
    head = parse_head(_content(os.path.join(folder, filename)).decode("utf-8-sig", "replace"))
    name, version = _named(folder)
    return Distribution(
        name=head.get("name") or name.replace("_", "-"),
        version=head.get("version") or version,
        summary=head.get("summary", ""),
        entry_points=entry_points,
    )


def _content(path: str, whole: bool = False) -> bytes:
    # `os` rather than `open`: most distributions have no such file, and 600 exceptions with tracebacks add up
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return b""
    try:
        content = part = os.read(descriptor, _HEAD_BYTES)
        while len(part) == _HEAD_BYTES and (whole or path.endswith(".txt")):  # of metadata the head is enough
            part = os.read(descriptor, _HEAD_BYTES)
            content += part
        return content
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def misspelt_group(group: str) -> str | None:
    """The group of gym's that is meant by one that is none; None where it is one, or somebody else's."""
    from gym_core.domain.nearest import nearest
    from gym_core.wiring.kinds import GROUPS

    said = re.sub(r"[\W_]+", ".", group.lower(), count=1).strip(".[]")
    near = nearest(re.sub(r"[-\s]", "_", said), GROUPS, cutoff=0.9)
    return near[0] if near and group not in GROUPS else None


def parse_entry_points(text: str) -> Iterator[EntryPoint]:
    """The entry points of the groups `gym.*`; lines that are none are passed over."""
    group = ""
    seen: set[tuple[str, str]] = set()
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            group = line[1:-1].strip()
        elif group.startswith("gym."):
            name, equals, value = line.partition("=")
            name, value = name.strip(), _EXTRAS.sub("", value).strip()
            if equals and name and value and (group, name) not in seen:
                seen.add((group, name))
                yield EntryPoint(group, name, value)


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
