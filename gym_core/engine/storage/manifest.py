"""What produced a results file: enough to repeat the run, and to refuse to mix two."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gym_core.domain.errors import UsageError
from gym_core.domain.json_text import JsonError, encode_json, parse_json, plain_json
from gym_core.version import __version__

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a run.

    `settings`: everything that changes results: tasks, components with options and versions, seed. A run resumes only
    with equal settings. `extent`: limit and repeats, which may grow. `operational`: what changes no result. `dataset`:
    the number of tasks and the hash of their file, None until they are known. `argv`: the command, if there was one.
    """

    run_id: str
    settings: Mapping[str, Any]
    extent: Mapping[str, Any]
    argv: Sequence[str] = ()
    operational: Mapping[str, Any] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION

    def to_wire(self) -> dict[str, Any]:
        """As it stands on disk."""
        return {
            "format_version": self.format_version,
            "run_id": self.run_id,
            "created_at": self.created_at,
            "argv": list(self.argv),
            "settings": self.settings,
            "extent": self.extent,
            "dataset": self.dataset,
            "operational": self.operational,
            "gym": __version__,
            "python": platform.python_version(),
            "platform": sys.platform,
        }

    def continuing(self, earlier: Manifest) -> Manifest:
        """This manifest as the continuation of an earlier one: the run stays the same, and keeps the repeats it has."""
        repeats = max(self.extent["repeats"], earlier.extent["repeats"])
        return replace(
            self,
            run_id=earlier.run_id,
            created_at=earlier.created_at,
            extent={**self.extent, "repeats": repeats},
        )

    def reference(self, place: str) -> str | None:
        """What names a component again: of a script where it lies, of one that was made in Python nothing."""
        about = self.settings.get(place) or self.settings.get("models", {}).get(place) or {}
        if "files" in about:
            return str(self.operational.get("sources", {}).get(place) or about["ref"])
        return str(about["ref"]) if "distribution" in about else None

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest. Raises `UsageError`."""
        try:
            stored = parse_json(path.read_bytes())
            if stored["format_version"] != FORMAT_VERSION:
                raise UsageError(
                    f"{path}: it has format version {stored['format_version']}, this gym reads {FORMAT_VERSION}",
                    hint="use the gym that wrote it",
                )
            return cls(
                stored["run_id"], stored["settings"], stored["extent"], stored["argv"], stored["operational"],
                stored["dataset"], stored["created_at"],
            )  # fmt: skip
        except FileNotFoundError:
            raise UsageError(
                f"{path} is missing: without it nobody can tell what the results came from",
                hint="--overwrite starts again, --output writes elsewhere",
            ) from None
        except (OSError, JsonError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: not a manifest ({type(error).__name__}: {error})") from error


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two settings, a line each: `name: old -> new`."""
    # as both are written: the name of a file may hold bytes that are no text
    before, after = _flat(plain_json(old, fallback=str)), _flat(plain_json(new, fallback=str))
    return [
        f"{name}: {_shown(before.get(name))} -> {_shown(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return flat


def _shown(value: Any) -> str:
    return "not set" if value is None else encode_json(value).decode()
