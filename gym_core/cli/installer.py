"""The program that changes the environment gym runs in: uv, or else pip. It is asked, never imported."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gym_core.domain.errors import UsageError
from gym_core.wiring.plugin import canonical

Change: TypeAlias = "tuple[Literal['+', '-', '~'], str, str]"
"""What happens to one distribution: `+` it comes, `-` it goes, `~` it is put there again; its name, and its version or
the file it is taken from."""

_UV_LINE = re.compile(r"^ ([+~-]) (\S+?)(?:==| @ )(\S+)", re.MULTILINE)
_UV_NOTHING = "Would make no changes"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
# Settings that would lead elsewhere than to the environment of this interpreter.
_ELSEWHERE = (
    *("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_BREAK_SYSTEM_PACKAGES"),
    *("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_TARGET", "UV_PREFIX", "UV_BREAK_SYSTEM_PACKAGES"),
)
_SHOWN = 1500
ARCHIVES = (".whl", ".tar.gz", ".zip")
"""How the names of files end that can be installed."""


@dataclass(frozen=True, slots=True)
class Installer:
    """A program that changes an environment. `name`: uv or pip. `python`: the environment's; this one by default."""

    name: Literal["uv", "pip"]
    command: tuple[str, ...]
    python: str = ""

    def make_environment(self, folder: Path, python: str = "") -> None:
        """Make a virtual environment of an interpreter, of the one that runs by default. Raises `UsageError`."""
        python = python or sys.executable
        if self.name == "uv":
            made = [*self.command[:-1], "venv", "--quiet", "--no-project", "--python", python, str(folder)]
        else:
            made = [python, "-m", "venv", "--without-pip", str(folder)]
        _refuse(_finished(made), [str(folder)])

    def bound_to(self, python: Path) -> Installer:
        """The same program for the environment of another interpreter."""
        return replace(self, python=str(python))

    def plan(self, packages: Sequence[str], options: Sequence[str]) -> list[Change]:
        """What an installation would change. Raises `UsageError` where it cannot be resolved."""
        if self.name == "uv":
            done = self._run("install", "--dry-run", *self._bound(), *options, *packages)
            _refuse(done, packages)
            return uv_changes(done.stderr)
        done = self._run("install", "--dry-run", "--quiet", "--report", "-", *options, *packages)
        _refuse(done, packages)
        return pip_changes(done.stdout, fresh=bool(self.python))

    def install(self, packages: Sequence[str], options: Sequence[str]) -> None:
        """Install. Raises `UsageError`."""
        _refuse(self._run("install", *self._bound(), *options, *packages), packages)

    def uninstall(self, distributions: Sequence[str]) -> None:
        """Remove distributions. Raises `UsageError`."""
        sure = ("--yes",) if self.name == "pip" else ()
        _refuse(self._run("uninstall", *sure, *self._bound(), *distributions), distributions)

    def _bound(self) -> tuple[str, ...]:
        return ("--python", self.python or sys.executable) if self.name == "uv" else ()

    def _run(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        elsewhere = ("--python", self.python) if self.name == "pip" and self.python else ()
        return _finished([*self.command, *elsewhere, action, *arguments])


def requested_name(package: str) -> str | None:
    """The distribution that an argument of pip or uv names; None for a folder or a URL, which do not tell."""
    from packaging.requirements import InvalidRequirement, Requirement

    if package.endswith(ARCHIVES) and " @ " not in package:
        return canonical(re.split(r"-\d", os.path.basename(package), maxsplit=1)[0])
    try:
        return canonical(Requirement(package).name)
    except InvalidRequirement:
        return None


def find_installer(*, here: bool = True) -> Installer:
    """uv from beside the interpreter or from PATH, else the interpreter's pip.

    `here`: it is to change the environment that gym runs in. Raises `UsageError` where there is neither, or where that
    environment belongs to the operating system (PEP 668).
    """
    if here:
        refuse_managed()
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    uv = beside or shutil.which("uv")
    if uv is not None:
        return Installer("uv", (uv, "--color", "never", "--no-progress", "pip"))
    if importlib.util.find_spec("pip") is not None:
        return Installer(
            "pip", (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color")
        )
    raise UsageError(
        f"there is neither uv nor pip for {sys.executable}",
        hint=f"install uv, or run `{sys.executable} -m ensurepip`",
    )


def refuse_managed() -> None:
    """Raise `UsageError` where packages of this environment are the system's business: PEP 668."""
    is_virtual = sys.prefix != sys.base_prefix
    if not is_virtual and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file():
        raise UsageError(
            f"{sys.executable} belongs to the operating system, which manages its packages",
            hint="make an environment of your own, `python -m venv .venv`, and install gym-core and the rest there",
        )


def uv_changes(output: str) -> list[Change]:
    """The changes that `uv pip install --dry-run` lists: ` + name==version`, or ` + name @ file://...`."""
    changes: list[Change] = _UV_LINE.findall(_STYLE.sub("", output))
    if not changes and _UV_NOTHING not in output:
        raise UsageError(f"what uv would do is not clear: {output.strip():.300}", hint="install it with uv itself")
    return changes


def pip_changes(output: str, *, fresh: bool = False) -> list[Change]:
    """The changes of a report of `pip install --dry-run` (format version 1), what they replace among them.

    `fresh`: the environment is a new one, where nothing is replaced.
    """
    from importlib import metadata

    report: Mapping[str, Any] = json.loads(output)
    changes: list[Change] = []
    for entry in report["install"]:
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        with contextlib.suppress(metadata.PackageNotFoundError):
            if not fresh:
                changes.append(("-", name, metadata.version(name)))
        changes.append(("+", name, version))
    return changes


def _finished(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=_variables(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
    return {**kept, "NO_COLOR": "1", "PYTHONUTF8": "1"}


def _refuse(done: subprocess.CompletedProcess[str], packages: Sequence[str]) -> None:
    if done.returncode == 0:
        return
    lines = [line.strip() for line in _STYLE.sub("", done.stderr or done.stdout).splitlines()]
    said = " ".join(line for line in lines if line and not line.startswith(("Using Python", "warning:", "WARNING:")))
    raise UsageError(
        f"{', '.join(packages)}: {said:.{_SHOWN}}" if said else f"{', '.join(packages)}: exit status {done.returncode}",
        hint="nothing was changed; check the names, the package index and the connection",
    )
