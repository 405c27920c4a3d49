"""A results file verified again: every stored rollout replayed, every reward given afresh."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

from typing_extensions import TypedDict

from gym_core import Deadlines, ModelBackend, ResourceServer, Rollout, SandboxProvider, Status, UsageError, encode_json
from gym_core.spi import (
    Configured,
    Invocation,
    Manifest,
    Redactor,
    RewardTally,
    Run,
    RunConfig,
    open_stored_rollouts,
    run_config,
)
from gym_results.reading import ResultsFile
from gym_results.replay import replayed

_POLICY, _ENV, _SANDBOX = "policy", "env", "sandbox"
"""A role, and components as manifests and run files call them."""


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
    mode: Literal["new", "overwrite"]
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
) -> AsyncGenerator[Run[Rollout], None]:
    """A run whose rollouts are replays of those in a results file: opened, executed and ended like any other.

    `models`: for the roles that the verifier asks. `env`: None for the environment, with its options, that the manifest
    beside the file names, as the sandbox is. `argv`: the command, if there was one.

    Rows keep everything but reward, components and what the verifier said; `rollout.rescored.from` holds the old
    reward. Failures of the file are carried over as they are. The summary has a part `rescored`. Raises `UsageError`
    for what is no results file and for an output that exists.
    """
    results, rows, repeats = await asyncio.to_thread(_stored, file)
    config = _run_config(results, repeats, models or {}, env, argv, settings)
    redactor = redactor if redactor is not None else Redactor()
    opened = open_stored_rollouts(
        results.rollouts(),
        results.outputs,
        config,
        partial(replayed, redactor=redactor),
        rows=rows,
        described=partial(_described, results),
        redactor=redactor,
    )
    async with opened as run:
        comparison = _Comparison(results.path, repeats, run)
        run.heard, run.further = comparison.add, comparison.to_wire
        run.notices += _differences(run.record.manifest)
        yield run


def _run_config(
    results: ResultsFile,
    repeats: int,
    models: Mapping[str, str | ModelBackend],
    env: str | ResourceServer | None,
    argv: Sequence[str],
    settings: RescoreSettings,
) -> RunConfig:
    """The run that verifies the rollouts of a file again, which it reads as others read their configuration."""
    if _POLICY in models:
        raise UsageError(
            "a stored rollout is verified again without its policy", hint="--model ROLE=REF, such as --model judge=REF"
        )
    wanted: RescoreSettings = {**settings}
    configured: dict[str, Configured] = {}
    if env is None:
        env, configured[_ENV] = _recorded_env(results)
    manifest, files = results.manifest, results.outputs
    if wanted.get("sandbox") is None and manifest is not None and manifest.settings.get(_SANDBOX):
        wanted["sandbox"], configured[_SANDBOX] = _recorded(results, manifest, _SANDBOX)
    if wanted.get("output") is None:
        wanted["output"] = _beside(results.path)
    made_from = {
        "the file to verify again": files.rows,
        "the failures to carry over": files.failures,
        "the manifest of the file": files.manifest,
    }
    invocation = Invocation(argv=argv, made_from=made_from)
    return run_config(models=models, env=env, configured=configured, invocation=invocation, repeats=repeats, **wanted)


class _Comparison:
    """Old and new rewards."""

    def __init__(self, file: Path, repeats: int, run: Run[Rollout]) -> None:
        self._file = file
        self._run = run
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
            "carried_over": self._run.progress.kept,
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


def _described(results: ResultsFile, manifest: Manifest) -> Manifest:
    """That of the file, with what verifies it now."""
    earlier, now = results.manifest, manifest.settings
    before = earlier.settings if earlier is not None else {}
    settings = {
        "tasks": {"name": str(results.path)},
        **before,
        "models": {**(before.get("models") or {}), **now.get("models", {})},
        _ENV: now[_ENV],
        **({_SANDBOX: now[_SANDBOX]} if _SANDBOX in now else {}),
        "rescored": {
            "file": str(results.path),
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
    source = (operational.get("sources") or {}).get(_ENV)
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
    about = manifest.settings.get(_ENV)
    if not about:
        raise UsageError(
            f"{results.outputs.manifest} names no environment: the agent of that run brought its own",
            hint="name one with --env REF",
        )
    reference, configured = _recorded(results, manifest, _ENV)
    if reference is None:
        raise _made_in_python(results, about, manifest.operational, configured.recorded or ())
    return reference, configured


def _recorded(results: ResultsFile, manifest: Manifest, place: str) -> tuple[str | None, Configured]:
    """A component of the manifest, as a reference, None for one that nothing names, and its options."""
    about, operational, name = manifest.settings[place], manifest.operational, str(results.outputs.manifest)
    values = {**(about.get("options") or {}), **((operational.get("options") or {}).get(place) or {})}
    given = frozenset((operational.get("given") or {}).get(place) or ())
    return manifest.reference(place), Configured(values, f"file {name}", f"{name}: {place}_options.", recorded=given)
