"""What all rollouts of one process share, made from a run's open components."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Protocol

from gym_core.contract.model import ModelBackend
from gym_core.contract.runner import Runner
from gym_core.domain.responses import Request
from gym_core.engine.assembly import Assembly
from gym_core.engine.bounds.alarms import Watch
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import Budget
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.model_calls.observed_gate import ObservedGate, Tell
from gym_core.engine.model_calls.rate_limits import Limiters
from gym_core.engine.preflight import FirstLook
from gym_core.engine.rollout.agent_rollout import agent_rollout
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.rollout.row import SharedRequests
from gym_core.engine.rollout.runner_rollout import runner_rollout
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.tasks.job import Job
from gym_core.wiring.config_file import POLICY


class CallObservers(Protocol):
    """Who is told of calls: the observers of a run, or a worker for them."""

    @property
    def model_called(self) -> Tell | None:
        """What is to be told of model calls, if anybody listens."""
        ...

    @property
    def tool_called(self) -> Tell | None:
        """What is to be told of tool calls, if anybody listens."""
        ...

    def watch(self, gates: Mapping[str, ModelGate]) -> None:
        """Say of these gates, too, how they did."""
        ...


def make_gates(
    models: Mapping[str, ModelBackend],
    deadlines: Deadlines,
    *,
    clock: Clock,
    look: FirstLook | None = None,
    limiters: Limiters | None = None,
    observers: CallObservers | None = None,
) -> dict[str, ModelGate]:
    """The ways to the models by role, which `observers` watch; those of one endpoint share a limiter.

    `look`: what was found at the models, and their prices.
    """
    look, limiters = look or FirstLook(), limiters or Limiters()
    gate: Callable[..., ModelGate] = ModelGate
    if observers is not None and observers.model_called is not None:
        gate = partial(ObservedGate, observers.model_called)
    gates = {
        role: gate(role, model, limiters=limiters, deadlines=deadlines, clock=clock, price=look.prices.get(role))
        for role, model in models.items()
    }
    for role in look.answered:
        gates[role].answered = True
    if observers is not None:
        observers.watch(gates)
    return gates


def open_stage(
    stack: AsyncExitStack,
    assembly: Assembly,
    look: FirstLook,
    *,
    clock: Clock,
    run_id: str,
    limiters: Limiters,
    budget: Budget | None,
    observers: CallObservers,
) -> Stage:
    """The stage of a run, or of one process of it, with gates of its own. To be made in the event loop."""
    config, deadlines = assembly.config, assembly.config.limits.deadlines
    executor = Executor()
    stack.callback(executor.close)
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
        gates=make_gates(assembly.models, deadlines, clock=clock, look=look, limiters=limiters, observers=observers),
        executor=executor,
        watch=Watch(),
        clock=clock,
        deadlines=deadlines,
        run_id=run_id,
        seed=config.components.seed or 0,
        model_seeds=config.components.seed is not None,
        tool_called=observers.tool_called,
        gateway=assembly.gateway,
        about=about,
        budget=budget,
        max_rollout_tokens=config.limits.max_rollout_tokens,
        sandboxes=assembly.sandboxes,
        requests=SharedRequests(policy.sampling if policy is not None else {}),
    )


class Begin(Protocol):
    """Makes the rollout of a job. `request`: what is asked instead of what the task says."""

    def __call__(self, job: Job, request: Request | None = None) -> RolloutRun: ...  # noqa: D102


def beginning(stage: Stage) -> Begin:
    """What makes the rollouts of jobs: an agent's, or a runner's."""
    work = runner_rollout if isinstance(stage.agent, Runner) else agent_rollout

    def begin(job: Job, request: Request | None = None) -> RolloutRun:
        return RolloutRun(stage, job.task, job.repeat, job.attempt, work, request=request)

    return begin
