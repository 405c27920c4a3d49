"""What a user asks for when starting a run."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_args

from gym_core.contract.agent import Agent
from gym_core.contract.executor import WorkerLauncher
from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.runner import Runner
from gym_core.domain.errors import UsageError
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.storage.collisions import Named
from gym_core.engine.storage.store import Mode
from gym_core.wiring.config_file import Configured

Tasks: TypeAlias = Iterable[Any] | AsyncIterable[Any]


LOCAL = "local"
"""The executor that is always there: this process, and with several workers others of this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One run. Components are references, as on the command line, or instances that the caller has made.

    `models` by role, `policy` among them. `agent`: an agent or a runner, None for the one that the environment
    prefers; with a runner that brings its own there are no `models`, or no `env`, and then `input` or `tasks`. Options
    are given by field name, as text or as values. `input`: a file of tasks; `tasks`: tasks from Python; with neither,
    those the environment ships. `output`: where rows go, None to keep
    no files. `task_id`: the field that names a task, or `line`; None for `task_id`, else `id`, else the line. `limit`:
    how many tasks; `repeats`: rollouts per task; `seed`: None seeds sessions with 0 and models not at all.
    `max_tokens`, `max_cost` (USD): what all models together may take; `prices`: a file with their prices.
    `by`: fields of the rows over whose values the summary breaks the reward down. `finish_at`: with this share of the
    rollouts finished, and all others under way, those are let go. `extensions`: names of installed ones,
    or objects with hook implementations. `log_file`: where the log is appended, as JSON lines. `configured`: options
    from a file, by role, `env` and `agent`. `made_from`: further files that the run reads, by what they are to it:
    nothing is written to them.

    `workers`: how many processes share the run's `concurrency`; with 1 the rollouts run in this one. `executor`: where
    they are, on this machine (`local`) or where a plugin of that name starts them.
    """

    models: Mapping[str, str | ModelBackend] = field(default_factory=dict)
    env: str | ResourceServer | None = None
    agent: str | Agent | Runner | None = None
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    env_options: Mapping[str, Any] = field(default_factory=dict)
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    input: str | Path | None = None
    tasks: Tasks | None = None
    task_id: str | None = None
    output: str | Path | None = None
    mode: Mode = "new"
    limit: int | None = None
    repeats: int = 1
    concurrency: int = 16
    seed: int | None = None
    skip_invalid: bool = False
    retry_failed: bool = False
    accept_changes: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
    max_tokens: int | None = None
    max_cost: float | None = None
    prices: str | Path | None = None
    by: Sequence[str] = ()
    finish_at: float | None = None
    extensions: Sequence[str | object] = ()
    log_file: str | Path | None = None
    disabled_plugins: Sequence[str] = ()
    argv: Sequence[str] = ()
    configured: Mapping[str, Configured] = field(default_factory=dict)
    made_from: Mapping[str, str | Path] = field(default_factory=dict)
    workers: int = 1
    executor: str | WorkerLauncher = LOCAL
    executor_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode not in ("new", "resume", "overwrite"):
            raise UsageError(f"mode must be `new`, `resume` or `overwrite`, not {self.mode!r}")
        for name, kind, wanted in (
            *((f"models[{role!r}]", ModelBackend, model) for role, model in self.models.items()),
            ("env", ResourceServer, self.env if self.env is not None else ""),
            ("agent", Agent | Runner, self.agent if self.agent is not None else ""),
            ("executor", WorkerLauncher, self.executor),
        ):
            if not isinstance(wanted, str | kind):
                names = getattr(kind, "__name__", None) or " or ".join(one.__name__ for one in get_args(kind))
                raise UsageError(f"{name} must be a reference or an instance of {names}, not {wanted!r}")
        for name, least in (
            ("seed", 0),
            ("repeats", 1),
            ("concurrency", 1),
            ("limit", 0),
            ("max_tokens", 1),
            ("workers", 1),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
        if self.max_cost is not None and not 0 < self.max_cost < math.inf:
            raise UsageError(f"max_cost must be an amount of USD above 0, not {self.max_cost!r}")
        if self.finish_at is not None and not 0 < self.finish_at <= 1:
            raise UsageError(f"finish_at must be a share above 0 and at most 1, not {self.finish_at!r}")
        if self.agent is None and self.env is None:
            self.require_parts()
        unknown = sorted(self.model_options.keys() - self.models.keys())
        if unknown:
            raise UsageError(
                f"options are given for the model `{unknown[0]}`, which the run has not",
                hint=f"--model {unknown[0]}=REF",
            )
        if self.input is not None and self.tasks is not None:
            raise UsageError("give `input` or `tasks`, not both")
        if self.mode == "resume" and self.output is None:
            raise UsageError("there is nothing to resume without an output", hint="--output FILE")
        self._check_workers()

    def require_parts(self) -> None:
        """Raise `UsageError` where the model or the environment is missing, which every agent needs."""
        if "policy" not in self.models:
            raise UsageError("a run needs a model", hint="--model REF; `gym plugins list --kind model` lists them")
        self.require_environment()

    def require_environment(self) -> None:
        """Raise `UsageError` where there is no environment."""
        if self.env is None:
            raise UsageError("a run needs an environment", hint="--env REF; `gym plugins list --kind env` lists them")

    def files_read(self) -> Iterator[Named]:
        """The files that the run reads, each with what it is."""
        yield from self.made_from.items()
        for what, path in (("the input", self.input), ("the prices", self.prices)):
            if path is not None:
                yield what, path

    @property
    def spread(self) -> bool:
        """Whether the rollouts run in other processes."""
        return self.workers > 1 or self.executor != LOCAL

    def _check_workers(self) -> None:
        """Raise `UsageError` for what workers cannot be given."""
        if not self.spread:
            if self.executor_options:
                raise UsageError("-X is for an executor, and this run needs none", hint="--executor REF")
            return
        for place, wanted in (
            *((f"models[{role!r}]", model) for role, model in self.models.items()),
            ("env", self.env),
            ("agent", self.agent),
        ):
            if wanted is not None and not isinstance(wanted, str):
                raise UsageError(
                    f"{place} is an instance of {type(wanted).__name__}, which cannot be sent to workers",
                    hint="name it by its reference, as on the command line, or leave `workers` out",
                )
