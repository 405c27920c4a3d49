"""Installations that are not sound and hide plugins, or may do so: for those who look for the reason."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from zipfile import BadZipFile, ZipFile

from gym_core.domain.nearest import nearest
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import GROUPS, Kind
from gym_core.wiring.metadata import (
    LEFT_BEHIND,
    POINTS,
    about_file,
    content_of,
    has_metadata,
    lines_of,
    metadata_folders,
    name_and_version,
    parse_entry_points,
    parse_head,
    read_plugins,
)
from gym_core.wiring.plugin import canonical
from gym_core.wiring.plugin_source import Damage
from gym_core.wiring.sources import working_sources

TEST_INSTALLER = b"gym-tests"
"""Who made an installation that hides others on purpose, as its `INSTALLER` file says."""
_OUR_HEADING = re.compile(rb"(?im)^\W*\[\W*gyms?[._ -]")
_REQUIRES_GYM = re.compile(rb"(?im)^requires-dist:\s*gym[-_.]+core\b")


def find_damage(*, environ: Mapping[str, str] | None = None, path: Sequence[str] | None = None) -> list[Damage]:
    """What hides plugins, or may do so. Arguments as for `find_plugins`."""
    found = list(_damaged(sys.path if path is None else path))
    if path is None:
        variables = os.environ if environ is None else environ
        for source in working_sources(find_plugins(Kind.SOURCE, environ=environ)):
            found += source.broken(variables)
    return found


def _damaged(path: Sequence[str]) -> Iterator[Damage]:
    """What is not sound along an import path and hides a plugin, or may do so."""
    counted: dict[str, str] = {}
    for owner, folders in metadata_folders(path):
        for folder in folders:
            for problem in _problems(owner, folder):
                fix = f"`gym install {owner}` again, or remove the folder"
                yield Damage(owner, name_and_version(folder)[1], problem, fix)
            earlier = counted.setdefault(owner, folder)
            if earlier != folder and not has_metadata(earlier):
                counted[owner] = folder
            elif earlier != folder and has_metadata(folder):
                yield from _twice(owner, earlier, folder)
    for place in dict.fromkeys(entry or os.curdir for entry in path):
        yield from _leftovers(place)


def _problems(owner: str, folder: str) -> Iterator[str]:
    """What is wrong with a metadata folder."""
    if not has_metadata(folder):
        yield f"{folder} holds no metadata, as an interrupted installation leaves it"
    if not os.path.isdir(folder):
        return
    about = about_file(folder)
    contents: dict[str, bytes] = {}
    for name in (about, POINTS):
        file = os.path.join(folder, name)
        try:
            with open(file, "rb") as opened:
                contents[name] = opened.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            yield f"{file} cannot be read: {error.strerror or error}"
            return
    points = contents.get(POINTS, b"")
    requires_gym = _REQUIRES_GYM.search(contents.get(about, b"")) is not None
    if not requires_gym and not _OUR_HEADING.search(points) and b"\0" not in points:
        return
    if about not in contents:
        yield f"{folder} has no {about}"
    recorded = _recorded_size(folder)
    if recorded not in ("", str(len(points))):
        yield f"{folder}/{POINTS} has {len(points)} bytes, but RECORD says {recorded}"
    for name, content in contents.items():
        for problem in _wrong_content(name, content, owner, requires_gym):
            yield f"{os.path.join(folder, name)}: {problem}"


def _recorded_size(folder: str) -> str:
    """The size of the entry points that their installer noted; empty where it noted none."""
    file = f"{os.path.basename(folder)}/{POINTS}"
    for line in content_of(folder, "RECORD").decode("utf-8", "replace").splitlines():
        if line.startswith((f"{file},", f'"{file}",')):
            return line.rpartition(",")[2]
    return ""


def _wrong_content(name: str, content: bytes, owner: str, requires_gym: bool) -> Iterator[str]:
    if b"\0" in content:
        yield "not UTF-8 text: it has null bytes"
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"not UTF-8 text: {error.reason} at byte {error.start}"
        return
    if name == POINTS:
        for number, what in _wrong_lines(text, requires_gym):
            yield f"line {number}: {what}"
        return
    said = parse_head(text).get("name")
    if said is None:
        yield "it says no name"
    elif canonical(said) != owner:
        yield f"it says that the name is {said}, the folder says {owner}"


def _wrong_lines(text: str, requires_gym: bool) -> Iterator[tuple[int, str]]:
    seen: dict[tuple[str, str], int] = {}
    for number, group, line in lines_of(text):
        if line[0] == "[":
            if line[-1] != "]":
                yield number, f"{line!r} is no heading, as it has no ] at its end"
            elif near := _misspelt_group(group):
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
                yield number, f"{name!r} is no name that commands take, with / or : in it, - before it, or unseen"
            elif seen.setdefault((group, name), number) != number:
                yield number, f"{name!r} stands in line {seen[group, name]} already, which counts"


def _misspelt_group(group: str) -> str | None:
    """The group of gym's that is meant by one that is none; None where it is one, or somebody else's."""
    said = re.sub(r"[\W_]+", ".", group.lower(), count=1).strip(".[]")
    near = nearest(re.sub(r"[-\s]", "_", said), GROUPS, cutoff=0.9)
    return near[0] if near and group not in GROUPS else None


def _twice(owner: str, first: str, second: str) -> Iterator[Damage]:
    """Two installations of a name, where they differ in what gym finds."""
    on_purpose = content_of(first, "INSTALLER").strip() == TEST_INSTALLER
    if not on_purpose and read_plugins(first) != read_plugins(second):
        message = f"{owner} is there twice: {first} counts and hides {second}"
        fix = f"remove one of them, or `gym install --upgrade {owner}`"
        yield Damage(owner, name_and_version(second)[1], message, fix)


def _leftovers(place: str) -> Iterator[Damage]:
    """What pip left behind in the middle of an uninstallation, links that lead nowhere, folders that cannot be read."""
    try:
        names = sorted(os.listdir(place))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        yield from _archived(place)
        return
    except OSError as error:
        yield Damage("", "", f"{place} cannot be read: {error.strerror or error}", "look at its permissions")
        return
    for name in names:
        file = os.path.join(place, name)
        if name.startswith(LEFT_BEHIND) and name.endswith(".dist-info") and (plugins := read_plugins(file)):
            left = plugins[0].distribution
            message = f"{file} is what an interrupted change of {left} left behind; its plugins are not found"
            yield Damage(left, plugins[0].version, message, f"`gym install {left}` again, remove the folder")
        elif name.endswith(".egg-link"):
            target = content_of(place, name).decode("utf-8", "replace").partition("\n")[0].strip()
            if not os.path.isdir(os.path.join(place, target)):
                owner = name.removesuffix(".egg-link")
                yield Damage(owner, "", f"{file} leads to {target}, which is not there", f"`gym install {owner}`")


def _archived(place: str) -> Iterator[Damage]:
    """What an archive that can be imported from, such as a wheel, offers and gym does not read."""
    with contextlib.suppress(OSError, BadZipFile), ZipFile(place) as archive:
        for name in archive.namelist():
            if name.endswith(POINTS) and parse_entry_points(archive.read(name).decode("utf-8", "replace")):
                message = f"{place} is an archive, whose plugins are not found: {name}"
                owner = canonical(name_and_version(os.path.dirname(name))[0])
                yield Damage(owner, "", message, f"`gym install {place}`")
