"""Telling a bad rollout from a bad run: what refuses the first several rollouts alike will refuse all the others."""

from __future__ import annotations

import re
from collections.abc import Callable

from gym_core.domain.errors import GymError, ModelError, RunStopped, SessionError
from gym_core.domain.rollout import Status
from gym_core.engine.storage.store import FreshRollout

SEVERAL = 5


class Judge:
    """Holds failures back that may mean more than themselves, until it is clear what they mean.

    - While nothing has succeeded, rollouts that the model refused for good. The first success clears them.
    - Rollouts that could not begin because nobody is behind a URL, after all the waiting that is done for it. The next
      sign of life clears them.

    Cleared ones are failures of their own. `SEVERAL` alike, with nothing between that clears them, stop the run, which
    records them as cancelled, so that a resumed run starts them again.
    """

    def __init__(self) -> None:
        self._refused = _Evidence(_all_refused)
        self._gone = _Evidence(_is_gone)
        self._likeness = ""
        self._cleared = False
        self.settled = False
        """Whether a rollout that nothing failed is to be written as it is, which is nearly always: kept rather than
        worked out, since it is asked once per rollout."""

    @property
    def held(self) -> int:
        """How many failures are held back."""
        return len(self._refused.held) + len(self._gone.held)

    def judge(self, rollout: FreshRollout, cause: BaseException | None) -> tuple[list[FreshRollout], GymError | None]:
        """What is to be written now that a rollout has ended, and what ends the run, if anything does.

        `cause`: what failed it.
        """
        try:
            return self._judge(rollout, cause)
        finally:
            self._settle()

    def _settle(self) -> None:
        self.settled = self._cleared and not self._gone.held and not self._refused.convicted

    def _judge(self, rollout: FreshRollout, cause: BaseException | None) -> tuple[list[FreshRollout], GymError | None]:
        written: list[FreshRollout] = []
        if isinstance(cause, ModelError):
            if self._is_suspect(cause):
                return self._add(self._refused, rollout)
            if cause.fatal:
                return [rollout], cause
            if self._refused.convicted and _likeness(cause) == self._likeness:
                rollout = _as_cancelled(rollout)
        elif _could_not_begin(rollout, cause):
            return self._add(self._gone, rollout)
        elif rollout.reward is not None:
            self._cleared, self._refused.convicted = True, False
            written = self._refused.release()
        if self._gone.held and _somebody_is_there(rollout, cause):
            written += self._gone.release()
        return [*written, rollout], None

    def release(self) -> list[FreshRollout]:
        """All that is held back, to be written at the end."""
        self._cleared = True
        released = [*self._refused.release(), *self._gone.release()]
        self._settle()
        return released

    def _is_suspect(self, error: ModelError) -> bool:
        if self._cleared or error.retryable or error.fatal:
            return False
        likeness = _likeness(error)
        if self._refused.held and likeness != self._likeness:
            return False
        self._likeness = likeness
        return True

    def _add(self, evidence: _Evidence, rollout: FreshRollout) -> tuple[list[FreshRollout], GymError | None]:
        evidence.held.append(rollout)
        if len(evidence.held) < SEVERAL:
            return [], None
        evidence.convicted = True
        if evidence is self._refused:
            self._cleared = True
        stop = evidence.error(evidence.held[0])
        return evidence.release(), stop


class _Evidence:
    """Failures that are held back. `error`: what to stop the run with, made of one of them; `convicted`: it did.

    Those that were under way then, and failed alike, are recorded as those that stopped it.
    """

    def __init__(self, error: Callable[[FreshRollout], RunStopped]) -> None:
        self.error = error
        self.convicted = False
        self.held: list[FreshRollout] = []

    def release(self) -> list[FreshRollout]:
        held, self.held = self.held, []
        return [_as_cancelled(rollout) for rollout in held] if self.convicted else held


class AllRefused(RunStopped):
    """The model refused the first rollouts alike, and would refuse all others."""


def _all_refused(rollout: FreshRollout) -> RunStopped:
    message = f"the first {SEVERAL} rollouts all failed alike: {_error(rollout, 'message')}"
    return AllRefused(message, hint="fix the cause and start again")


def _is_gone(rollout: FreshRollout) -> RunStopped:
    subject = "environment" if _error(rollout, "phase") == "setup" else "agent"
    message = f"the {subject} is gone: {SEVERAL} rollouts in a row could not begin: {_error(rollout, 'message')}"
    return RunStopped(message, hint="start it again, then `--resume`")


def _could_not_begin(rollout: FreshRollout, cause: BaseException | None) -> bool:
    if not isinstance(cause, SessionError) or not cause.unreachable:
        return False
    phase = _error(rollout, "phase")
    return phase == "setup" or (phase == "agent" and not rollout.model_calls)


def _somebody_is_there(rollout: FreshRollout, cause: BaseException | None) -> bool:
    if isinstance(cause, SessionError) and cause.unreachable:
        return False
    return rollout.status.has_verdict or rollout.status in (Status.ENV_ERROR, Status.VERIFIER_ERROR)


def _error(rollout: FreshRollout, name: str) -> str:
    return str((rollout.error or {}).get(name))


def _likeness(error: ModelError) -> str:
    return f"{type(error).__name__} {re.sub(r'[0-9a-f-]{8,}|[0-9]+', '#', error.message)[:200]}"


def _as_cancelled(rollout: FreshRollout) -> FreshRollout:
    rollout = rollout.changeable
    rollout.row["rollout"]["status"] = Status.CANCELLED.value
    return rollout
