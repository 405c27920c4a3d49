"""The runs that are shown: found on disk, known to the page by ids that say nothing of where they lie."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from gym_core import JsonError, UsageError
from gym_core.spi import Outputs, RewardTally
from gym_results.comparison import Statistics
from gym_results.reading import StoredRequests, files_of_results
from gym_results.stored_runs import StoredRun, manifests, stored_run
from gym_viewer.groups import Groups
from gym_viewer.index.search import Searches
from gym_viewer.index.store import Covered, RunIndex
from gym_viewer.sums import sums

_FRESH_SECONDS = 1.0
"""So long a list of runs is not made anew."""
_FEW = 20_000
"""So many rollouts are summed up for the list of runs."""
_SMALL = 32 << 20
"""Bytes of results that are read once more while the page waits."""
_SECONDS = 0.5
"""So long a request waits for rows to be read."""
_KEPT = 8


class NotThere(UsageError):
    """What was asked for is not there."""


class Library:
    """What `gym view` was given: runs, and folders whose runs are looked for each time. Used from several threads.

    `folder`: the folder, or what the runs have in common. `selected`: the id of the run that was asked for, None for
    a folder. Raises `UsageError` for what is neither.
    """

    def __init__(self, places: Sequence[Path], *, indexes: Path | None = None) -> None:
        self._places = [Path(os.path.abspath(place)) for place in places]
        self._indexes = indexes
        self._lock = threading.Lock()
        self._open: dict[str, OpenRun] = {}
        self._paths: dict[str, Path] = {}
        self._listed: tuple[float, list[StoredRun]] = (0.0, [])
        for place in self._places:
            if place.is_dir():
                continue
            if place.suffix != ".jsonl" and not place.exists():
                raise UsageError(f"{place}: there is no such file or folder", hint="`gym runs` lists those there are")
            files_of_results(place)
            self._paths[run_id(place)] = place
        files = [place for place in self._places if not place.is_dir()]
        self.selected = run_id(files[0]) if len(self._places) == len(files) == 1 else None
        common = os.path.commonpath([place if place.is_dir() else place.parent for place in self._places])
        self.folder = Path(common)

    def runs(self) -> list[StoredRun]:
        """The runs, the one that was started last first. Raises `UsageError` for a folder that cannot be read."""
        made, found = self._listed
        if time.monotonic() - made < _FRESH_SECONDS:
            return found
        paths: dict[Path, None] = {}
        for place in self._places:
            paths |= dict.fromkeys(manifests(place) if place.is_dir() else [Outputs.of(place).manifest])
        found = sorted(map(self._stored, paths), key=lambda run: (run.started, str(run.path)), reverse=True)
        with self._lock:
            self._paths |= {run_id(run.path): run.path for run in found}
            self._listed = (time.monotonic(), found)
        return found

    def run(self, name: str) -> OpenRun:
        """The run of an id, with its index. Raises `UsageError` for an id that the library has not given."""
        if name not in self._paths:
            self.runs()
        with self._lock:
            path = self._paths.get(name)
            if path is None:
                raise NotThere("there is no such run", hint="load the list of runs again")
            found = self._open.get(name)
            if found is None:
                found = self._open[name] = OpenRun(name, path, self._indexes)
            return found

    def entry(self, run: OpenRun) -> StoredRun:
        """What the list says of a run, as it is now."""
        return self._stored(run.outputs.manifest)

    def _stored(self, manifest: Path) -> StoredRun:
        return stored_run(manifest, self._account)

    def _account(self, outputs: Outputs) -> Mapping[str, Any]:
        """What the rows come to, as far as that is known without reading them all."""
        with self._lock:
            run = self._open.get(run_id(outputs.rows))
        return run.account() if run is not None else {}

    def close(self) -> None:
        """Let go of all files."""
        for run in self._open.values():
            run.close()


class OpenRun:
    """A run that somebody looks at."""

    def __init__(self, name: str, path: Path, indexes: Path | None) -> None:
        self.id = name
        self.path = path
        self.outputs = Outputs.of(path)
        self.index = RunIndex(path, indexes)
        self.groups = Groups(self.outputs.groups)
        self.searches = Searches(self.index)
        self._lock = threading.Lock()
        self._reading: threading.Thread | None = None
        self.summing = False
        self._counting: threading.Thread | None = None
        self._counted_at = ""
        self._kept: OrderedDict[Any, Any] = OrderedDict()
        self._closed = False

    def advance(self) -> Covered:
        """Read what is new: all where that is little, else some now and the rest beside. Raises `UsageError`."""
        with self._lock:
            if self._reading is not None and self._reading.is_alive():
                return replace(self.index.covered, whole=False)  # its sums may be missing yet
            covered = self.index.advance(_SECONDS)
            if not covered.whole:
                self._reading = threading.Thread(target=self._read, name="gym-viewer-index", daemon=True)
                self._reading.start()
            return covered

    def _read(self) -> None:
        with contextlib.suppress(UsageError, sqlite3.Error):  # whoever asks next is told
            while not self._closed and not self.index.advance(_SECONDS).whole:
                pass
            self.summing = True
            try:
                sums(self.index)
            finally:
                self.summing = False

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made for a key lately, or what is made for it now."""
        found = self._kept.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._kept[key] = found
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def shared_request(self, digest: Any) -> Mapping[str, Any]:
        """The tools and sampling that a row cites by a hash; empty where they are not known."""
        if not isinstance(digest, str):
            return {}

        def read() -> Mapping[str, Any]:
            try:
                return StoredRequests(self.outputs.tools).get(digest, {})
            except (OSError, JsonError, TypeError, KeyError):  # whatever stands in the file
                return {}

        found: Mapping[str, Any] = self.kept(("request", digest), read)
        return found

    def counts(self) -> dict[str, Any]:
        """How many rollouts there are, by what came of them, and what they took."""

        def count() -> dict[str, Any]:
            names = ("rollouts", "done", "failed", "cancelled", "input_tokens", "output_tokens", "cost", "mean")
            found = self.index.read(
                "SELECT COUNT(*), COUNT(reward), COALESCE(SUM(reward IS NULL AND status != 'cancelled'), 0), "
                "COALESCE(SUM(reward IS NULL AND status = 'cancelled'), 0), SUM(input_tokens), SUM(output_tokens), "
                "SUM(cost), AVG(reward) FROM rollout WHERE standing"
            )[0]
            return dict(zip(names, found, strict=True))

        counted: dict[str, Any] = self.index.remembered("counts", count)
        return counted

    def reward(self) -> dict[str, Any]:
        """What stands in a summary under `reward`."""

        def tally() -> dict[str, Any]:
            repeats = self.index.read("SELECT MAX(repeat) + 1 FROM rollout WHERE standing")[0][0] or 1
            rewards, failed = RewardTally(repeats), 0
            for task, reward, components in self.index.iterate(
                "SELECT task, reward, components FROM rollout WHERE standing AND status != 'cancelled'"
            ):
                rewards.add(task, reward, orjson.loads(components))
                failed += reward is None
            return rewards.result(failed)

        found: dict[str, Any] = self.index.remembered("reward", tally)
        return found

    def account(self) -> Mapping[str, Any]:
        """The counts and sums of a summary."""
        counts = self.counts()
        return {
            "rollouts": {
                "with_verdict": counts["done"],
                "failed": counts["failed"],
                "cancelled": counts["cancelled"],
            },
            "reward": self.reward() if counts["rollouts"] <= _FEW else {"mean": counts["mean"]},
            "usage": {name: counts[name] for name in ("input_tokens", "output_tokens")},
            "cost": counts["cost"],
        }

    def statistics(self) -> Mapping[str, Any] | None:
        """What the rows come to, as the core counts it; None while that takes longer than a page waits.

        In place of numbers there is a `problem` where the rows are not those of one run.
        """
        if self.index.covered.total <= _SMALL:
            return self._counted()
        with self._lock:
            if self._counting is None or not self._counting.is_alive():
                generation = self.index.generation
                if self._counted_at == generation:
                    return self._counted()
                self._counting = threading.Thread(target=self._counted, name="gym-viewer-account", daemon=True)
                self._counting.start()
            last: Mapping[str, Any] | None = self.index.last("account")
            return last

    def _counted(self) -> Mapping[str, Any]:
        generation = self.index.generation
        found: Mapping[str, Any] = self.index.remembered("account", self._count)
        self._counted_at = generation
        return found

    def _count(self) -> Mapping[str, Any]:
        try:
            return Statistics(self.path).result
        except UsageError as error:
            return {"problem": error.message}
        except Exception as error:  # whatever stands in a file
            return {"problem": f"{self.path.name}: not what gym wrote ({type(error).__name__}: {error})"}

    def close(self) -> None:
        """Let go of its index."""
        self._closed = True
        if self._reading is not None:
            self._reading.join()
        self.index.close()


def run_id(rows: Path) -> str:
    """What a run is called in the API: the same each time, and nothing that a path could be made of."""
    return blake2b(os.fsencode(os.path.abspath(rows)), digest_size=8).hexdigest()
