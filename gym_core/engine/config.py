"""What a user asks for when starting a run: what runs, on which tasks, where results go, how much of it, and how."""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias, Unpack, get_args

from typing_extensions import TypedDict

from gym_core.contract.agent import Agent
from gym_core.contract.executor import ExecutorProvider
from gym_core.contract.gateway import Gateway
from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.runner import Runner
from gym_core.contract.sandbox import SandboxProvider
from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.storage.collisions import Named
from gym_core.engine.storage.outputs import Mode
from gym_core.wiring.config_file import HTTP, POLICY, Configured, split_roles
from gym_core.wiring.known import TABLES

Tasks: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""Rows, or `Task`s."""

WORKERS = "workers"
"""The executor with processes of this machine; with one of them a run needs none, and is carried out in this one."""


class GymSettings(TypedDict, total=False):
    """The keywords of `open` besides `model`, `env` and `config`. What each means stands in `RunSettings`."""

    agent: str | Agent | Runner | None
    model_options: Mapping[str, Any]
    env_options: Mapping[str, Any]
    agent_options: Mapping[str, Any]
    gateway: str | Gateway
    gateway_options: Mapping[str, Any]
    sandbox: str | SandboxProvider | None
    sandbox_options: Mapping[str, Any]
    seed: int | None
    extensions: Sequence[str | object]
    disabled_plugins: Sequence[str]
    input: str | Path | None
    tasks: Tasks | None
    task_id: str | None
    limit: int | None
    skip_invalid: bool
    output: str | Path | None
    mode: Mode
    accept_changes: bool
    by: Sequence[str]
    log_file: str | Path | None
    max_tokens: int | None
    max_cost: float | None
    max_rollout_tokens: int | None
    prices: str | Path | None
    deadlines: Deadlines
    concurrency: int


class RunSettings(GymSettings, total=False):
    """The keywords of `collect` besides `model`, `env` and `config`: what the options of `gym run` say.

    What runs. `agent`: an agent or a runner, by reference or as an instance; None for the one that the environment
    prefers. `sandbox`: what makes the sandboxes of sessions, for those that open some. `model_options`, `env_options`,
    `agent_options`, `sandbox_options`: by field name, as text or as values; the model's are the policy's, those of
    another role stand under its name, `{"judge": {"temperature": 0}}`. `seed`: of sessions and, where the endpoint
    takes one, of models; None seeds sessions with 0 and models not at all. `gateway`: where programs reach the models
    and tools of rollouts, opened when one needs it; `gateway_options` are its. `extensions`: names of installed ones,
    or objects with hook implementations. `disabled_plugins`: names, or distributions.

    On which tasks. `input`: a file of them; `tasks`: rows or `Task`s from Python; with neither, those the environment
    ships. `task_id`: the field that names a task, or `line`; None for `task_id`, else `id`, else the line. `limit`: how
    many. `skip_invalid`: broken rows of a file are left out and counted.

    Where to. `output`: the file of rows, None to keep no files. `mode`: `new` touches nothing that exists, `resume`
    runs what an output lacks, `overwrite` replaces it. On resuming, `retry_failed` runs the failed rollouts again, too,
    and `accept_changes` goes on although settings differ. `by`: fields of the rows over whose values the summary breaks
    the reward down. `log_file`: the log, as JSON lines.

    How much. `repeats`: rollouts per task. `group`: whether those of a task run together and are announced as a group;
    None where the environment scores groups. `max_tokens`, `max_cost` (USD): what all models together may take.
    `prices`: a file with their prices. `max_rollout_tokens`: what the policy's model may take in one rollout, which is
    cut then. `finish_at`: with this share of the rollouts finished, and all others under way, those are let go.
    `deadlines`: how long anything may take.

    How. `concurrency`: rollouts at once. `workers`: how many processes share them; with 1 they run in this one.
    `executor`: where the workers are, on this machine (`workers`) or where a plugin of that name starts them;
    `executor_options` are its.
    """

    retry_failed: bool
    repeats: int
    group: bool | None
    finish_at: float | None
    workers: int
    executor: str | ExecutorProvider
    executor_options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """What runs, see `RunSettings`. Components are references, as on the command line, or instances.

    `models` by role, `policy` among them; with a runner that brings its own there are no `models`, or no `env`, and
    then `input` or `tasks`. `model_options` by role. `configured`: options from a file, by role and place.
    """

    models: Mapping[str, str | ModelBackend] = field(default_factory=dict)
    env: str | ResourceServer | None = None
    agent: str | Agent | Runner | None = None
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    env_options: Mapping[str, Any] = field(default_factory=dict)
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    gateway: str | Gateway = HTTP
    gateway_options: Mapping[str, Any] = field(default_factory=dict)
    sandbox: str | SandboxProvider | None = None
    sandbox_options: Mapping[str, Any] = field(default_factory=dict)
    configured: Mapping[str, Configured] = field(default_factory=dict)
    seed: int | None = None
    extensions: Sequence[str | object] = ()
    disabled_plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_setting("seed", self.seed)
        for place, kind, wanted in self._wanted():
            if not isinstance(wanted, str | kind):
                names = getattr(kind, "__name__", None) or " or ".join(one.__name__ for one in get_args(kind))
                raise UsageError(f"{place} must be a reference or an instance of {names}, not {wanted!r:.80}")
        if self.agent is None and self.env is None:
            self.require_parts()

    def require_parts(self) -> None:
        """Raise `UsageError` where the model or the environment is missing, which every agent needs."""
        if POLICY not in self.models:
            raise UsageError("a run needs a model", hint="--model REF; `gym plugins list --kind model` lists them")
        self.require_environment()

    def require_environment(self) -> None:
        """Raise `UsageError` where there is no environment."""
        if self.env is None:
            hint = f"--env REF; `gym plugins list --kind env` lists them; {TABLES}"
            raise UsageError("a run needs an environment", hint=hint)

    def instances(self) -> Iterator[tuple[str, object]]:
        """The components that the caller has made, each with its place."""
        return ((place, wanted) for place, _, wanted in self._wanted() if not isinstance(wanted, str))

    def _wanted(self) -> Iterator[tuple[str, Any, object]]:
        """Each component with its place and its class; empty text for one that is left out."""
        for role, model in self.models.items():
            yield f"the model `{role}`", ModelBackend, model
        yield "--env", ResourceServer, self.env if self.env is not None else ""
        yield "--agent", Agent | Runner, self.agent if self.agent is not None else ""
        yield "--gateway", Gateway, self.gateway
        yield "--sandbox", SandboxProvider, self.sandbox if self.sandbox is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """On which tasks, see `RunSettings`."""

    input: str | Path | None = None
    tasks: Tasks | None = None
    task_id: str | None = None
    limit: int | None = None
    skip_invalid: bool = False

    def __post_init__(self) -> None:
        check_setting("limit", self.limit)
        if self.input is not None and self.tasks is not None:
            raise UsageError("give `input` or `tasks`, not both")

    @property
    def given(self) -> bool:
        """Whether the tasks are others than those that the environment ships."""
        return self.input is not None or self.tasks is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to, see `RunSettings`."""

    output: str | Path | None = None
    mode: Mode = "new"
    retry_failed: bool = False
    accept_changes: bool = False
    by: Sequence[str] = ()
    log_file: str | Path | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("new", "resume", "overwrite"):
            raise UsageError(f"mode must be `new`, `resume` or `overwrite`, not {self.mode!r}")
        if self.mode == "resume" and self.output is None:
            raise UsageError("there is nothing to resume without an output", hint="--output FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much, see `RunSettings`."""

    repeats: int = 1
    group: bool | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    max_rollout_tokens: int | None = None
    prices: str | Path | None = None
    finish_at: float | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)

    def __post_init__(self) -> None:
        for name in ("repeats", "max_tokens", "max_cost", "max_rollout_tokens", "finish_at"):
            check_setting(name, getattr(self, name))
        for bound in fields(self.deadlines):
            check_setting(f"{bound.name}_timeout", getattr(self.deadlines, bound.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How, see `RunSettings`."""

    concurrency: int = 16
    workers: int = 1
    executor: str | ExecutorProvider = WORKERS
    executor_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_setting("concurrency", self.concurrency)
        check_setting("workers", self.workers)
        if not isinstance(self.executor, (str, ExecutorProvider)):
            raise UsageError(
                f"--executor must be a reference or an instance of ExecutorProvider, not {self.executor!r:.80}"
            )
        if self.executor_options and not self.spread:
            raise UsageError("-X is for an executor, and this run needs none", hint="--executor REF")

    @property
    def spread(self) -> bool:
        """Whether the rollouts run in other processes."""
        return self.workers > 1 or self.executor != WORKERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How the run was asked for. `argv`: the command, if there was one.

    `made_from`: files that the settings came from, by what they are: nothing is written to them.
    """

    argv: Sequence[str] = ()
    made_from: Mapping[str, str | Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One run, in parts: what runs, on which tasks, where results go, how much of it, and how. See `run_config`."""

    components: Components
    selection: Selection = field(default_factory=Selection)
    destination: Destination = field(default_factory=Destination)
    limits: Limits = field(default_factory=Limits)
    execution: Execution = field(default_factory=Execution)
    invocation: Invocation = field(default_factory=Invocation)

    def __post_init__(self) -> None:
        if self.execution.spread:
            for place, wanted in self.components.instances():
                raise UsageError(
                    f"{place} is an instance of {type(wanted).__name__}, which cannot be sent to workers",
                    hint="name it by its reference, as on the command line, or leave --workers out",
                )

    def files_read(self) -> Iterator[Named]:
        """The files that the run reads, each with what it is."""
        yield from self.invocation.made_from.items()
        for what, path in (("the input", self.selection.input), ("the prices", self.limits.prices)):
            if path is not None:
                yield what, path


def run_config(
    *,
    models: Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    configured: Mapping[str, Configured] | None = None,
    invocation: Invocation | None = None,
    **settings: Unpack[RunSettings],
) -> RunConfig:
    """A run of flat settings, as the command line, files and `collect` have them.

    `models`, `env`, `configured`: see `Components`. `model_options`: the policy's by name, those of another role as a
    mapping under it or as `judge.temperature`. Raises `TypeError` for a setting that there is not, `UsageError` for a
    value that cannot be.
    """
    known_settings(settings)
    _check_kinds(settings)
    models = models or {}
    given: dict[str, Any] = {**settings, "models": models, "env": env, "configured": configured or {}}
    given["model_options"] = _split_options(settings.get("model_options", {}), models)

    def part(kind: type[Any]) -> Any:
        return kind(**{each.name: given[each.name] for each in fields(kind) if each.name in given})

    return RunConfig(
        components=part(Components),
        selection=part(Selection),
        destination=part(Destination),
        limits=part(Limits),
        execution=part(Execution),
        invocation=invocation or Invocation(),
    )


def _split_options(
    options: Mapping[str, Any], models: Mapping[str, str | ModelBackend]
) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(models.get(POLICY), ModelBackend):  # it takes no options, so that these must be meant for a role
        for role, given in options.items():
            if isinstance(given, Mapping) and role not in models:
                raise UsageError(
                    f"options are given for the model `{role}`, which the run has not", hint=f"--model {role}=REF"
                )
    return split_roles(options, models)


def known_settings(names: Collection[str], settings: type = RunSettings, of: str = "a run") -> None:
    """Raise `TypeError` for a keyword that is no setting of a run, or of what else has some; it names the nearest."""
    known = {"model", "env", "config", *settings.__annotations__}
    for name in names:
        if name not in known:
            guess = did_you_mean(name, known, shown="`{}`".format) or f"; there are {', '.join(sorted(known))}"
            raise TypeError(f"{of} has no setting `{name}`{guess}")


_OPTION_TABLES = tuple(name for name in RunSettings.__annotations__ if name.endswith("_options"))
_KINDS: tuple[tuple[tuple[str, ...], Any, str], ...] = (
    (_OPTION_TABLES, Mapping, "a mapping of options by name"),
    (("extensions", "disabled_plugins", "by"), (list, tuple), "a list"),
    (("input", "output", "log_file", "prices"), (str, Path, NoneType), "a path"),
    (("tasks",), (Iterable, AsyncIterable, NoneType), "something to go through, such as a list"),
    (("task_id",), (str, NoneType), "text"),
    (("skip_invalid", "retry_failed", "accept_changes"), bool, "True or False"),
    (("group",), (bool, NoneType), "True, False or None"),
    (("deadlines",), Deadlines, "`Deadlines(...)`"),
)


def _check_kinds(settings: RunSettings) -> None:
    """Raise `UsageError` for a setting of another kind than a type checker lets pass."""
    for names, kinds, wanted in _KINDS:
        for name in names:
            if name in settings and not isinstance(value := settings[name], kinds):  # type: ignore[literal-required]
                raise UsageError(f"`{name}` must be {wanted}, not {value!r:.80}")


_WHOLE = {
    **dict.fromkeys(("repeats", "concurrency", "workers", "max_tokens", "max_rollout_tokens"), 1),
    **dict.fromkeys(("seed", "limit"), 0),
}
_MAY_BE_LEFT_OUT = ("seed", "limit", "max_tokens", "max_cost", "max_rollout_tokens", "finish_at")


def check_setting(name: str, value: Any, place: str = "") -> None:
    """Raise `UsageError` for a number that a setting cannot be. `place`: what the message calls it."""
    if value is None and name in _MAY_BE_LEFT_OUT:
        return
    flag = place or f"--{name.replace('_', '-')}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _WHOLE:
        if not (number and isinstance(value, int) and value >= _WHOLE[name]):
            raise UsageError(f"{flag} must be a whole number of at least {_WHOLE[name]}, not {value!r:.80}")
    elif name == "max_cost":
        if not (number and 0 < value < math.inf):
            raise UsageError(f"{flag} must be an amount of USD above 0, not {value!r:.80}")
    elif name == "finish_at" and not (number and 0 < value <= 1):
        raise UsageError(f"{flag} must be a share above 0 and at most 1, not {value!r:.80}")
    elif name.endswith("_timeout") and not (number and value > 0):
        raise UsageError(f"{flag} must be seconds above 0, not {value!r:.80}")
