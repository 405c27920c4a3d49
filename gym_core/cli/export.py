"""`gym export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gym_core.cli.parameters import debug_option
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import UsageError

if TYPE_CHECKING:
    from gym_core.nemo.export import Export


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(["nemo"]), required=True, help="Whose rows to write: NeMo Gym's."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default stdout.")
@debug_option
@pass_terminal
def export(terminal: Terminal, file: Path, format_: str, output: Path | None) -> None:
    """Write the rollouts of a results file as rows that the tools of others read.

    FILE is what `gym run` wrote. Rollouts without a reward are left out, and counted.
    """
    from gym_core.engine.storage.collisions import of_a_run, refuse_collisions, refuse_of_a_run
    from gym_core.nemo.export import Export

    refuse_collisions(of_a_run(file), [])
    rows = Export(file)
    if output is None:
        for line in rows.lines():
            terminal.out_json_line(line)
    else:
        refuse_of_a_run("the output", output)
        _write(rows, output)
        terminal.note(f"rows in {output}: {rows.written:,}")
    if rows.without_reward:
        terminal.note(f"left out, without a reward: {rows.without_reward:,}")


def _write(rows: Export, output: Path) -> None:
    """Write a file whole or not at all."""
    try:
        with output.open("xb") as written:
            try:
                written.writelines(line + b"\n" for line in rows.lines())
                written.flush()
            except BaseException:
                output.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise UsageError(f"{output} exists already", hint="remove it, or name another file") from None
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error
