"""Carrying a rescore out for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core.cli.interrupts import Interrupts
from gym_core.cli.running import carry_out, logged
from gym_core.cli.terminal import Terminal
from gym_core.engine.run.rescore import open_rescore


def execute(terminal: Terminal, settings: dict[str, Any], *, quiet: bool, as_json: bool) -> int:
    """Verify a file again; returns the exit status. `settings`: what `open_rescore` takes."""
    interrupts = Interrupts(terminal)
    with logged(terminal):
        opened = open_rescore(**settings, redactor=terminal.redactor)
        return interrupts.run(
            # the command has said it all: a file, and what scores it
            carry_out(terminal, interrupts, opened, _way_on, quiet=quiet, as_json=as_json, subject="it", header=False)
        )


def _way_on(error: BaseException | None, summary: Mapping[str, Any]) -> str:
    return "the output is incomplete; start again with --overwrite"
