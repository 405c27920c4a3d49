"""The cache of uv that all environments of a test session are made from, and what is compiled once for all of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test session share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def cache_folder(factory: pytest.TempPathFactory) -> Path:
    """The cache of this test session."""
    return shared_folder(factory) / "uv-cache"


def share_compiled(environment: Path, cache: Path) -> None:
    """Put what an environment has compiled into the cache beside its source, whence further environments get it.

    The files of an environment are links to those of the cache. Where uv has copied them there is nothing to share.
    """
    sources = {file.stat().st_ino: file for file in _sources(cache)}
    for compiled in environment.rglob("__pycache__/*.pyc"):
        source = compiled.parent.with_name(f"{compiled.name.partition('.')[0]}.py")
        if source.is_file() and (kept := sources.get(source.stat().st_ino)) is not None:
            target = kept.with_name("__pycache__")
            target.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (target / compiled.name).hardlink_to(compiled)


def _sources(cache: Path) -> Iterator[Path]:
    """The modules in the cache. What uv is still putting there for others is called otherwise, and goes."""
    for folder, inner, files in os.walk(cache):
        inner[:] = [name for name in inner if not name.startswith(".tmp")]
        yield from (Path(folder, name) for name in files if name.endswith(".py") and not name.startswith(".tmp"))
