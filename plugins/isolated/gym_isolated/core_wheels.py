"""The gym that is running, as wheels, so that an isolated environment gets the very same.

It needs no index and no build: gym is plain files, and its metadata lie beside them whether it was installed from a
wheel or in editable mode. The format is the "Binary distribution format" of the Python Packaging User Guide.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from zipfile import ZIP_DEFLATED, ZipFile

from gym_core import UsageError

_WHEEL = "Wheel-Version: 1.0\nGenerator: gym\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


PACKAGES = {
    "gym-core": "gym_core",
    "gym-http1": "gym_http1",
    "gym-chat": "gym_chat",
    "gym-results": "gym_results",
    "gym-nemo": "gym_nemo",
    "gym-http": "gym_http",
    "gym-isolated": "gym_isolated",
}
"""What an isolated environment needs of gym: the core, and what its components are served with, and that needs."""


def write_wheels(folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """Write the wheels into a folder; returns them as requirements. `more`: further distributions and their packages.

    Raises `UsageError` where one has no metadata.
    """
    wanted = {**PACKAGES, **more}
    return [f"{name} @ {_write_wheel(folder, name, package).as_uri()}" for name, package in wanted.items()]


def _write_wheel(folder: Path, name: str, package: str) -> Path:
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UsageError(
            f"{name} is running but not installed, so that it cannot be put into another environment",
            hint=f"install it: `pip install {name}`, or `pip install -e .` in its source tree",
        ) from None
    stem = f"{package}-{installed.version}"
    path = folder / f"{stem}-py3-none-any.whl"
    lines: list[str] = []
    with ZipFile(path, "w", ZIP_DEFLATED) as wheel:
        for member, content in (*_files(package), *_metadata(installed, f"{stem}.dist-info")):
            wheel.writestr(member, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{member},sha256={digest},{len(content)}\n")
        lines.append(f"{stem}.dist-info/RECORD,,\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "".join(lines))
    return path


def _files(package: str) -> Iterator[tuple[str, bytes]]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield f"{package}/{path.relative_to(root).as_posix()}", path.read_bytes()


def _metadata(installed: metadata.Distribution, info: str) -> Iterator[tuple[str, bytes]]:
    yield f"{info}/METADATA", (installed.read_text("METADATA") or "").encode()
    yield f"{info}/entry_points.txt", (installed.read_text("entry_points.txt") or "").encode()
    yield f"{info}/WHEEL", _WHEEL.encode()
