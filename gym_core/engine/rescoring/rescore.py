"""A results file verified again: every stored rollout replayed, every reward given afresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gym_core.contract.agent import Agent, Episode
from gym_core.contract.component import ComponentContext
from gym_core.contract.model import CallContext, ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.errors import GymError, StoreError, UsageError
from gym_core.domain.responses import Request, Response
from gym_core.domain.rollout import Rollout, Status
from gym_core.engine.assembly import Assembly
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.collector import Collector
from gym_core.engine.config import RunConfig
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.plan import Job
from gym_core.engine.rescoring.replay import Recorded, replayed
from gym_core.engine.rollout.agent_rollout import POLICY
from gym_core.engine.rollout.rollout_run import RolloutRun
from gym_core.engine.run import Run
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.reading import ResultsFile
from gym_core.wiring.config_file import ENV, Configured
from gym_core.wiring.secrets import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoreConfig:
    """What to verify again, and with which environment.

    `file`: a results file. `env`: None for the environment, with its options, that the manifest beside the file names;
    `env_options` go over those. `models`: for the roles that the verifier asks. `output`: None for
    `<stem>.rescored.jsonl` beside the file.
    """

    file: str | Path
    env: str | ResourceServer | None = None
    env_options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str | ModelBackend] = field(default_factory=dict)
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    output: str | Path | None = None
    overwrite: bool = False
    concurrency: int = 16
    deadlines: Deadlines = field(default_factory=Deadlines)
    disabled_plugins: Sequence[str] = ()
    argv: Sequence[str] = ()


class Rescore(Run):
    """A run whose rollouts are replays. Opens, executes and ends like any other.

    Rows keep everything but reward, components and what the verifier said; `rollout.rescored.from` holds the old
    reward. Failures of the file are carried over as they are. Raises `UsageError` for what is no results file and for
    an output that exists.
    """

    output_exists = "--overwrite replaces it, --output writes elsewhere"

    def __init__(self, config: RescoreConfig, *, redactor: Redactor | None = None) -> None:
        self.results = ResultsFile(config.file)
        first = next(self.results.rollouts(), None)
        if first is None:
            raise UsageError(f"{config.file} holds no rollout", hint="give a file that `gym run --output` wrote")
        rows, repeats = self.results.extent()
        self._rows = rows
        super().__init__(_run_config(config, self.results, first, repeats), redactor=redactor)
        self._changed = 0
        self._failures = 0
        self._change = RewardTally(repeats)

    async def _open(self) -> None:
        await super()._open()
        self.progress.total = self._rows
        self._plan = _Rows(self.results.rollouts(), self._carry)  # type: ignore[assignment]  # takes the plan's place
        self._begin = self._replay

    def _replay(self, job: Job) -> RolloutRun:
        assert isinstance(job, _Replayed)
        return replayed(self._stage, job.recorded, self.redactor, job.attempt)

    def _carry(self, rollout: Rollout) -> None:
        """Take a failure over: what has no verdict keeps none, and means go on to say that they leave it out."""
        assert self._store is not None
        assert self.progress.total is not None
        self._store.write(rollout)
        self.progress.total += 1
        self.progress.add(rollout, kept=True)

    def _manifest(self, assembly: Assembly) -> Manifest:
        manifest = super()._manifest(assembly)
        earlier = self.results.manifest
        before = earlier.settings if earlier is not None else {}
        self._note_differences(before.get("env") or {}, assembly.described["env"])
        judges = {role: about for role, about in assembly.described["models"].items() if role != POLICY}
        settings = {
            "tasks": before.get("tasks") or {"name": str(self.results.path)},
            **before,
            "models": {**(before.get("models") or {}), **judges},
            "env": assembly.described["env"],
            "rescored": {
                "file": str(self.results.path),
                "run_id": earlier.run_id if earlier is not None else None,
                "env": before.get("env"),
            },
        }
        extent = earlier.extent if earlier is not None else {"limit": None, "repeats": self.config.repeats}
        return replace(
            manifest, settings=settings, extent=extent, dataset=earlier.dataset if earlier is not None else {}
        )

    def _note_differences(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if before and before.get("ref") != now.get("ref"):
            self.notices.append(f"the rollouts come from the environment `{before.get('ref')}`, not `{now.get('ref')}`")
        elif before.get("distribution") == now.get("distribution") and before.get("version") != now.get("version"):
            self.notices.append(
                f"the rollouts come from {before.get('distribution')} {before.get('version')}, "
                f"installed is {now.get('version')}"
            )

    async def execute(
        self, announce: Callable[[Rollout], None] = lambda rollout: None, **settings: Any
    ) -> dict[str, Any]:
        """Verify everything again; as `Run.execute`. The summary has a part `rescored`."""

        def compared(rollout: Rollout) -> None:
            self._compare(rollout)
            announce(rollout)

        return await super().execute(compared, **settings)

    def _compare(self, rollout: Rollout) -> None:
        new, old = rollout.reward, rollout.row["rollout"]["rescored"]["from"]
        if new is None:
            self._failures += rollout.status is not Status.CANCELLED
            return
        self._changed += not math.isclose(new, old, rel_tol=1e-9, abs_tol=1e-9)
        self._change.add(rollout.task_id, new, {"before": old, "change": new - old})

    def _summarize(self, collector: Collector) -> dict[str, Any]:
        summary = super()._summarize(collector)
        result = self._change.result(0)
        parts = result["components"]
        summary["rescored"] = {
            "file": str(self.results.path),
            "rollouts": result["rollouts"],
            "changed": self._changed,
            "failed": self._failures,
            "carried_over": self.progress.kept,
            "before": parts.get("before"),
            "after": {name: result[name] for name in ("mean", "standard_error", "rollouts")},
            "change": parts.get("change"),
        }
        if self._store is not None:
            try:
                self._store.write_json(self._store.outputs.summary, summary)
            except StoreError as error:
                collector.fail(error)
        return summary


@dataclass(frozen=True, slots=True)
class _Replayed(Job):
    recorded: Recorded


class _Rows:
    """Stored rollouts as jobs. Those without a verdict are given to `carry` instead."""

    def __init__(self, rollouts: Iterator[Rollout], carry: Callable[[Rollout], None]) -> None:
        self._rollouts = rollouts
        self._carry = carry

    async def take(self) -> Job | None:
        for rollout in self._rollouts:
            if rollout.reward is None:
                self._carry(rollout)
                continue
            recorded = Recorded(rollout)
            return _Replayed(recorded.task, rollout.repeat, int(rollout.row["rollout"].get("attempt", 1)), recorded)
        return None


class _Recording(ModelBackend):
    """Stands for the policy, whose answers are all recorded."""

    async def respond(self, request: Request, context: CallContext) -> Response:
        raise GymError("a replay asks no policy")


class _Replay(Agent):
    """Stands for the agent, whose steps are all recorded."""

    async def run(self, episode: Episode) -> str:
        raise GymError("a replay runs no agent")


def _run_config(config: RescoreConfig, results: ResultsFile, first: Rollout, repeats: int) -> RunConfig:
    output = Path(config.output) if config.output is not None else _beside(results.path)
    read = results.outputs
    if POLICY in config.models:
        raise UsageError(
            "a stored rollout is verified again without its policy", hint="--model ROLE=REF, such as --model judge=REF"
        )
    env, configured = config.env, {}
    if env is None:
        env, configured[ENV] = _recorded_env(results)
    model = first.row["rollout"].get("model")
    return RunConfig(
        models={POLICY: _Recording(None, ComponentContext(name=str(model), role=POLICY)), **config.models},
        model_options=config.model_options,
        env=env,
        env_options=config.env_options,
        configured=configured,
        agent=_Replay(None, ComponentContext(name="recorded")),
        tasks=(),
        output=output,
        mode="overwrite" if config.overwrite else "new",
        repeats=repeats,
        concurrency=config.concurrency,
        made_from={
            "the file to verify again": read.rows,
            "the failures to carry over": read.failures,
            "the manifest of the file": read.manifest,
        },
        deadlines=config.deadlines,
        disabled_plugins=config.disabled_plugins,
        argv=config.argv,
    )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.rescored.jsonl")


def _recorded_env(results: ResultsFile) -> tuple[str, Configured]:
    """The environment of the manifest, as a reference and its options. Raises `UsageError` where there is none."""
    manifest = results.manifest
    if manifest is None:
        raise UsageError(
            f"{results.outputs.manifest} is missing, which names the environment", hint="name it with --env REF"
        )
    about = manifest.settings.get("env")
    if not about:
        raise UsageError(
            f"{results.outputs.manifest} names no environment: the agent of that run brought its own",
            hint="name one with --env REF",
        )
    name, operational = str(results.outputs.manifest), manifest.operational
    values = {**(about.get("options") or {}), **((operational.get("options") or {}).get(ENV) or {})}
    given = frozenset((operational.get("given") or {}).get(ENV) or ())
    return str(about.get("ref", "")), Configured(values, f"file {name}", f"{name}: env_options.", recorded=given)
