"""Where finished rollouts go: judged, written, counted, announced."""

from __future__ import annotations

from collections.abc import Callable

from gym_core.domain.json_text import JsonError
from gym_core.domain.rollout import Rollout
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.rollout.row import unwritable
from gym_core.engine.run.early_stop import EarlyStop, Judge
from gym_core.engine.storage.encoded import FreshRollout, counted
from gym_core.engine.storage.store import ResultStore


class Sink:
    """Puts rollouts on disk, where there is a `store`; only when one is there it is counted and announced."""

    def __init__(self, store: ResultStore | None, progress: Progress, announce: Callable[[Rollout], None]) -> None:
        self._store = store
        self._progress = progress
        self._announce = announce
        self._judge = Judge()

    @property
    def held(self) -> int:
        """How many failures are held back until it is clear what they mean."""
        return self._judge.held

    def take(self, rollout: Rollout, cause: BaseException | None) -> EarlyStop | None:
        """Keep a rollout; returns whether what failed it, `cause`, ends the run. Raises `StoreError`."""
        if self._store is not None and isinstance(rollout, FreshRollout):
            self._store.cite(rollout.cited)  # before any row that cites it, also where this one is held back
        if cause is None and self._judge.settled:
            self._keep(rollout)
            return None
        kept, stop = self._judge.judge(rollout, cause)
        for each in kept:
            self._keep(each)
        return stop

    def close(self) -> None:
        """Keep what was held back. Raises `StoreError`."""
        for rollout in self._judge.release():
            self._keep(rollout)

    def _keep(self, rollout: Rollout) -> None:
        if self._store is not None:
            try:
                self._store.write(rollout)
            except JsonError as error:  # something in it is no JSON: that is this rollout's failure and nobody else's
                rollout = unwritable(rollout, error)
                self._store.write(rollout)
        self._progress.add(counted(rollout))
        self._announce(rollout)
