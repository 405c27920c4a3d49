"""How long anything may take. All values are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from gym_core.domain.errors import GymError


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bounds on every asynchronous wait of a rollout, in seconds.

    `rollout` bounds the whole; waiting for a slot, for a retry or for a session's turn does not count towards it.
    `model_call` is one attempt (a backend may be stricter), `waiting` all waits of one model call for a slot, and one
    wait of a session for its turn.
    """

    rollout: float = 3600.0
    setup: float = 120.0
    model_call: float = 1200.0
    tool: float = 120.0
    verify: float = 300.0
    close: float = 30.0
    waiting: float = 3600.0


class DeadlineExceeded(GymError):
    """Something took longer than it may. `phase` says what: setup, tool, reply, verify or rollout."""

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"{phase} did not end within {seconds:g} s")
        self.phase = phase
