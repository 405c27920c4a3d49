"""`gym import`."""

from __future__ import annotations

from pathlib import Path

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, disable_option, parse_settings, pass_terminal


@click.command("import")
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--format", "format_", metavar="NAME", required=True, help="Whose configuration it is, such as nemo.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Where to write; by default stdout.")
@click.option("--agent", metavar="NAME", help="Which agent of several.")
@click.option("--dataset", metavar="NAME", help="Which dataset, by its name or its type.")
@click.option("--url", "urls", metavar="NAME=URL", multiple=True, help="Where the server of a name runs. Repeatable.")
@disable_option
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
    disabled: tuple[str, ...],
) -> None:
    """Turn the configuration of another system into a run file.

    FILE... are its files, each laid over those before it, or what else the format takes in place of one. What a run
    file cannot say is listed. Which systems are known, `gym plugins list --kind importer` tells.
    """
    from gym_core.spi import ImportRequest, Kind, PluginManager, refuse_collisions, refuse_of_a_run

    importer = PluginManager(disabled).load(Kind.IMPORTER, format_).component
    refuse_collisions([("the configuration", file) for file in files], [])
    if output is not None:
        if output.exists():
            raise UsageError(f"{output} exists already", hint="remove it, or name another file")
        refuse_of_a_run("the output", output)
    folder = None if output is None else output.resolve().parent
    run = importer.run_file(ImportRequest(files, agent, dataset, parse_settings(urls, "--url"), folder))
    for notice in run.notices:
        terminal.note(notice)
    if output is None:
        terminal.out(run.text.rstrip("\n"))
        return
    for name, text in run.files.items():
        _write(output.with_name(name), text, again=True)
    _write(output, run.text)
    terminal.note(f"run it with:\n  gym run --config {output}")


def _write(path: Path, text: str, *, again: bool = False) -> None:
    """Write a new file. `again`: one that is there already with the same text is left as it is."""
    try:
        if again and path.exists() and path.read_bytes() == text.encode():
            return
        with path.open("x", encoding="utf-8", newline="\n") as written:
            written.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="remove it, or write into another folder") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
