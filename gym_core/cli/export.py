"""`gym export`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from gym_core.cli.parameters import debug_option, disable_option
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import UsageError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "format_", metavar="NAME", required=True, help="Whose rows to write, such as nemo.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default stdout.")
@disable_option
@debug_option
@pass_terminal
def export(terminal: Terminal, file: Path, format_: str, output: Path | None, disabled: tuple[str, ...]) -> None:
    """Write the rollouts of a results file as rows that the tools of others read.

    FILE is what `gym run` wrote. Rollouts without a reward are left out, and counted. Which formats there are,
    `gym plugins list --kind exporter` tells.
    """
    from gym_core.engine.storage.collisions import of_a_run, refuse_collisions, refuse_of_a_run
    from gym_core.engine.storage.rewarded import RewardedRows
    from gym_core.wiring.kinds import Kind
    from gym_core.wiring.manager import PluginManager

    exporter = PluginManager(disabled).load(Kind.EXPORTER, format_).component
    refuse_collisions(of_a_run(file), [])
    rows = RewardedRows(file)
    if output is None:
        for line in exporter.lines(rows):
            terminal.out_json_line(line)
    else:
        refuse_of_a_run("the output", output)
        _write(output, exporter.lines(rows))
        terminal.note(f"rows in {output}: {rows.given:,}")
    if rows.left_out:
        terminal.note(f"left out, without a reward: {rows.left_out:,}")


def _write(output: Path, lines: Iterable[bytes]) -> None:
    """Write a file whole or not at all."""
    try:
        with output.open("xb") as written:
            try:
                written.writelines(line + b"\n" for line in lines)
                written.flush()
            except BaseException:
                output.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise UsageError(f"{output} exists already", hint="remove it, or name another file") from None
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error
