"""`gym export`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from gym_core import UsageError
from gym_core.spi import Terminal, debug_option, disable_option, pass_terminal, setting_option
from gym_results.options import COUNT, condition_option

if TYPE_CHECKING:
    from gym_core import Component, Options
    from gym_core.spi import Exporter
    from gym_results.export_selection import ExportSelection


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "format_", metavar="NAME", required=True, help="Whose rows to write, such as nemo.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write; a name that ends in .parquet or .csv means a table. By default JSON lines on stdout.",
)
@condition_option("--select")
@click.option("--best", type=COUNT, metavar="K", help="Of each task the K with the highest rewards.")
@click.option(
    "--pairs",
    type=COUNT,
    metavar="K",
    help="Of each task K pairs: the best with the worst, then the next, as long as their rewards differ.",
)
@click.option("--drop-flat-groups", is_flag=True, help="Leave out tasks whose rollouts all have the same reward.")
@click.option(
    "--breaks",
    type=click.Choice(["split", "drop", "refuse"]),
    default="split",
    show_default=True,
    help="Where tokens were encoded anew: a sequence of each part, leave the rollout out, or end with an error.",
)
@setting_option("-O", "the format", "settings", "NAME=VALUE")
@disable_option
@debug_option
@pass_terminal
def export(
    terminal: Terminal,
    /,
    file: Path,
    format_: str,
    output: Path | None,
    settings: dict[str, str],
    disabled: tuple[str, ...],
    **selection: Any,
) -> None:
    """Write the rollouts of a run as rows that the tools of others read.

    FILE is what `gym run` wrote. The reward is that of a rollout's group where it was scored. Rollouts without one are
    left out, and counted, unless the format can say that one failed. Which formats there are is told by
    `gym plugins list --kind exporter`, and the options of one by `gym plugins show NAME`.
    """
    from gym_core.spi import ExportRequest, Kind, PluginManager, refuse_of_a_run
    from gym_results.export_file import export_lines, refuse_existing, write_export
    from gym_results.export_selection import SelectedRollouts
    from gym_results.reading import ResultsFile, StoredRequests, refuse_writes_to_runs

    exporter: Exporter = PluginManager(disabled).load(Kind.EXPORTER, format_).component
    options = _options(exporter, format_, settings)
    wanted = _selection(exporter, options, **selection)
    refuse_writes_to_runs([file])
    if output is not None:
        refuse_of_a_run("the output", output)
        refuse_existing(output)
    terminal.redactor.add_variables(os.environ, os.environ)
    redact = terminal.redactor.redact_bytes
    results = ResultsFile(file, redact, judged=True)
    rollouts = SelectedRollouts(results, wanted)
    request = ExportRequest(options, StoredRequests(results.outputs.tools, redact), rollouts.leave_out)
    rollouts.check_fields()
    columns = _columns(exporter, format_, output, rollouts, request)
    rows = exporter.rows(rollouts, request)
    if output is None:
        for line in export_lines(rows, columns):
            terminal.out_json_line(line)
    else:
        terminal.note(f"rows in {output}: {write_export(output, rows, columns):,}")
    for why, count in rollouts.left_out.items():
        terminal.note(f"left out, {why}: {count:,}")
    if results.groups.failed:
        terminal.note(
            f"groups that could not be scored, whose rollouts have their own rewards: {results.groups.failed:,}"
        )
    if results.torn:
        terminal.note(f"warning: {file}: the unfinished last line was left out")
    if exporter.untested:
        terminal.note(f"warning: {format_} is untested: {exporter.untested}")


def _selection(
    exporter: Exporter, options: Options, *, select: tuple[str, ...], pairs: int | None, **others: Any
) -> ExportSelection:
    from gym_results.conditions import Condition
    from gym_results.export_selection import ExportSelection

    where = tuple(Condition.parse(text, "--select") for text in select)
    if exporter.in_pairs and pairs is None:
        pairs = 1
    if pairs is not None and others["best"] is not None:
        raise UsageError("--best and --pairs exclude one another", hint="give one of them")
    return ExportSelection(where, pairs=pairs, failures=exporter.wants_failures(options), **others)


def _options(exporter: Exporter, name: str, settings: dict[str, str]) -> Options:
    from gym_core.spi import resolve_options

    options: Options = resolve_options(
        cast("type[Component]", type(exporter)), name, settings, environ={}, what="-O"
    ).options
    return options


def _columns(exporter: Exporter, name: str, output: Path | None, rollouts: Any, request: Any) -> Any:
    """The columns where a table is to be written. Raises `UsageError` for a format that has none."""
    from gym_results.export_file import TABLES

    suffix = output.suffix.lower() if output is not None else exporter.suffix
    if exporter.suffix and suffix != exporter.suffix:
        raise UsageError(f"{output}: {name} writes files that end in {exporter.suffix}", hint="name the output so")
    if suffix not in TABLES:
        return None
    if output is None and suffix != ".csv":
        raise UsageError(f"{name} goes to a file", hint=f"--output FILE{suffix}")
    columns = exporter.columns(rollouts, request)
    if columns is None:
        raise UsageError(f"the rows of {name} fit into no table", hint="an output that ends in .jsonl takes them")
    return columns
