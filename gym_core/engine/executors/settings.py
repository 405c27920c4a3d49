"""What a worker is told before its first job. It goes through a pipe, or to a Ray actor: never through argv."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gym_core.contract.component import Component
from gym_core.domain.errors import UsageError
from gym_core.engine.assembly import Assembly
from gym_core.engine.config import Destination, Execution, RunConfig, Selection
from gym_core.engine.model_calls.prices import Price
from gym_core.wiring.fields import option_fields
from gym_core.wiring.reference import located


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One worker of a run.

    `config`: the run's, with this worker's share of its concurrency. `files`: the hashes of the scripts that the run is
    made of, by place. `answered`: the roles whose endpoints have answered. `calls`: whether model calls of several
    roles are told apart. `hears_models`, `hears_tools`: whether an extension listens to calls. `log_level`: what is
    worth sending. `flush_seconds`: how long results wait for others to share their frame, while there is work left.
    `variables` of the environment and `path` of modules: for a worker that does not inherit them.
    """

    config: RunConfig
    run_id: str
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    answered: Sequence[str] = ()
    calls: bool = False
    hears_models: bool = False
    hears_tools: bool = False
    log_level: int = 30
    flush_seconds: float = 0.01
    variables: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()

    def inherit(self) -> None:
        """Make this process's environment what the coordinator's is, as far as it matters here."""
        os.environ.update(self.variables)
        sys.path.extend(entry for entry in self.path if entry not in sys.path and os.path.exists(entry))

    def encode(self, concurrency: int) -> bytes:
        """For a worker with so many rollouts at once. Raises `UsageError` for options that cannot be sent."""
        settings = replace(self, config=replace(self.config, execution=Execution(concurrency=concurrency)))
        try:
            return pickle.dumps(settings, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise UsageError(
                f"the options of this run cannot be sent to workers: {error}", hint="give them as text or plain values"
            ) from error


def sendable(config: RunConfig) -> RunConfig:
    """The part of a run's configuration that its workers need."""
    wanted = config.components
    models = {role: _located(model) for role, model in wanted.models.items()}
    return RunConfig(
        components=replace(
            wanted, models=models, env=_located(wanted.env), agent=_located(wanted.agent), extensions=()
        ),
        selection=Selection(tasks=()),  # an agent with an environment of its own is asked for them
        destination=Destination(by=config.destination.by),
        limits=config.limits,
    )


def _located(wanted: Any) -> Any:
    """A reference that means the same where the working directory is another."""
    return located(wanted) if isinstance(wanted, str) else wanted


def needed_variables(assembly: Assembly) -> dict[str, str]:
    """The environment variables that the options of the components can be read from, and all of gym's own."""
    names = {name for name in os.environ if name.startswith("GYM_")}
    components: list[Component] = [*assembly.models.values(), assembly.server, assembly.agent]
    if assembly.sandboxes is not None:
        components.append(assembly.sandboxes)
    for component in components:
        for option in option_fields(type(component), component.context.name):
            names.update(option.environment)
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}
