"""The fields of a task row, checked."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_core import Task, errors
from gym_stateful_counter.counters import LEAST, MOST

Values = dict[str, Annotated[int, Field(ge=LEAST, le=MOST)]]


class Puzzle(BaseModel):
    """Where the counters stand and should stand, which are hidden, the most steps, and the fewest that it takes."""

    model_config = ConfigDict(strict=True)

    start: Values = Field(min_length=1)
    goal: Values
    hidden: list[str]
    limit: int = Field(ge=1)
    par: int = Field(ge=1)

    @classmethod
    def of(cls, task: Task) -> Self:
        """The puzzle of a row. Raises `errors.FieldError`."""
        fields: dict[str, Any] = {name: task[name] for name in cls.model_fields}
        try:
            puzzle = cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise errors.FieldError(place, f"does not fit: {first['msg'].lower()}") from None
        if puzzle.goal.keys() != puzzle.start.keys():
            raise errors.FieldError("goal", "must name the counters of `start`, all of them and no others")
        return puzzle
