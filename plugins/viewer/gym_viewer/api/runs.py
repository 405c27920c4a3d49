"""The list of runs."""

from __future__ import annotations

import os

from gym_results.stored_runs import StoredRun
from gym_viewer.api.query import Query
from gym_viewer.api.shapes import Reward, RunEntry, Runs
from gym_viewer.library import Library, run_id


def runs(library: Library, query: Query) -> Runs:
    """`/api/runs`."""
    return {
        "folder": str(library.folder),
        "selected": library.selected,
        "runs": [entry_of(library, stored) for stored in library.runs()],
    }


def entry_of(library: Library, stored: StoredRun) -> RunEntry:
    """A run as the list says it."""
    reward: Reward | None = None
    if stored.reward is not None:
        reward = {
            "mean": stored.reward["mean"],
            "standard_error": stored.reward["standard_error"],
            "interval_95": stored.reward["interval_95"],
        }
    return {
        "id": run_id(stored.path),
        "name": os.path.relpath(stored.path, library.folder).removesuffix(".jsonl"),
        "path": str(stored.path),
        "state": stored.state,
        "problem": stored.problem,
        "started": stored.started.timestamp(),
        "run_id": stored.run_id,
        "model": stored.model,
        "env": stored.env,
        "agent": stored.agent,
        "planned": stored.planned,
        "rollouts": stored.rollouts,
        "failed": stored.failed,
        "reward": reward,
        "input_tokens": stored.input_tokens,
        "output_tokens": stored.output_tokens,
        "cost": stored.cost,
    }
