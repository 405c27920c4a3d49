"""What all rollouts of a run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core.contract.agent import Agent
from gym_core.contract.hookspecs import CallInfo
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.runner import Runner
from gym_core.contract.sandbox import SandboxProvider
from gym_core.engine.bounds.alarms import Watch
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.functions.executor import Executor
from gym_core.engine.model_calls.budget import Budget, Meter
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.rollout.gateway import LazyGateway
from gym_core.engine.storage.requests import SharedRequests


@dataclass(frozen=True, slots=True)
class Stage:
    """What all rollouts of a run share.

    `gates`: the models by role. `sandboxes`: what makes those of sessions, if anything does. `agent`: who works in
    them, None where stored ones are verified again. `about`: what stands in each row of model, env and agent.
    `model_seeds`: whether calls carry a seed. `tool_called`: who listens to tool calls, if anybody does. `gateway`:
    where programs reach them. `requests`: what of their requests is the same. `budget`: what all of them may take, and
    `meters` how that is measured for other models than the budget's own; `max_rollout_tokens`: what each may take.
    """

    server: ResourceServer
    gates: Mapping[str, ModelGate]
    executor: Executor
    watch: Watch
    clock: Clock
    deadlines: Deadlines
    agent: Agent | Runner | None = None
    run_id: str = ""
    seed: int = 0
    model_seeds: bool = False
    about: Mapping[str, Any] | None = None
    tool_called: Callable[[CallInfo], None] | None = None
    gateway: LazyGateway = field(default_factory=LazyGateway)
    budget: Budget | None = None
    meters: Mapping[str, Meter] | None = None
    max_rollout_tokens: int | None = None
    sandboxes: SandboxProvider | None = None
    requests: SharedRequests = field(default_factory=lambda: SharedRequests({}))
