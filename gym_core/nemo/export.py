"""Results of gym as rows that NeMo Gym's tools read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gym_core.domain.errors import InputError, UsageError
from gym_core.domain.json_text import JsonError, encode_json, parse_json
from gym_core.domain.task import is_result
from gym_core.nemo.rows import result_row


@dataclass(slots=True)
class Export:
    """The rows of a results file, one after the other. `written`, `without_reward`: counted on the way.

    A rollout without a reward is left out: there a row is a reward, and a failure is not one of 0.
    """

    path: Path
    written: int = 0
    without_reward: int = 0

    def lines(self) -> Iterator[bytes]:
        """Each row as a line of JSON. Raises `UsageError`, and `InputError` for a line that is no rollout."""
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield from self._line(number, line)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _line(self, number: int, line: bytes) -> Iterator[bytes]:
        try:
            row = parse_json(line)
        except JsonError as error:
            raise InputError(f"{self.path}:{number}: {error}") from error
        if not isinstance(row, dict) or not is_result(row):
            raise InputError(
                f"{self.path}:{number}: this is no rollout that gym wrote", hint="give the file after --output"
            )
        if row.get("reward") is None:
            self.without_reward += 1
            return
        self.written += 1
        yield encode_json(result_row(row))
