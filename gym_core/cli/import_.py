"""`gym import`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gym_core.cli.parameters import debug_option, parse_settings
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import UsageError


@click.command("import")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--format", "format_", type=click.Choice(["nemo"]), required=True, help="Whose configuration it is: NeMo Gym's."
)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default stdout.")
@click.option("--agent", metavar="NAME", help="Which agent of several.")
@click.option("--dataset", metavar="NAME", help="Which dataset, by its name or its type.")
@click.option("--url", "urls", metavar="NAME=URL", multiple=True, help="Where the server of a name runs. Repeatable.")
@debug_option
@pass_terminal
def import_(
    terminal: Terminal,
    files: tuple[Path, ...],
    format_: str,
    output: Path | None,
    agent: str | None,
    dataset: str | None,
    urls: tuple[str, ...],
) -> None:
    """Turn the configuration of another system into a run file.

    FILE... are its YAML files, each laid over those before it: env.yaml, the model's, the environment's. The servers
    run elsewhere; keys are not copied. What a run file cannot say is listed.
    """
    from gym_core.engine.storage.collisions import refuse_collisions, refuse_of_a_run
    from gym_core.nemo.config_import import import_configuration
    from gym_core.nemo.run_file import run_file_text
    from gym_core.nemo.yaml_files import read_configuration

    refuse_collisions([("the configuration", file) for file in files], [])
    if output is not None:
        if output.exists():
            raise UsageError(f"{output} exists already", hint="remove it, or name another file")
        refuse_of_a_run("the output", output)
    run = import_configuration(
        read_configuration(files, os.environ),
        agent=agent,
        dataset=dataset,
        urls=parse_settings(urls, "--url"),
        folders=_folders(files),
    )
    for notice in run.notices:
        terminal.note(notice)
    if output is not None and "input" in run.options:
        # paths of a run file start from where it lies
        run.options["input"] = os.path.relpath(run.options["input"], output.resolve().parent)
    text = run_file_text(run, ", ".join(file.name for file in files))
    if output is None:
        terminal.out(text.rstrip("\n"))
        return
    try:
        with output.open("x", encoding="utf-8") as written:
            written.write(text)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error
    terminal.note(f"run it with:\n  gym run --config {output}")


def _folders(files: tuple[Path, ...]) -> list[Path]:
    """Where the paths of datasets may start: here, or at the root of the repository that a file is from."""
    folders = [Path()]
    for file in files:
        folders += [folder for folder in file.resolve().parents if folder not in folders]
    return folders
