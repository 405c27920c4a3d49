"""The files of a run: how they are named, and what there is of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

from gym_core.domain.errors import UsageError
from gym_core.engine.storage.files import line_at, parse_row, partial, refuse_irregular

Mode = Literal["new", "resume", "overwrite"]
"""What a run does with an output: begin it, go on with it, or replace what there is."""
ROWS = ".jsonl"
SIBLINGS = (".failures.jsonl", ".run.json", ".summary.json", ".tools.jsonl", ".groups.jsonl")
"""How the other files of a run end, beside `x.jsonl`, in the order of the fields of `Outputs`."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of a run."""

    rows: Path
    failures: Path
    manifest: Path
    summary: Path
    tools: Path
    groups: Path

    @classmethod
    def beside(cls, path: Path) -> Outputs:
        """The files of the run that `path` is one of, by its name alone; one with any other name is taken for rows."""
        ending = next((ending for ending in (*SIBLINGS, ROWS) if path.name.endswith(ending)), "")
        stem = str(path).removesuffix(ending)
        return cls(*(Path(stem + ending) for ending in (ROWS, *SIBLINGS)))

    @classmethod
    def of(cls, output: str | Path) -> Outputs:
        """The siblings of `x.jsonl`. Raises `UsageError` for another ending, and for what is no regular file."""
        rows = Path(output)
        refuse_irregular(rows)
        outputs = cls.beside(rows)
        if rows != outputs.rows or rows.name == ROWS:
            stem = Path(outputs.rows.name.removesuffix(ROWS)).stem
            raise UsageError(
                f"{rows}: an output file ends in `.jsonl`, and its name before that not in `.failures`, `.tools` or "
                "`.groups`",
                hint=f"--output {rows.with_name(stem or 'results')}.jsonl",
            )
        refuse_irregular(partial(outputs.summary))  # the longest of the names
        return outputs

    @staticmethod
    def place(offset: int, *, failed: bool) -> int:
        """Where a line stands, as one number: so many bytes are before it, in the rows or in the failures."""
        return offset << 1 | failed

    def row(self, place: int, redact: Callable[[bytes], bytes] = bytes) -> dict[str, Any]:
        """The row at a place, from a line that was redacted. Raises `UsageError` where there is none any more."""
        path = self.failures if place & 1 else self.rows
        try:
            return parse_row(redact(line_at(path, place >> 1)))
        except ValueError as error:
            raise UsageError(
                f"{path} was changed while it was read: after {place >> 1:,} bytes stands {error}",
                hint="try again once nobody writes to it",
            ) from error

    def begun(self) -> bool:
        """Whether there is something to continue: a manifest, or a whole row. A kill may come before either."""
        return self.manifest.exists() or any(path.exists() and _has_line(path) for path in (self.rows, self.failures))

    def refuse_existing(self, hint: str) -> None:
        """Raise `UsageError` when there is anything of a run."""
        for path in astuple(self):
            if path.exists():
                raise UsageError(f"{path} exists already", hint=hint)


def rows_beside(path: Path) -> Path | None:
    """The rows of the run that keeps one of its other files by such a name; None for any other name."""
    return Outputs.beside(path).rows if path.name.endswith(SIBLINGS) else None


def _has_line(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")
