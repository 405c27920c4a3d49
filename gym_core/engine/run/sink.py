"""Where finished rollouts go: judged, written, counted, announced."""

from __future__ import annotations

from collections.abc import Callable

from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.rollout.row import unwritable
from gym_core.engine.run.early_stop import EarlyStop, Judge
from gym_core.engine.storage.encoded import FreshRollout, counted
from gym_core.engine.storage.requests import Cited

Take = Callable[[Rollout], None]


class Sink:
    """`write` puts a rollout on disk; only when it has returned, the rollout is counted and announced.

    `cite` puts what its row cites there before.
    """

    def __init__(self, write: Take, cite: Callable[[Cited], None], progress: Progress, announce: Take) -> None:
        self._write = write
        self._cite = cite
        self._progress = progress
        self._announce = announce
        self._judge = Judge()

    @property
    def held(self) -> int:
        """How many failures are held back until it is clear what they mean."""
        return self._judge.held

    def take(self, rollout: Rollout, cause: BaseException | None) -> EarlyStop | None:
        """Keep a rollout; returns whether what failed it, `cause`, ends the run. Raises `StoreError`."""
        if isinstance(rollout, FreshRollout):  # before any row that cites it, also where this one is held back
            self._cite(rollout.cited)
        kept, stop = self._judge.judge(rollout, cause)
        for each in kept:
            self._keep(each)
        return stop

    def close(self) -> None:
        """Keep what was held back. Raises `StoreError`."""
        for rollout in self._judge.release():
            self._keep(rollout)

    def _keep(self, rollout: Rollout) -> None:
        try:
            self._write(rollout)
        except JsonError as error:  # something in it is no JSON: that is this rollout's failure and nobody else's
            rollout = unwritable(rollout, error)
            self._write(rollout)
        self._progress.add(counted(rollout))
        self._announce(rollout)
