"""What looks wrong, and the rollouts to look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gym_core import Rollout, Trajectory, responses
from gym_core.spi import one_line

DETAIL = 120
"""Characters of what is said of one rollout."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rollout to look at. `number`: for `gym show RUN NUMBER`."""

    number: int
    task_id: str
    repeat: int
    detail: str = ""

    def to_wire(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks wrong. `count`: in how many of the `of` rollouts; `places`: some of them."""

    check: str
    text: str
    count: int
    of: int
    places: tuple[Place, ...]

    def to_wire(self) -> dict[str, Any]:
        """As JSON."""
        places = [place.to_wire() for place in self.places]
        return {"check": self.check, "text": self.text, "count": self.count, "of": self.of, "rollouts": places}


@dataclass(frozen=True, slots=True)
class Seen:
    """A rollout with a verdict, read once for all checks. `answer`: its final text."""

    number: int
    rollout: Rollout
    reward: float
    trajectory: Trajectory
    items: list[Any]
    answer: str
    output_tokens: int

    @classmethod
    def of(cls, number: int, rollout: Rollout, reward: float) -> Seen:
        """From a row."""
        whole = rollout.trajectory
        items = [*whole.input, *whole.items, *whole.others]
        return cls(number, rollout, reward, whole, items, whole.output_text, rollout.usage.output_tokens)

    def place(self, detail: str = "") -> Place:
        """Where to look."""
        detail = one_line(detail)
        detail = detail if len(detail) <= DETAIL else detail[: DETAIL - 1] + "…"
        return Place(self.number, self.rollout.task_id, self.rollout.repeat, detail)


def is_said(item: Any) -> bool:
    """Whether an item of a model says or calls anything; reasoning alone is neither."""
    kind = item.get("type", "message")
    if kind == "reasoning":
        return False
    return kind != "message" or bool(responses.item_text(item).strip()) or _has_other_parts(item)


def _has_other_parts(item: Any) -> bool:
    content = item.get("content")
    if not isinstance(content, list):
        return False
    return any(isinstance(part, dict) and part.get("type") not in ("output_text", "text") for part in content)
