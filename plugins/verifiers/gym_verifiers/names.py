"""How environments of verifiers are named, and where they live: `ID[@VERSION]`."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from gym_core import UsageError, Venv
from gym_core.spi import nearest, suggestion

_VERSION = re.compile(r"\d+(\.\d+){1,2}")
_IDENT = re.compile(r"([A-Za-z0-9][\w.-]*/)?[A-Za-z][\w-]*(\.[A-Za-z][\w-]*)*")
TASKSETS = Version("0.4.dev0")
"""The version of verifiers since which environments are tasksets, and nothing else."""
BUILT_IN = {
    "harbor": "verifiers[harbor]",
    "nemo_gym": "verifiers",
    "openenv": "verifiers[openenv]",
    "textarena": "verifiers[ta]",
}
"""The tasksets that come with verifiers 0.4, and what brings what they need."""


@dataclass(frozen=True, slots=True)
class Named:
    """An environment. `ident`: its id, `wordle` or `owner/wordle`. `version`: of verifiers; empty for any."""

    ident: str
    version: str = ""

    @property
    def module(self) -> str:
        """The module that it is, as verifiers imports it: its own tasksets come first."""
        name = self.package.replace("-", "_")
        return f"verifiers.v1.tasksets.{name}" if self.built_in else name

    @property
    def built_in(self) -> str:
        """What brings it where it comes with verifiers itself; else empty."""
        return "" if self.is_classic else BUILT_IN.get(self.package.replace("-", "_"), "")

    @property
    def is_classic(self) -> bool:
        """Whether it is asked for with `load_environment`, by its version."""
        return bool(self.version) and Version(self.version) < TASKSETS

    @property
    def package(self) -> str:
        """The distribution that brings it, as far as its id says."""
        return self.ident.rpartition("/")[2]

    @property
    def requirement(self) -> str:
        """The version of verifiers, as pip takes it."""
        if not self.version:
            return "verifiers"
        # two parts name a line of releases, each of which may break what came before
        is_line = len(Version(self.version).release) < 3
        return f"verifiers=={self.version}{'.*' if is_line else ''}"

    def at(self, version: str) -> Named:
        """The same for another version."""
        return Named(self.ident, version)

    def __str__(self) -> str:
        return f"verifiers:{self.ident}{'@' + self.version if self.version else ''}"


def named(text: str | None) -> Named:
    """What stands after the colon. Raises `UsageError`."""
    ident, _, version = (text or "").strip().partition("@")
    if not ident:
        raise UsageError(
            "verifiers needs the id of an environment", hint="--env verifiers:ID, such as verifiers:wordle"
        )
    if not _IDENT.fullmatch(ident):
        raise UsageError(f"{ident!r} is no id of an environment", hint="NAME or OWNER/NAME; --with PKG names a package")
    if version and not _VERSION.fullmatch(version):
        raise UsageError(f"{version!r} is no version of verifiers", hint=f"verifiers:{ident}@0.3, or {ident}@0.3.1")
    return Named(ident, version)


def installed_version() -> str | None:
    """The version of verifiers that is importable here."""
    if importlib.util.find_spec("verifiers") is None:
        return None
    try:
        return importlib.metadata.version("verifiers")
    except importlib.metadata.PackageNotFoundError:
        return None


def fits(wanted: Named, version: str) -> bool:
    """Whether a version of verifiers is the one that is wanted."""
    return Requirement(wanted.requirement).specifier.contains(version, prereleases=True)


def is_here(wanted: Named) -> bool:
    """Whether the module of an environment is importable here. Nothing is imported to see that."""
    name, *inner = wanted.module.split(".")
    spec = importlib.util.find_spec(name)
    if spec is None or not inner:
        return spec is not None
    places = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    return any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)


def venv_of(wanted: Named) -> Venv | None:
    """The venv that an environment has to live in; None where all that it needs is here."""
    here = installed_version()
    matches = here is not None and fits(wanted, here)
    if matches and is_here(wanted):
        return None
    # `uv` runs the programs of 0.4, which bring their own dependencies
    tools = [] if wanted.is_classic else ["uv"]
    packages = (wanted.requirement, *tools, wanted.built_in or wanted.package)
    return Venv(name=str(wanted), packages=packages, near=partial(near_to, wanted) if matches else tuple)


def near_to(wanted: Named) -> list[str]:
    """Environments that are installed here and called much like another: modules whose distribution needs verifiers."""
    owners = importlib.metadata.packages_distributions()
    close = nearest(wanted.package.replace("-", "_"), owners, most=3, cutoff=0.8)
    return [f"verifiers:{module}" for module in close if any(_needs_verifiers(owner) for owner in owners[module])]


def _needs_verifiers(distribution: str) -> bool:
    for text in importlib.metadata.requires(distribution) or ():
        try:
            if Requirement(text).name == "verifiers":
                return True
        except InvalidRequirement:
            continue
    return False


def unknown(wanted: Named) -> UsageError:
    """The error for an id that no module has, with those that are near it."""
    return UsageError(
        f"there is no environment {wanted.ident!r}: no module {wanted.module} is installed with verifiers"
        f"{suggestion(near_to(wanted))}",
        hint=f"gym install --isolated {wanted} --with PKG names the package that brings it",
    )
