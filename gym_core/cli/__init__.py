"""The command line. `app` knows the commands without importing them; each stands in a module of its own."""

from __future__ import annotations


def main() -> None:
    """The script `gym`: run the command that `sys.argv` names, and exit with its status."""
    from gym_core.engine.standard_streams import open_missing

    open_missing()
    import os
    import sys

    from gym_core.cli.boundary import run_command
    from gym_core.cli.terminal import Terminal
    from gym_core.engine.exit import leave

    terminal = Terminal()
    status = run_command(sys.argv[1:], terminal)
    # what plugins print from here on, and what C libraries have kept back, is no part of the output either
    sys.stdout = sys.stderr = terminal.stderr
    os.dup2(2, 1)
    leave(status)
