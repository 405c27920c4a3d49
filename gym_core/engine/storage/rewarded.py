"""The rollouts of a results file that carry a reward, one after the other, for those who write them otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_core.domain.errors import InputError, UsageError
from gym_core.domain.json_text import JsonError, parse_json
from gym_core.domain.task import is_result


@dataclass(slots=True)
class RewardedRows:
    """The rows of a results file that carry a reward. `given`, `left_out`: how many there were, counted on the way.

    A rollout without a reward is left out: elsewhere a row is a reward, and a failure is not one of 0.
    """

    path: Path
    given: int = 0
    left_out: int = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each row. Raises `UsageError`, and `InputError` for a line that is no rollout."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.strip():
                        continue
                    row = self._row(number, line)
                    if row.get("reward") is None:
                        self.left_out += 1
                        continue
                    self.given += 1
                    yield row
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = parse_json(line)
        except JsonError as error:
            raise InputError(f"{self.path}:{number}: {error}") from error
        if not isinstance(row, dict) or not is_result(row):
            raise InputError(
                f"{self.path}:{number}: this is no rollout that gym wrote", hint="give the file after --output"
            )
        return row
