"""What a run leaves on disk: its manifest, its rows, its summary. Nothing where it has no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gym_core.domain.group import Group
from gym_core.domain.json_text import encode_json, parse_json
from gym_core.engine.storage.manifest import Manifest
from gym_core.engine.storage.store import ResultStore
from gym_core.wiring.secrets import Redactor


class Record:
    """The manifest of a run and, where `store` is given, its files. Secrets are masked in all of it."""

    def __init__(self, manifest: Manifest, store: ResultStore | None, redactor: Redactor) -> None:
        self.manifest = manifest
        self.store = store
        self._redactor = redactor

    @property
    def output(self) -> str | None:
        """Where its rows are."""
        return str(self.store.outputs.rows) if self.store is not None else None

    def described(self) -> Any:
        """The manifest as it stands on disk."""
        return self.masked(self.manifest.to_wire())

    def masked(self, value: Any) -> Any:
        """Settings or a summary as plain JSON, secrets masked."""
        return masked(self._redactor, value)

    def begin(self) -> None:
        """Write the manifest. Raises `StoreError`."""
        if self.store is not None:
            self.store.write_json(self.store.outputs.manifest, self.described())

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

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write the summary, which is `masked`. Raises `StoreError`."""
        if self.store is not None:
            self.store.write_json(self.store.outputs.summary, summary)


def masked(redactor: Redactor, value: Any) -> Any:
    """A value as plain JSON, secrets masked."""
    return redactor.settings(parse_json(encode_json(value, fallback=str)))
