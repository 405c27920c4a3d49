"""Pythons other than the one that runs: found by their version where uv, pyenv or PATH have them, or by their path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from gym_core import UsageError

OLDEST = Version("3.11")
"""What gym-core asks for."""
_SECONDS = 30.0
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
_ASK = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def find_interpreter(wanted: str) -> str:
    """The path of a Python, named by a version, `3.12` or `3.12.1`, or by a path. Raises `UsageError`."""
    if os.sep in wanted or (os.altsep and os.altsep in wanted):
        path = os.path.abspath(os.path.expanduser(wanted))
        if (version := _version_of(path)) is None:
            raise UsageError(f"--python {wanted}: that is no Python", hint="the path of an interpreter, or a version")
        _require_new_enough(version, wanted)
        return path
    text = wanted.removeprefix("python")
    if not _VERSION.fullmatch(text):
        raise UsageError(f"--python {wanted}: that is no version", hint="--python 3.12, or the path of an interpreter")
    _require_new_enough(text, wanted)
    release = Version(text).release
    found: dict[Version, str] = {}
    for path in _candidates(text):
        said = _version_of(path)
        if said is not None and (its := Version(said)).release[: len(release)] == release:
            found.setdefault(its, path)
    if not found:
        raise UsageError(
            f"there is no Python {text} that uv, pyenv or PATH know",
            hint=f"`uv python install {text}` or `pyenv install {text}` gets it; --python PATH names another",
        )
    return found[max(found)]


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    if (uv := shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")) is not None:
        found = _said([uv, "python", "find", "--no-project", "--no-python-downloads", version])
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(pyenv.glob(f"{version}*")):
        yield str(folder / "bin" / "python")
    numbers = Version(version)
    if (on_path := shutil.which(f"python{numbers.major}.{numbers.minor}")) is not None:
        yield on_path


def _version_of(path: str) -> str | None:
    said = _said([path, "-I", "-c", _ASK])
    return said if said is not None and _VERSION.fullmatch(said) else None


def _said(command: list[str]) -> str | None:
    """What a program prints; None where it cannot be run, or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _require_new_enough(version: str, wanted: str) -> None:
    if Version(version) < OLDEST:
        raise UsageError(f"--python {wanted}: gym runs on Python {OLDEST} and newer", hint=f"--python {OLDEST}")
