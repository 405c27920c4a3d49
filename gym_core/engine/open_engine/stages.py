"""The same stage with other models, opened when they are first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeAlias

from gym_core.contract.model import ModelBackend
from gym_core.domain.errors import UsageError
from gym_core.engine.assembly import Assembler
from gym_core.engine.model_calls.budget import make_meters
from gym_core.engine.model_calls.gate import Clock, ModelGate
from gym_core.engine.model_calls.weights import Weights
from gym_core.engine.preflight import look_at_models
from gym_core.engine.rollout.row import SharedRequests
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.run.opening import Opened
from gym_core.engine.staging import make_gates
from gym_core.wiring.config_file import POLICY, split_roles
from gym_core.wiring.kinds import Kind
from gym_core.wiring.reference import Reference

ModelOverride: TypeAlias = str | ModelBackend | Mapping[str, str | ModelBackend]


class Stages:
    """Makes them. `stack` closes the models; their calls to the policy's role wait for new weights, too."""

    def __init__(self, stage: Stage, opened: Opened, stack: AsyncExitStack, clock: Clock, weights: Weights) -> None:
        self._stage = stage
        self._opened = opened
        self._stack = stack
        self._clock = clock
        self._weights = weights
        self._assembler: Assembler | None = None
        self._known: dict[tuple[Any, ...], tuple[Stage, Any]] = {}
        self._opening = asyncio.Lock()

    async def of(self, model: ModelOverride | None, options: Mapping[str, Any]) -> Stage:
        """The stage with another model, or several by role. Raises `UsageError`, `PluginError`."""
        own = self._opened.config.components.models
        models = model if isinstance(model, Mapping) else {POLICY: model} if model is not None else {}
        given = split_roles(options, own)
        wanted = {role: models.get(role, own.get(role)) for role in (*models, *given)}
        for role, one in wanted.items():
            if role not in own or one is None:
                raise UsageError(
                    f"the gym has no model `{role}` that another could stand in for",
                    hint=f"gym_core.open(model={{{role!r}: ...}}); it has {', '.join(own)}",
                )
            if not isinstance(one, str | ModelBackend):
                raise UsageError(
                    f"the model `{role}` must be a reference or an instance of ModelBackend, not {one!r:.80}"
                )
        key = tuple(
            (role, one if isinstance(one, str) else id(one), repr(sorted(given.get(role, {}).items())))
            for role, one in sorted(wanted.items())
        )
        async with self._opening:
            if key not in self._known:
                changed = {role: one for role, one in wanted.items() if one != own[role] or given.get(role)}
                stage = await self._with(changed, given) if changed else self._stage  # type: ignore[arg-type]
                self._known[key] = stage, wanted  # which an id is that of for as long as it lives
        return self._known[key][0]

    async def _with(self, wanted: Mapping[str, str | ModelBackend], given: Mapping[str, Mapping[str, Any]]) -> Stage:
        if self._assembler is None:  # of its own: what the manifest says of the models stays as it is
            self._assembler = Assembler.of(self._opened.config, self._opened.redactor)
        options = {role: {**self._kept(role, one), **given.get(role, {})} for role, one in wanted.items()}
        async with AsyncExitStack() as opening:  # what is refused stays open for nobody
            backends = {
                role: await self._assembler.open(opening, Kind.MODEL, one, options[role], role=role)
                for role, one in wanted.items()
            }
            stage = await self._looked_at(backends)
            self._stack.push_async_callback(opening.pop_all().aclose)
        return stage

    async def _looked_at(self, backends: Mapping[str, ModelBackend]) -> Stage:
        opened, limits = self._opened, self._opened.config.limits
        look = await look_at_models(backends, limits.deadlines.setup, opened.given_prices)
        stage = self._stage
        if opened.budget is not None:
            meters = make_meters(backends, look.prices, max_cost=limits.max_cost, price_file=limits.prices)
            stage = replace(stage, meters={**opened.budget.meters, **meters})
        gates = make_gates(
            backends,
            limits.deadlines,
            clock=self._clock,
            look=look,
            limiters=opened.limiters,
            observers=opened.observers,
        )
        wire_weights(gates, self._weights)
        stage = replace(stage, gates={**stage.gates, **gates})
        if POLICY in backends:
            info = backends[POLICY].describe()
            about = {**stage.about, "model": info.model_id, "seed_sent": stage.model_seeds and info.sends_seed}
            stage = replace(stage, about=about, requests=SharedRequests(info.sampling))
        return stage

    def _kept(self, role: str, wanted: str | ModelBackend) -> Mapping[str, Any]:
        """The options of a role that hold for another reference of the same backend, too."""
        components = self._opened.config.components
        own = components.models[role]
        if not isinstance(own, str) or not isinstance(wanted, str):
            return {}
        same = Reference.parse(own).name == Reference.parse(wanted).name
        return components.model_options.get(role, {}) if same else {}


def wire_weights(gates: Mapping[str, ModelGate], weights: Weights) -> None:
    """Have calls to the policy's model, and to whatever is at an endpoint of it, wait while the weights are replaced.

    Of one endpoint are those that share its limiter. What has been an endpoint of a policy stays one.
    """
    if POLICY in gates:
        weights.limiters.update(gates[POLICY].limiters)
    for gate in gates.values():
        if not weights.limiters.isdisjoint(gate.limiters):
            gate.weights = weights
