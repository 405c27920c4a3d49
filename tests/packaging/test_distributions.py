"""What a distribution of this repository carries when somebody builds it."""

from __future__ import annotations

import configparser
import re
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
PROJECTS = {source: tomllib.loads((source / "pyproject.toml").read_text()) for source in SOURCES}
LICENSE = (ROOT / "LICENSE").read_bytes()

distributions = pytest.mark.parametrize(
    "source", [pytest.param(source, id=PROJECTS[source]["project"]["name"]) for source in SOURCES]
)


def project(source: Path) -> dict[str, Any]:
    table: dict[str, Any] = PROJECTS[source]["project"]
    return table


def packages(source: Path) -> list[str]:
    return list(PROJECTS[source]["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def read_wheel(wheels: Path, source: Path) -> dict[str, bytes]:
    """Contents of the wheel's files by name."""
    (path,) = wheels.glob(f"{project(source)['name'].replace('-', '_')}-*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read_sdist(wheels: Path, source: Path) -> dict[str, bytes]:
    """Contents of the sdist's files by their name below its single top directory."""
    (path,) = wheels.glob(f"{project(source)['name'].replace('-', '_')}-*.tar.gz")
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.partition("/")[2]: file.read() for name, file in files.items() if file is not None}


def in_dist_info(files: dict[str, bytes], name: str) -> bytes:
    (content,) = (files[f] for f in files if ".dist-info/" in f and f.endswith(f".dist-info/{name}"))
    return content


def package_files(source: Path, package: str) -> set[str]:
    """What lies in a package directory of the source, compiled files aside."""
    paths = (source / package).rglob("*")
    return {path.relative_to(source).as_posix() for path in paths if path.is_file() and "__pycache__" not in path.parts}


@distributions
def test_wheel_and_sdist_hold_the_whole_package_and_no_tests(source: Path, wheels: Path) -> None:
    for files in (read_wheel(wheels, source), read_sdist(wheels, source)):
        for package in packages(source):
            assert f"{package}/py.typed" in files
            assert {name for name in files if name.startswith(f"{package}/")} == package_files(source, package)
        for name in files:
            path = PurePosixPath(name)
            assert not {"tests", "test"} & set(path.parts), name
            assert not path.name.startswith(("test_", "conftest.")), name


@distributions
def test_wheel_and_sdist_carry_the_license(source: Path, wheels: Path) -> None:
    assert b"Apache License" in LICENSE
    assert in_dist_info(read_wheel(wheels, source), "licenses/LICENSE") == LICENSE
    assert read_sdist(wheels, source)["LICENSE"] == LICENSE


@distributions
def test_metadata_describes_the_distribution_and_addresses_nothing(source: Path, wheels: Path) -> None:
    declared = project(source)
    metadata = message_from_bytes(in_dist_info(read_wheel(wheels, source), "METADATA"))
    assert metadata["Name"] == declared["name"]
    assert metadata["Summary"] == declared["description"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = description(metadata)
    assert text
    relative = re.findall(r"""\]\((?!https://|\#)[^)]*\)|(?:src|href)=["'](?!https://)""", text)
    assert not relative, f"an index knows no files of the repository: {relative}"
    assert not {"Home-page", "Download-URL", "Project-URL"} & set(metadata.keys())
    assert not [need for need in metadata.get_all("Requires-Dist", []) if "@" in need]


def description(metadata: Message) -> str:
    """The body of a METADATA file: the README."""
    body = metadata.get_payload()
    assert isinstance(body, str)
    return body.strip()


@distributions
def test_wheel_declares_its_entry_points(source: Path, wheels: Path) -> None:
    declared = dict(project(source).get("entry-points", {}))
    if "scripts" in project(source):
        declared["console_scripts"] = project(source)["scripts"]
    files = read_wheel(wheels, source)
    if not declared:  # a library
        assert not [name for name in files if name.endswith("/entry_points.txt")]
        return
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(in_dist_info(files, "entry_points.txt").decode())
    assert {section: dict(parser[section]) for section in parser.sections()} == declared
