"""A results file verified again: every stored rollout replayed, every reward given afresh."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from typing_extensions import TypedDict

from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.contract.sandbox import SandboxProvider
from gym_core.domain.errors import UsageError
from gym_core.domain.group import FEWEST
from gym_core.domain.json_text import encode_json
from gym_core.domain.rollout import Rollout, Status
from gym_core.domain.task import result_task_id
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.config import Invocation, RunConfig, run_config
from gym_core.engine.executors.inline import InlineExecutor
from gym_core.engine.metrics.groups import GroupTally
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.metrics.rewards import RewardTally
from gym_core.engine.rollout.agent_rollout import POLICY
from gym_core.engine.rollout.replayed_rollout import Recorded, replayed
from gym_core.engine.run.groups import Earlier, Groups
from gym_core.engine.run.opening import Opened, make_groups, open_components, open_record, run_manifest, running_clock
from gym_core.engine.run.record import Record
from gym_core.engine.run.run import Run
from gym_core.engine.storage.files import parse_account, read_rows
from gym_core.engine.storage.groups import GroupLines
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.outputs import Mode, Outputs
from gym_core.engine.storage.reading import ResultsFile
from gym_core.engine.storage.resume import Finished
from gym_core.engine.tasks.check import SourceInfo
from gym_core.engine.tasks.keys import KeyTable, digest
from gym_core.engine.tasks.prefetch import Prefetch
from gym_core.wiring.config_file import ENV, SANDBOX, Configured
from gym_core.wiring.secrets import Redactor

READ_AHEAD = 16
"""How many stored rollouts wait to be verified again."""


class RescoreSettings(TypedDict, total=False):
    """How stored rollouts are verified again, see `RunSettings`.

    `env_options` and `sandbox_options` go over those of the file's manifest. `output`: None for
    `<stem>.rescored.jsonl` beside the file.
    """

    model_options: Mapping[str, Any]
    env_options: Mapping[str, Any]
    sandbox: str | SandboxProvider | None
    sandbox_options: Mapping[str, Any]
    disabled_plugins: Sequence[str]
    output: str | Path | None
    mode: Mode
    deadlines: Deadlines
    concurrency: int


@asynccontextmanager
async def open_rescore(
    file: str | Path,
    *,
    models: Mapping[str, str | ModelBackend] | None = None,
    env: str | ResourceServer | None = None,
    redactor: Redactor | None = None,
    argv: Sequence[str] = (),
    **settings: Unpack[RescoreSettings],
) -> AsyncGenerator[Run[StoredJob], None]:
    """A run whose rollouts are replays of those in a results file: opened, executed and ended like any other.

    `models`: for the roles that the verifier asks. `env`: None for the environment, with its options, that the manifest
    beside the file names, as the sandbox is. `argv`: the command, if there was one.

    Rows keep everything but reward, components and what the verifier said; `rollout.rescored.from` holds the old
    reward. Failures of the file are carried over as they are. The summary has a part `rescored`. Raises `UsageError`
    for what is no results file and for an output that exists.
    """
    results, rows, repeats = await asyncio.to_thread(_stored, file)
    config = _run_config(results, repeats, models or {}, env, argv, settings)
    stack = AsyncExitStack()
    try:
        yield await _open(stack, config, results, rows, redactor if redactor is not None else Redactor())
    finally:
        await stack.aclose()


async def _open(
    stack: AsyncExitStack, config: RunConfig, results: ResultsFile, rows: int, redactor: Redactor
) -> Run[StoredJob]:
    repeats = config.limits.repeats
    opened = await open_components(
        stack, config, redactor, agent=False, exists="--overwrite replaces it, --output writes elsewhere"
    )
    progress = opened.progress
    progress.total = rows
    scores = repeats >= FEWEST and opened.scores
    if scores:
        progress.groups = GroupTally()
    tasks = SourceInfo(str(results.path))
    manifest = _manifest(opened, tasks, results)
    opened.notices += _differences(manifest)
    record, _ = await open_record(stack, opened, manifest, tasks)
    assert record.store is not None
    record.store.cite_all(results.outputs.tools)
    stage = opened.open_stage(stack, running_clock(), manifest.run_id)
    comparison = _Comparison(results.path, repeats, progress)
    groups = None
    if scores:
        groups = make_groups(opened, stage, record)
        groups.later = partial(_score_groups, groups, record.store.outputs, repeats)  # rows come in the file's order
    return Run(
        source=StoredRollouts(results, record),
        executor=InlineExecutor(
            lambda job: replayed(stage, job.recorded, redactor, job.attempt),
            concurrency=config.execution.concurrency,
        ),
        record=record,
        notices=opened.notices,
        gates=stage.gates,
        heard=comparison.add,
        further=comparison.to_wire,
        groups=groups,
    )


def _run_config(
    results: ResultsFile,
    repeats: int,
    models: Mapping[str, str | ModelBackend],
    env: str | ResourceServer | None,
    argv: Sequence[str],
    settings: RescoreSettings,
) -> RunConfig:
    """The run that verifies the rollouts of a file again, which it reads as others read their configuration."""
    if POLICY in models:
        raise UsageError(
            "a stored rollout is verified again without its policy", hint="--model ROLE=REF, such as --model judge=REF"
        )
    wanted: RescoreSettings = {**settings}
    configured: dict[str, Configured] = {}
    if env is None:
        env, configured[ENV] = _recorded_env(results)
    manifest, files = results.manifest, results.outputs
    if wanted.get("sandbox") is None and manifest is not None and manifest.settings.get(SANDBOX):
        wanted["sandbox"], configured[SANDBOX] = _recorded(results, manifest, SANDBOX)
    if wanted.get("output") is None:
        wanted["output"] = _beside(results.path)
    made_from = {
        "the file to verify again": files.rows,
        "the failures to carry over": files.failures,
        "the manifest of the file": files.manifest,
    }
    invocation = Invocation(argv=argv, made_from=made_from)
    return run_config(models=models, env=env, configured=configured, invocation=invocation, repeats=repeats, **wanted)


async def _score_groups(groups: Groups, outputs: Outputs, repeats: int) -> None:
    """Have the rollouts of each task that were written scored together."""
    finished = await asyncio.to_thread(Finished, outputs, Progress(), places=True)
    groups.earlier = Earlier(finished, GroupLines(outputs.groups), repeats)
    tasks = Prefetch(_tasks_of(outputs.rows))
    try:
        async for task_id in tasks:
            await groups.add_earlier(task_id)
    finally:
        tasks.close()


def _tasks_of(rows: Path) -> Generator[str, None, None]:
    seen = KeyTable()
    for row in read_rows(rows, parse_account):
        task_id = result_task_id(row)
        if seen.add(digest(task_id)):
            yield task_id


@dataclass(frozen=True, slots=True)
class StoredJob:
    """One stored rollout to verify again."""

    recorded: Recorded
    attempt: int


class StoredRollouts:
    """Stored rollouts as jobs.

    A failure is carried over to `record`: what has no verdict keeps none, and means go on to say that they leave it
    out.
    """

    known = True

    def __init__(self, results: ResultsFile, record: Record) -> None:
        self.info = record.tasks
        self.planned = record.progress.total
        self._results = results
        self._record = record

    async def jobs(self) -> AsyncGenerator[StoredJob, None]:
        """All that have a verdict. Raises `UsageError` for what is no row."""
        progress = self._record.progress
        rollouts = Prefetch(self._results.rollouts(), READ_AHEAD)
        try:
            async for rollout in rollouts:
                if rollout.reward is not None:
                    yield StoredJob(Recorded(rollout), int(rollout.row["rollout"].get("attempt", 1)))
                    continue
                if self._record.store is not None:
                    self._record.store.write(rollout)
                progress.total = (progress.total or 0) + 1
                progress.add(rollout.row, kept=True)
        finally:
            rollouts.close()

    def look_through(self) -> None:
        """There is nothing that is not known."""


class _Comparison:
    """Old and new rewards."""

    def __init__(self, file: Path, repeats: int, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._changed = 0
        self._failures = 0
        self._tally = RewardTally(repeats)

    def add(self, rollout: Rollout) -> None:
        """One that was verified again, or could not be."""
        new, old = rollout.reward, rollout.row["rollout"]["rescored"]["from"]
        if new is None:
            self._failures += rollout.status is not Status.CANCELLED
            return
        self._changed += not math.isclose(new, old, rel_tol=1e-9, abs_tol=1e-9)
        self._tally.add(rollout.task_id, new, {"before": old, "change": new - old})

    def to_wire(self) -> dict[str, Any]:
        """What the summary says of them."""
        result = self._tally.result(0)
        parts = result["components"]
        rescored = {
            "file": str(self._file),
            "rollouts": result["rollouts"],
            "changed": self._changed,
            "failed": self._failures,
            "carried_over": self._progress.kept,
            "before": parts.get("before"),
            "after": {name: result[name] for name in ("mean", "standard_error", "rollouts")},
            "change": parts.get("change"),
        }
        return {"rescored": rescored}


def _stored(file: str | Path) -> tuple[ResultsFile, int, int]:
    results = ResultsFile(file)
    if next(results.rollouts(), None) is None:
        raise UsageError(f"{file} holds no rollout", hint="give a file that `gym run --output` wrote")
    return results, *results.extent()


def _manifest(opened: Opened, tasks: SourceInfo, results: ResultsFile) -> Manifest:
    """That of the file, with what verifies it now."""
    manifest, earlier = run_manifest(opened, tasks), results.manifest
    before = earlier.settings if earlier is not None else {}
    about = opened.assembly.about.described
    settings = {
        "tasks": {"name": tasks.name},
        **before,
        "models": {**(before.get("models") or {}), **about.get("models", {})},
        "env": about["env"],
        **({SANDBOX: about[SANDBOX]} if SANDBOX in about else {}),
        "rescored": {
            "file": tasks.name,
            "run_id": earlier.run_id if earlier is not None else None,
            "env": before.get("env"),
        },
    }
    if earlier is None:
        return replace(manifest, settings=settings, dataset={})
    return replace(manifest, settings=settings, extent=earlier.extent, dataset=earlier.dataset)


def _differences(manifest: Manifest) -> Iterator[str]:
    before, now = manifest.settings["rescored"]["env"] or {}, manifest.settings["env"]
    if before and before.get("ref") != now.get("ref"):
        yield f"the rollouts come from the environment `{before.get('ref')}`, not `{now.get('ref')}`"
    elif before.get("files") != now.get("files"):
        yield f"{before.get('ref')} is not what it was when the rollouts were made"
    elif before.get("distribution") == now.get("distribution") and before.get("version") != now.get("version"):
        yield (
            f"the rollouts come from {before.get('distribution')} {before.get('version')}, "
            f"installed is {now.get('version')}"
        )


def _made_in_python(
    results: ResultsFile, about: Mapping[str, Any], operational: Mapping[str, Any], given: Collection[str]
) -> UsageError:
    source = (operational.get("sources") or {}).get(ENV)
    options = about.get("options") or {}
    settings = [f"-E {name}={encode_json(options[name]).decode()}" for name in sorted(given) if name in options]
    command = " ".join([f"gym rescore {results.path} --env", source or "REF", *settings])
    where = "" if source else "; REF is an installed one, or a file with its class, ./FILE.py:CLASS"
    return UsageError(
        f"{results.outputs.manifest}: its environment was made in Python, by a class {about.get('ref')}, so that "
        "nothing names it",
        hint=f"`{command}`{where}",
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
    about = manifest.settings.get(ENV)
    if not about:
        raise UsageError(
            f"{results.outputs.manifest} names no environment: the agent of that run brought its own",
            hint="name one with --env REF",
        )
    reference, configured = _recorded(results, manifest, ENV)
    if reference is None:
        raise _made_in_python(results, about, manifest.operational, configured.recorded or ())
    return reference, configured


def _recorded(results: ResultsFile, manifest: Manifest, place: str) -> tuple[str | None, Configured]:
    """A component of the manifest, as a reference, None for one that nothing names, and its options."""
    about, operational, name = manifest.settings[place], manifest.operational, str(results.outputs.manifest)
    values = {**(about.get("options") or {}), **((operational.get("options") or {}).get(place) or {})}
    given = frozenset((operational.get("given") or {}).get(place) or ())
    return manifest.reference(place), Configured(values, f"file {name}", f"{name}: {place}_options.", recorded=given)
