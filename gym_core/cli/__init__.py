"""The command line. `app` knows the commands without importing them; each stands in a module of its own."""

from __future__ import annotations


def main() -> None:
    """The script `gym`: run the command that `sys.argv` names, and exit with its status."""
    import io
    import sys

    from gym_core.cli.boundary import run
    from gym_core.engine.exit import leave

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows another
    leave(run(sys.argv[1:]))
