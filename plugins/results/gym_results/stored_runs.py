"""The runs that lie in a folder, found by their manifests, and what each came to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gym_core import JsonError, UsageError, parse_json
from gym_core.spi import Manifest, Outputs
from gym_results.comparison import Statistics

RESULTS = Path("results")
"""Where runs lie that nobody named a file for."""
_MANIFEST = ".run.json"
_LARGEST = 64 << 20  # of a manifest or a summary: what is larger is something else

State = Literal["running", "finished", "stopped", "interrupted", "cut", "unreadable"]
Account: TypeAlias = Callable[[Outputs], Mapping[str, Any]]
"""Makes what stands in a summary out of the rows."""
_STATES: Mapping[str, State] = {"finished": "finished", "stopped": "stopped", "interrupted": "interrupted"}


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run and what it came to, by its manifest and its summary; where that is not up to date, by its rows.

    `path`: its results. `state`: `cut` is a run that was killed, `unreadable` one with a `problem`. `started`: UTC,
    where it is not known when the manifest was written. `rollouts`: those with a verdict; `planned`: None where it is
    not known. `reward`: `mean, standard_error, interval_95`. `cost` in US dollars. None is what is not known.
    """

    path: Path
    state: State
    started: datetime
    problem: str = ""
    run_id: str | None = None
    model: str | None = None
    env: str | None = None
    agent: str | None = None
    planned: int | None = None
    rollouts: int | None = None
    failed: int | None = None
    reward: Mapping[str, Any] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None

    def to_wire(self) -> dict[str, Any]:
        """As JSON."""
        wire = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**wire, "path": str(self.path), "started": self.started.isoformat(timespec="seconds")}


def stored_runs(folder: Path) -> list[StoredRun]:
    """The runs in a folder and those below it, the one that was started last first.

    What is torn, foreign or cannot be read is one of them, too. Raises `UsageError` where the folder cannot be read.
    """
    return sorted(map(stored_run, manifests(folder)), key=lambda run: (run.started, str(run.path)), reverse=True)


def manifests(folder: Path) -> Iterator[Path]:
    """The paths of what look like manifests, in this folder and those below it; hidden folders are left out.

    Raises `UsageError` where the folder cannot be read.
    """
    try:
        with os.scandir(folder):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{folder} cannot be read: {why}", hint="give a folder of runs; `gym run` writes to results"
        ) from None
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if name.endswith(_MANIFEST))


def results_at(place: Path) -> Path:
    """The results that are meant: a file itself, of a folder those of the run in it that was started last.

    Raises `UsageError` for a folder without runs.
    """
    if not place.is_dir():
        return place
    found = max(_started(place), default=None)
    if found is None:
        raise UsageError(f"there is no run in {place}", hint="give the results of one: `gym run` names the file")
    return found[1]


def _started(folder: Path) -> Iterator[tuple[datetime, Path]]:
    for path in manifests(folder):
        try:
            started = _time(_manifest(path), path)
        except UsageError:  # what is no manifest is no run
            continue
        if (rows := Outputs.beside(path).rows).is_file():
            yield started, rows


def stored_run(path: Path, account: Account | None = None) -> StoredRun:
    """The run of a manifest. `account`: what its rows come to, where no summary says it; by default they are read."""
    account = account or _account_of
    rows = Outputs.beside(path).rows
    try:
        manifest = _manifest(path)
    except UsageError as error:
        return StoredRun(rows, "unreadable", _written(path), error.message)
    known = StoredRun(
        rows, "cut", _time(manifest, path),
        run_id=_text(manifest.run_id),
        model=_models(manifest.settings.get("models")),
        env=_reference(manifest.settings.get("env")),
        agent=_reference(manifest.settings.get("agent")),
        planned=_planned(manifest),
    )  # fmt: skip
    if not rows.is_file():
        return replace(known, state="unreadable", problem=f"{rows} is missing")
    try:
        return _with_account(known, Outputs.of(rows), manifest.format_version, account)
    except UsageError as error:
        return replace(known, state="unreadable", problem=error.message)
    except Exception as error:  # whatever stands in a file, the other runs are listed
        return replace(known, state="unreadable", problem=f"{rows}: not what gym wrote ({type(error).__name__})")


