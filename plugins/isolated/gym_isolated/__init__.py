"""Plugins in environments of their own, each in a child process, used as if they were installed here."""

from __future__ import annotations

from pathlib import Path


def packages_folder(distribution: str, venv: str) -> Path | None:
    """Where the packages lie in the venv that a component of a distribution lives in; None where that is not made."""
    from gym_isolated.records import libraries_of, read_environment, record_name, store_folder

    made = read_environment(store_folder() / record_name(distribution, venv))
    return None if made is None else libraries_of(made.folder)
