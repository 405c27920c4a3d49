"""What all rollouts of one process share, made from a run's open components."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType
from typing import Any

from gym_core.contract.model import ModelBackend
from gym_core.contract.runner import Runner
from gym_core.engine.assembly import Assembly
from gym_core.engine.bounds.alarms import Watch
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.config import RunConfig
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import Budget
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.model_calls.observed_gate import ObservedGate, Tell
from gym_core.engine.model_calls.prices import Price
from gym_core.engine.model_calls.rate_limits import Limiters
from gym_core.engine.rollout.agent_rollout import POLICY, agent_rollout
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.runner_rollout import runner_rollout
from gym_core.engine.rollout.shared_requests import SharedRequests
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.tasks.job import Job

NO_PRICES: Mapping[str, Price] = MappingProxyType({})


def make_gates(
    models: Mapping[str, ModelBackend],
    deadlines: Deadlines,
    *,
    clock: Clock,
    prices: Mapping[str, Price] = NO_PRICES,
    answered: Collection[str] = (),
    limiters: Limiters | None = None,
    model_called: Tell | None = None,
) -> dict[str, ModelGate]:
    """The ways to the models by role; those of one endpoint share a limiter. `answered`: who has said something yet.

    `model_called`: who listens to model calls, if anybody does.
    """
    limiters = limiters or Limiters()
    gate: Callable[..., ModelGate] = ModelGate if model_called is None else partial(ObservedGate, model_called)
    gates = {
        role: gate(role, model, limiters=limiters, deadlines=deadlines, clock=clock, price=prices.get(role))
        for role, model in models.items()
    }
    for role in answered:
        gates[role].answered = True
    return gates


def open_functions(stack: AsyncExitStack) -> Executor:
    """What calls the functions of authors, closed by `stack`."""
    executor = Executor()
    stack.callback(executor.close)
    return executor


def open_stage(
    stack: AsyncExitStack,
    config: RunConfig,
    assembly: Assembly,
    *,
    clock: Clock,
    run_id: str,
    prices: Mapping[str, Price],
    answered: Collection[str],
    limiters: Limiters,
    budget: Budget | None,
    model_called: Tell | None,
    tool_called: Tell | None,
) -> Stage:
    """The stage of a run, or of one process of it, with gates of its own. To be made in the event loop."""
    deadlines = config.limits.deadlines
    gates = make_gates(
        assembly.models,
        deadlines,
        clock=clock,
        prices=prices,
        answered=answered,
        limiters=limiters,
        model_called=model_called,
    )
    model = assembly.models.get(POLICY)
    policy = model.describe() if model is not None else None
    about: dict[str, Any] = {
        "model": policy.model_id if policy is not None else None,
        "env": assembly.about.name_of("env"),
        "agent": assembly.about.name_of("agent"),
        "seed_sent": config.components.seed is not None and policy is not None and policy.sends_seed,
    }
    return Stage(
        server=assembly.server,
        agent=assembly.agent,
        gates=gates,
        executor=open_functions(stack),
        watch=Watch(),
        clock=clock,
        deadlines=deadlines,
        run_id=run_id,
        seed=config.components.seed or 0,
        model_seeds=config.components.seed is not None,
        tool_called=tool_called,
        gateway=assembly.gateway,
        about=about,
        budget=budget,
        max_rollout_tokens=config.limits.max_rollout_tokens,
        sandboxes=assembly.sandboxes,
        requests=SharedRequests(policy.sampling if policy is not None else {}),
    )


def beginning(stage: Stage) -> Callable[[Job], RolloutRun]:
    """What makes the rollout of a job: an agent's, or a runner's."""
    work = runner_rollout if isinstance(stage.agent, Runner) else agent_rollout
    return lambda job: RolloutRun(stage, job.task, job.repeat, job.attempt, work)
