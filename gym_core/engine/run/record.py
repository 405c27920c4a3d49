"""The account of a run: manifest, rows and summary on disk, where it has an output, and what observers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from gym_core.contract.hookspecs import RunInfo
from gym_core.domain.errors import StoreError
from gym_core.domain.group import Group
from gym_core.domain.json_text import encode_json, parse_json
from gym_core.engine.metrics.progress import Progress
from gym_core.engine.model_calls.budget import Budget
from gym_core.engine.observers.run_observers import RunObservers
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.store import ResultStore
from gym_core.engine.storage.summary import summarize
from gym_core.engine.tasks.check import SourceInfo
from gym_core.wiring.secrets import Redactor


@dataclass(slots=True)
class Record:
    """The account of a run. Where `store` is given it stands in files, too. Secrets are masked in all of it."""

    manifest: Manifest
    store: ResultStore | None
    redactor: Redactor
    observers: RunObservers
    progress: Progress
    tasks: SourceInfo
    budget: Budget | None = None

    @property
    def output(self) -> str | None:
        """Where its rows are."""
        return str(self.store.outputs.rows) if self.store is not None else None

    def described(self) -> Any:
        """The manifest as it stands on disk."""
        return self.masked(self.manifest.to_wire())

    def masked(self, value: Any) -> Any:
        """Settings or a summary as plain JSON, secrets masked."""
        return masked(self.redactor, value)

    def begin(self) -> None:
        """Write the manifest. Raises `StoreError`."""
        if self.store is not None:
            self.store.write_json(self.store.outputs.manifest, self.described())

    def start(self, notices: Sequence[str]) -> None:
        """Tell observers that the first rollout is about to begin."""
        info = RunInfo(self.manifest.run_id, self.described(), self.output or "", self.progress.total)
        self.observers.start(info, [*filter(None, [self.tasks.read_as]), *notices])

    def complete(self, dataset: Mapping[str, Any]) -> None:
        """Write the manifest with what has become known of the tasks. Raises `StoreError`."""
        self.manifest = replace(self.manifest, dataset=dataset)
        self.begin()

    def write_group(self, group: Group) -> None:
        """Append what a group came to. Raises `StoreError`, `JsonError`."""
        if self.store is not None:
            self.store.write_group(group)

    async def flush(self) -> None:
        """Have all rows on the disk. Raises `StoreError`."""
        if self.store is not None:
            await self.store.flush()

    async def end(
        self,
        state: str,
        message: str,
        error: BaseException | None,
        *,
        health: Mapping[str, Any] = MappingProxyType({}),
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> tuple[dict[str, Any], StoreError | None]:
        """Write the summary, and tell observers; returns it, and what kept it from being written.

        `state` and `message`: see `summarize`. `error`: what ended the run early. `health`: what is known of it besides
        what observers say; `further`: what the summary says besides the usual.
        """
        summary: dict[str, Any] = self.masked(
            summarize(
                self.progress,
                run_id=self.manifest.run_id,
                state=state,
                message=message,
                source=self.tasks,
                output=self.output,
                budget=self.budget.to_wire() if self.budget is not None else None,
                health={**self.observers.health(), **health},
            )
            | {**further}
        )
        unwritten: StoreError | None = None
        if self.store is not None:
            try:
                self.store.write_json(self.store.outputs.summary, summary)
            except StoreError as failed:
                unwritten = failed
        await self.observers.finish(summary, error or unwritten)
        return summary, unwritten


def masked(redactor: Redactor, value: Any) -> Any:
    """A value as plain JSON, secrets masked."""
    return redactor.settings(parse_json(encode_json(value, fallback=str)))