def _with_account(run: StoredRun, outputs: Outputs, version: int, account: Account) -> StoredRun:
    summary = _summary(outputs.summary, version)
    if _is_locked(outputs.rows):
        return _counted(run, "running", account(outputs))
    if summary is None:
        return _counted(run, "cut", account(outputs))
    if _changed(outputs.rows) <= _changed(outputs.summary) >= _changed(outputs.failures):
        return _counted(run, _STATES[summary["state"]], summary)
    # rows are newer where a resumed run was killed, and perhaps where files were copied: only the rows tell which
    found = account(outputs)
    counts = _part(found, "rollouts")
    same = counts == {name: _part(summary, "rollouts").get(name) for name in counts}
    return _counted(run, _STATES[summary["state"]] if same else "cut", found)


def _counted(run: StoredRun, state: State, account: Mapping[str, Any]) -> StoredRun:
    counts, reward, usage = (_part(account, name) for name in ("rollouts", "reward", "usage"))
    mean, error = _number(reward.get("mean")), _number(reward.get("standard_error"))
    planned = _count(counts.get("planned"))
    return replace(
        run,
        state=state,
        planned=planned if planned is not None else run.planned,
        rollouts=_count(counts.get("with_verdict")),
        failed=_count(counts.get("failed")),
        reward=None
        if mean is None
        else {"mean": mean, "standard_error": error, "interval_95": _span(reward.get("interval_95"))},
        input_tokens=_count(usage.get("input_tokens")),
        output_tokens=_count(usage.get("output_tokens")),
        cost=_number(account.get("cost")),
    )


def _account_of(outputs: Outputs) -> Mapping[str, Any]:
    """What the rows come to, read from the first to the last."""
    if not outputs.rows.stat().st_size and not (outputs.failures.is_file() and outputs.failures.stat().st_size):
        return {"rollouts": {"with_verdict": 0, "failed": 0, "cancelled": 0}}
    return Statistics(outputs.rows).result


def _manifest(path: Path) -> Manifest:
    if path.exists():
        _refuse_odd(path)
    manifest = Manifest.read(path)
    if not isinstance(manifest.settings, Mapping) or not isinstance(manifest.created_at, str):
        raise UsageError(f"{path}: not a manifest")
    return manifest


def _summary(path: Path, version: int) -> Mapping[str, Any] | None:
    """The summary, None without one. Raises `UsageError` for what is none that this gym reads."""
    if not path.exists():
        return None
    _refuse_odd(path)
    try:
        summary = parse_json(path.read_bytes())
    except (OSError, JsonError) as error:
        raise UsageError(f"{path}: not a summary ({error})") from None
    if not isinstance(summary, Mapping) or str(summary.get("state")) not in _STATES:
        raise UsageError(f"{path}: not a summary that gym wrote")
    if (found := summary.get("format_version")) != version:
        raise UsageError(f"{path}: it has format version {found}, this gym reads {version}")
    return summary


def _refuse_odd(path: Path) -> None:
    """Raise `UsageError` for what would not end when it is read, or take all memory."""
    if not path.is_file():
        raise UsageError(f"{path} is no regular file")
    if path.stat().st_size > _LARGEST:
        raise UsageError(f"{path} is too large for what it should be")


def _is_locked(path: Path) -> bool:
    """Whether a run is writing to it, as far as locks of the file system tell."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back when it is closed
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _time(manifest: Manifest, path: Path) -> datetime:
    try:
        started = datetime.fromisoformat(manifest.created_at).astimezone(UTC)
    except (ValueError, OverflowError):
        return _written(path)
    return started if 1970 <= started.year < 9999 else _written(path)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(_changed(path), UTC)


def _models(models: Any) -> str | None:
    """The model of the policy, then those of other roles as `ROLE=REF`."""
    if not isinstance(models, Mapping):
        return None
    shown = {str(role): _reference(about) for role, about in models.items()}
    return ", ".join(ref if role == "policy" else f"{role}={ref}" for role, ref in shown.items() if ref) or None


def _reference(about: Any) -> str | None:
    if not isinstance(about, Mapping) or not isinstance(about.get("ref"), str):
        return None
    return str(about["ref"])


def _planned(manifest: Manifest) -> int | None:
    extent, dataset = manifest.extent, manifest.dataset
    tasks = _count(dataset.get("tasks")) if isinstance(dataset, Mapping) else None
    if not isinstance(extent, Mapping) or tasks is None:
        return None
    limit, repeats = _count(extent.get("limit")), _count(extent.get("repeats")) or 1
    return (tasks if limit is None else min(tasks, limit)) * repeats


def _part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, Mapping) else {}


def _span(value: Any) -> list[float] | None:
    ends = [_number(end) for end in value] if isinstance(value, list) else []
    known = [end for end in ends if end is not None]
    return known if len(ends) == len(known) == 2 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value) else None
