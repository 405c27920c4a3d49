"""A directory of installed distributions, made for a test."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from gym_core.spi import TEST_INSTALLER, canonical

_numbers = itertools.count()
Points: TypeAlias = Mapping[str, Mapping[str, str]]


class Site:
    """Distributions as they lie on disk once installed. `modules`: the names of those that were made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.modules: list[str] = []
        path.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        distribution: str,
        code: str | None = None,
        *,
        group: str = "gym.agents",
        name: str = "it",
        value: str = "",
        version: str = "1.0",
        summary: str = "A test's plugin",
    ) -> str:
        """Make and install a distribution with one entry point.

        `code`: the source of its module; None writes none. `value`: of the entry point, where `{module}` stands for the
        module's name. Returns that name, which nobody else has.
        """
        module = f"{distribution.replace('-', '_')}_{next(_numbers)}"
        self.modules.append(module)
        if code is not None:
            (self.path / f"{module}.py").write_text(code, encoding="utf-8")
        self.record(distribution, {group: {name: value.format(module=module) or module}}, version, summary)
        return module

    def info(self, distribution: str, entry_points: str | bytes, metadata: str = "", *, version: str = "1.0") -> Path:
        """Write the `.dist-info` of a distribution, in whatever state a test wants it."""
        folder = self.path / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        content = entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        (folder / "entry_points.txt").write_bytes(content)
        (folder / "METADATA").write_text(metadata, encoding="utf-8")
        return folder

    def record(self, distribution: str, points: Points, version: str, summary: str) -> None:
        """Write the `.dist-info` of a sound distribution, over any that it had. `points`: module by name by group."""
        for folder in self.path.glob("*.dist-info"):
            if canonical(folder.name.partition("-")[0]) == canonical(distribution):
                shutil.rmtree(folder)
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: {summary}\n\nAs installed.\n"
        folder = self.info(distribution, "".join(_lines(points)), head, version=version)
        (folder / "INSTALLER").write_bytes(TEST_INSTALLER)

    def forget(self) -> None:
        """Let go of the modules that were made."""
        for module in self.modules:
            sys.modules.pop(module, None)


def _lines(points: Points) -> Iterable[str]:
    for group, names in points.items():
        yield f"[{group}]\n"
        yield from (f"{name} = {value}\n" for name, value in names.items())
        yield "\n"
