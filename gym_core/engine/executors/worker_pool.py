"""A run spread over workers: what each is told, and who keeps the account of them all."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from gym_core.contract.executor import WorkerLauncher
from gym_core.contract.hookspecs import CallInfo
from gym_core.engine.assembly import Assembly
from gym_core.engine.config import RunConfig
from gym_core.engine.executors.pool import PooledExecutor, tell
from gym_core.engine.executors.settings import WorkerSettings, needed_variables, sendable
from gym_core.engine.executors.shared_budget import SharedBudget
from gym_core.engine.executors.shared_limits import SharedLimits
from gym_core.engine.executors.worker_failures import WorkerFailures
from gym_core.engine.executors.worker_reports import WorkerReports
from gym_core.engine.model_calls.budget import Budget
from gym_core.engine.model_calls.gate import ModelGate
from gym_core.engine.model_calls.prices import Price
from gym_core.engine.model_calls.rate_limits import Limiters
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.tasks.job import Job


def make_pool(
    config: RunConfig,
    launcher: WorkerLauncher,
    assembly: Assembly,
    *,
    run_id: str,
    calls: bool,
    begin: Callable[[Job], RolloutRun],
    gates: Mapping[str, ModelGate],
    limiters: Limiters,
    prices: Mapping[str, Price],
    budget: Budget | None,
    model_called: Callable[[CallInfo], None] | None,
    tool_called: Callable[[CallInfo], None] | None,
) -> PooledExecutor:
    """The executor of a run with several workers, or with workers elsewhere.

    `calls`: whether the account of a rollout has its model calls.
    """
    settings = WorkerSettings(
        config=sendable(config),
        run_id=run_id,
        files=assembly.about.files,
        prices=prices,
        answered=[role for role, gate in gates.items() if gate.answered],
        calls=calls,
        hears_models=model_called is not None,
        hears_tools=tool_called is not None,
        log_level=logging.getLogger("gym").getEffectiveLevel(),
        flush_seconds=launcher.flush_seconds,
        variables={} if launcher.inherits else needed_variables(assembly),
        path=() if launcher.inherits else [os.path.abspath(entry) for entry in sys.path],
    )
    quotas = _quotas(config)
    settings.encode(1)  # what cannot be sent is found before anything starts
    return PooledExecutor(
        launcher,
        quotas,
        settings.encode,
        failures=WorkerFailures(begin),
        observers=WorkerReports(gates, model_called=model_called, tool_called=tool_called),
        shared_budget=SharedBudget(budget, tell, len(quotas)) if budget is not None else None,
        endpoints=SharedLimits(limiters, tell),
        closing=config.limits.deadlines.close,
    )


def _quotas(config: RunConfig) -> Sequence[int]:
    """How many rollouts each worker has at once; a worker that would have none is left out."""
    workers = min(config.execution.workers, config.execution.concurrency)
    least, more = divmod(config.execution.concurrency, workers)
    return [least + (number < more) for number in range(workers)]
