"""Carrying a rescore out for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.cli.interrupts import SIGNALS
from gym_core.cli.reward_lines import mean_text
from gym_core.cli.running import Session, logged
from gym_core.cli.terminal import Terminal
from gym_core.domain.errors import RunStopped
from gym_core.engine.run.rescore import RescoreConfig, open_rescore
from gym_core.engine.run.run import Run


def execute(terminal: Terminal, config: RescoreConfig, *, quiet: bool, as_json: bool) -> int:
    """Verify a file again; returns the exit status."""
    with logged(terminal):
        opened = open_rescore(config, redactor=terminal.redactor)
        return _Session(terminal, opened, _way_on, quiet=quiet, as_json=as_json).carry_out()


def _way_on(error: BaseException | None, summary: Mapping[str, Any]) -> str:
    return "the output is incomplete; start again with --overwrite"


class _Session(Session):
    """One invocation of `gym rescore`."""

    subject = "it"

    def _begin(self, run: Run[Any]) -> None:
        """The command has said it all: a file, and what scored it."""

    def _print(self, summary: dict[str, Any]) -> None:
        super()._print(summary)
        compare(self.terminal, summary["rescored"])

    def _status(self, run: Run[Any], summary: dict[str, Any]) -> int:
        if self.interrupts.received is not None:
            return SIGNALS[self.interrupts.received]
        if run.error is not None:
            return RunStopped.exit_code
        return 1 if summary["rescored"]["failed"] or (summary["groups"] or {}).get("failed") else 0


def compare(terminal: Terminal, rescored: Mapping[str, Any]) -> None:
    """Print old and new mean, and how many rewards changed, on standard error."""
    lines = [("rescored", f"{rescored['rollouts']:,} rollouts, {rescored['changed']:,} rewards changed")]
    if rescored["failed"]:
        lines.append(("failed", f"{rescored['failed']:,} could not be verified again and have no reward now"))
    if rescored["carried_over"]:
        lines.append(("carried over", f"{rescored['carried_over']:,} that had failed before"))
    if rescored["rollouts"]:
        lines += [(f"reward {name}", mean_text(rescored[name])) for name in ("before", "after")]
        lines.append(("change", mean_text(rescored["change"])))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        terminal.note(f" {label:<{width}}  {text}")
