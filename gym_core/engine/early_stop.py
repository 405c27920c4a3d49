"""Telling a bad rollout from a bad run: what refuses the first several rollouts alike will refuse all the others."""

from __future__ import annotations

import re

from gym_core.domain.errors import ModelError, RunStopped, SessionError
from gym_core.domain.rollout import Rollout, Status

SEVERAL = 5


class Suspicion:
    """Holds the first failures back until it is clear what they mean.

    While nothing has succeeded, rollouts that the model refused for good are not written. The first success clears
    them: they are failures of their own. `SEVERAL` alike and nothing else stop the run, which records them as
    cancelled, so that a resumed run starts them again.
    """

    def __init__(self) -> None:
        self._held: list[Rollout] = []
        self._likeness = ""
        self._over = False
        self._convicted = False

    def hold(self, rollout: Rollout, error: ModelError) -> bool:
        """Whether the failure is held back rather than written."""
        if self._over or error.retryable or error.fatal:
            return False
        likeness = _likeness(error)
        if self._held and likeness != self._likeness:
            return False
        self._likeness = likeness
        self._held.append(rollout)
        return True

    @property
    def held(self) -> int:
        """How many failures are held back."""
        return len(self._held)

    @property
    def convinced(self) -> RunStopped | None:
        """The error to stop the run with, once there is enough evidence."""
        if self._over or len(self._held) < SEVERAL:
            return None
        error = self._held[0].error or {}
        return RunStopped(
            f"the first {SEVERAL} rollouts all failed alike: {error.get('message')}",
            hint="fix the cause, then `--resume`",
        )

    def release(self, *, as_cancelled: bool = False) -> list[Rollout]:
        """What was held, to be written now; nothing is held from here on."""
        held, self._held, self._over = self._held, [], True
        self._convicted = as_cancelled
        return [_as_cancelled(rollout) for rollout in held] if as_cancelled else held

    def corrected(self, rollout: Rollout, error: ModelError) -> Rollout:
        """A failure to be written: one like those that stopped the run, and under way then, is as they are."""
        return _as_cancelled(rollout) if self._convicted and _likeness(error) == self._likeness else rollout


class Absence:
    """Tells an environment or an agent behind a URL that is gone from one that is back after a moment.

    A rollout that could not begin because nobody is there, after all the waiting that is done for it, is not written
    yet. The next sign of life clears those held: they are failures of their own. `SEVERAL` in a
    row stop the run, which records them as cancelled, so that a resumed run starts them again.
    """

    def __init__(self) -> None:
        self._held: list[Rollout] = []
        self._convicted = False

    def hold(self, rollout: Rollout, error: BaseException | None) -> bool:
        """Whether the failure is held back rather than written."""
        absent = isinstance(error, SessionError) and error.unreachable
        phase = _phase(rollout)
        if not absent or not (phase == "setup" or (phase == "agent" and not rollout.calls)):
            return False
        self._held.append(rollout)
        return True

    def disproved(self, rollout: Rollout, error: BaseException | None) -> bool:
        """Whether a finished rollout shows that the environment is there."""
        if isinstance(error, SessionError) and error.unreachable:
            return False
        return rollout.status.has_verdict or rollout.status in (Status.ENV_ERROR, Status.VERIFIER_ERROR)

    @property
    def held(self) -> int:
        """How many failures are held back."""
        return len(self._held)

    @property
    def convinced(self) -> RunStopped | None:
        """The error to stop the run with, once there is enough evidence."""
        if len(self._held) < SEVERAL:
            return None
        error = self._held[0].error or {}
        return RunStopped(
            f"the {_SUBJECTS[_phase(self._held[0])]} is gone: {SEVERAL} rollouts in a row could not begin: "
            f"{error.get('message')}",
            hint="start it again, then `--resume`",
        )

    def release(self, *, as_cancelled: bool = False) -> list[Rollout]:
        """What was held, to be written now; what was under way when that stopped the run is as those that did."""
        held, self._held = self._held, []
        self._convicted = self._convicted or as_cancelled
        return [_as_cancelled(rollout) for rollout in held] if self._convicted else held


_SUBJECTS = {"setup": "environment", "agent": "agent"}


def _phase(rollout: Rollout) -> str:
    return str((rollout.error or {}).get("phase"))


def _likeness(error: ModelError) -> str:
    return f"{type(error).__name__} {re.sub(r'[0-9a-f-]{8,}|[0-9]+', '#', error.message)[:200]}"


def _as_cancelled(rollout: Rollout) -> Rollout:
    rollout = rollout.plain()
    rollout.row["rollout"]["status"] = Status.CANCELLED.value
    return rollout
