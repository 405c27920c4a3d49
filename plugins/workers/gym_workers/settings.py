"""What a worker is told before its first job. It goes through a pipe, or to a Ray actor: never through argv."""

from __future__ import annotations

import logging
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from gym_core import UsageError
from gym_core.spi import Opened, Price, RunConfig, located, option_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One worker of a run.

    `config`: the run's, with this worker's share of its concurrency. `files`: the hashes of the scripts that the run is
    made of, by place. `answered`: the roles whose endpoints have answered. `by`: fields whose values are counted.
    `calls`: whether model calls of several roles are told apart. `hears_models`, `hears_tools`: whether an extension
    listens to calls. `log_level`: what is worth sending. `flush_seconds`: how long results wait for others to share
    their frame, while there is work left. `variables` of the environment and `path` of modules: for a worker that does
    not inherit them.
    """

    config: RunConfig
    run_id: str
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    answered: Sequence[str] = ()
    by: Sequence[str] = ()
    calls: bool = False
    hears_models: bool = False
    hears_tools: bool = False
    log_level: int = 30
    flush_seconds: float = 0.01
    variables: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()

    @classmethod
    def of(cls, opened: Opened, run_id: str, flush_seconds: float, *, inherits: bool) -> Self:
        """Those of a run; `inherits`: whether workers have the variables and the path of this process."""
        observers = opened.observers
        return cls(
            config=_sendable(opened.config),
            run_id=run_id,
            files=opened.assembly.about.files,
            prices=opened.look.prices,
            answered=[*opened.look.answered],
            by=opened.config.destination.by,
            calls=len(opened.config.components.models) > 1,
            hears_models=observers.model_called is not None,
            hears_tools=observers.tool_called is not None,
            log_level=logging.getLogger("gym").getEffectiveLevel(),
            flush_seconds=flush_seconds,
            variables={} if inherits else _needed_variables(opened),
            path=() if inherits else [os.path.abspath(entry) for entry in sys.path],
        )

    def inherit(self) -> None:
        """Make this process's environment what the coordinator's is, as far as it matters here."""
        os.environ.update(self.variables)
        sys.path.extend(entry for entry in self.path if entry not in sys.path and os.path.exists(entry))

    def encode(self, concurrency: int) -> bytes:
        """For a worker with so many rollouts at once. Raises `UsageError` for options that cannot be sent."""
        execution = replace(self.config.execution, concurrency=concurrency)
        settings = replace(self, config=replace(self.config, execution=execution))
        try:
            return pickle.dumps(settings, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise UsageError(
                f"the options of this run cannot be sent to workers: {error}", hint="give them as text or plain values"
            ) from error


def _sendable(config: RunConfig) -> RunConfig:
    """The part of a run's configuration that its workers need."""
    wanted = config.components
    models = {role: _located(model) for role, model in wanted.models.items()}
    return RunConfig(
        components=replace(
            wanted, models=models, env=_located(wanted.env), agent=_located(wanted.agent), extensions=()
        ),
        # where an agent brings its environment with it, workers are asked for tasks: they get none
        selection=replace(config.selection, input=None, tasks=()),
        limits=config.limits,
    )


def _located(wanted: Any) -> Any:
    """A reference that means the same where the working directory is another."""
    return located(wanted) if isinstance(wanted, str) else wanted


def _needed_variables(opened: Opened) -> dict[str, str]:
    """The environment variables that the options of the components can be read from, and all of gym's own."""
    names = {name for name in os.environ if name.startswith("GYM_")}
    assembly = opened.assembly
    components: list[Any] = [*assembly.models.values(), assembly.server, assembly.agent]
    if assembly.sandboxes is not None:
        components.append(assembly.sandboxes)
    for component in components:
        for option in option_fields(type(component), component.context.name):
            names.update(option.environment)
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}
