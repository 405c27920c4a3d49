"""What a run is, said before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_core.cli.terminal import Terminal, styled

if TYPE_CHECKING:
    from gym_core.engine.run.run import Run


def print_header(terminal: Terminal, run: Run[Any]) -> None:
    """Print models, environment, agent, tasks and output of a run, a line each, on standard error."""
    for name, value in facts(run):
        terminal.note(styled(f"{name:<6}", bold=True), " ", value)


def facts(run: Run[Any]) -> Iterator[tuple[str, str]]:
    """The lines of the header."""
    settings = run.record.described()["settings"]
    for role, about in settings.get("models", {}).items():
        info = run.gates[role].info
        words = about["ref"] if info.model_id in about["ref"] else f"{about['ref']}, {info.model_id}"
        yield "model" if role == "policy" else role, words + (f" at {info.endpoint}" if "://" in info.endpoint else "")
    for kind in ("env", "agent"):
        if settings.get(kind):
            yield kind, settings[kind]["ref"]
    yield "tasks", _tasks(run, settings)
    if run.record.output is not None:
        yield "rows", _short(run.record.output)


def _tasks(run: Run[Any], settings: dict[str, Any]) -> str:
    total, repeats, kept = run.progress.total, run.progress.repeats, run.progress.kept
    name = run.source.info.name
    origin = "" if name == (settings.get("env") or {}).get("ref") else f" from {_short(name)}"
    times = f", {repeats} times each" if repeats > 1 else ""
    if total is None:
        return f"as many as there are{origin}{times}"
    rollouts = f": {total:,} rollouts" if repeats > 1 else ""
    done = f", {kept:,} of them done" if kept else ""
    return f"{total // repeats:,}{origin}{times}{rollouts}{done}"


def _short(path: str) -> str:
    """A path as it is typed: below this folder, where it is there."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
