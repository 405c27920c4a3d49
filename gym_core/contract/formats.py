"""What turns gym's files into those of other systems, and theirs into gym's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Exporter(ABC):
    """Writes the rollouts of a results file as rows that the tools of others read: `gym export --format`."""

    @abstractmethod
    def lines(self, rollouts: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """Each row of theirs as a line, without its end. `rollouts`: rows of gym that carry a reward."""


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What `gym import` was told. `files`: each is laid over those before it; `agent`, `dataset`: which of several.

    `urls`: where servers run, by their names. `folder`: where the run file will lie, which its relative paths start
    from; None where it is only shown, and paths start here.
    """

    files: Sequence[Path]
    agent: str | None
    dataset: str | None
    urls: Mapping[str, str]
    folder: Path | None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run file: its `text`, TOML, and `notices` about what it cannot say."""

    text: str
    notices: Sequence[str] = ()


class Importer(ABC):
    """Turns the configuration of another system into a run file: `gym import --format`."""

    @abstractmethod
    def run_file(self, request: ImportRequest) -> ImportedRun:
        """The run file. Raises `UsageError` for what cannot be read or is not clear."""
