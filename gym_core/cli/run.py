"""`gym run`: from options to a `RunConfig`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from gym_core.cli.configuration import Configuration, config_options
from gym_core.cli.parameters import (
    component_options,
    component_settings,
    concurrency_option,
    debug_option,
    disable_option,
    given_deadlines,
    given_options,
    json_option,
    parse_models,
    setting_option,
    task_id_option,
    timeout_options,
)
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import UsageError
from gym_core.engine.standard_streams import is_terminal
from gym_core.wiring.config_file import PLACES, POLICY
from gym_core.wiring.plugin_source import VenvMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from gym_core.engine.config import RunConfig


@click.command()
@component_options(
    model="The model, or one for a role. A run needs one.",
    env="The environment: [DIST/]NAME[:SELECTOR], a URL, or FILE.py[:CLASS]. A run needs one.",
    agent="The agent; by default the one the environment prefers.",
)
@click.option(
    "--input",
    "input_",
    metavar="FILE",
    help="Tasks as JSON lines (.gz, .zst, - for stdin), or in what form the environment reads, instead of its own.",
)
@task_id_option
@click.option("--output", metavar="FILE", help="Where rows go, a .jsonl file; by default a fresh one under results/.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Only the first N tasks.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=1,
    metavar="K",
    show_default=True,
    help="Rollouts per task: all tasks once, then all again.",
)
@click.option(
    "--group/--no-group",
    default=None,
    help="Run the rollouts of a task together, as a group; by default where the environment scores groups.",
)
@concurrency_option()
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    show_default=True,
    help="Processes that share the rollouts, for more than one core.",
)
@click.option(
    "--executor",
    metavar="REF",
    default="workers",
    show_default=True,
    help="Where the workers are: on this machine, or where a plugin starts them.",
)
@click.option(
    "--gateway",
    metavar="REF",
    default="http",
    show_default=True,
    help="Where programs reach the models and tools of rollouts; opened when one asks.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Seed of sessions and, where the endpoint takes one, of the model.",
)
@component_settings
@setting_option("-G", "the gateway", "gateway_options")
@setting_option("-X", "the executor", "executor_options")
@click.option("--resume", is_flag=True, help="Continue an output: run what it lacks.")
@click.option("--retry-failed", is_flag=True, help="With --resume: run the failed rollouts again, too.")
@click.option("--accept-changes", is_flag=True, help="With --resume: go on although settings differ.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--skip-invalid/--no-skip-invalid", help="Leave broken input rows out and count them.")
@timeout_options
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Stop before all models together take more than N tokens, input and output.",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="Stop before all models together cost more.",
)
@click.option(
    "--max-rollout-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="Cut a rollout whose policy has taken N tokens, input and output; it is verified.",
)
@click.option("--prices", metavar="FILE", help="USD per million tokens by model, TOML or JSON; goes over those known.")
@click.option(
    "--by",
    metavar="FIELD",
    multiple=True,
    help="The reward per value of a field of the rows, a dotted path. Repeatable.",
)
@click.option("--fail-under", type=float, metavar="X", help="Exit with 4 when the mean reward is below X.")
@click.option(
    "--finish-at",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="FRACTION",
    help="Let the last rollouts go once this share has finished; --resume runs them again.",
)
@click.option("--extension", "extensions", metavar="NAME", multiple=True, help="Switch an extension on. Repeatable.")
@click.option("--log-file", metavar="FILE", help="Append a log of the run, as JSON lines.")
@click.option("-v", "--verbose/--no-verbose", help="Show the log on standard error, too.")
@click.option("--quiet/--no-quiet", help="No progress and no tables; errors are still shown.")
@click.option("--yes", "-y", is_flag=True, help="Make the venv that the environment lives in without asking.")
@config_options
@json_option("Print the summary as JSON to standard output.")
@disable_option
@debug_option
@pass_terminal
def run(terminal: Terminal, /, **options: Any) -> int:
    """Run an agent with a model on an environment's tasks and write one row per rollout.

    Exit status: 0 every rollout has a verdict, 1 some failed, or some groups, 2 the command or its configuration was
    wrong, 3 the run stopped early, 4 the mean reward is below --fail-under or there is none, 130 and 143 it was
    interrupted. Where several hold, 130 and 143 come first, then 3, 4 and 1.
    """
    from gym_core.cli.running import execute

    as_json, quiet = options.pop("as_json"), options.pop("quiet")
    fail_under, verbose = options.pop("fail_under"), options.pop("verbose")
    configuration: Configuration = options["configuration"]
    if configuration.file is not None and not quiet:
        for notice in configuration.file.notices:
            terminal.note(f"{configuration.file.name}: {notice}")
    yes = options.pop("yes")
    config = to_config(options, terminal.note)
    try:
        return execute(terminal, config, quiet=quiet, as_json=as_json, fail_under=fail_under, verbose=verbose)
    except VenvMissing as missing:  # before anything was made or paid for
        if not yes and not is_terminal(sys.stdin):
            raise
        from gym_core.cli.install import isolating

        if status := isolating(terminal, yes=yes).make_venv(missing.plugin, missing.venv):
            return status
    return execute(terminal, config, quiet=quiet, as_json=as_json, fail_under=fail_under, verbose=verbose)


def to_config(options: dict[str, Any], warn: Callable[[str], None] = lambda message: None) -> RunConfig:
    """The run that the options of the command line ask for. Raises `UsageError`."""
    from gym_core.engine.config import Components, Invocation, RunSettings, run_config

    if options["resume"] and options["overwrite"]:
        raise UsageError("--resume and --overwrite contradict each other", hint="give one of them")
    for flag in ("retry_failed", "accept_changes"):
        if options[flag] and not options["resume"]:
            raise UsageError(f"--{flag.replace('_', '-')} goes with --resume")
    if options["resume"] and options["output"] is None:
        raise UsageError("--resume needs to know what to continue", hint="--output FILE")
    configuration: Configuration = options["configuration"]
    models = configuration.all_models(parse_models(options["models"]))
    if not options["agent"]:  # one that is named may bring its own
        Components(models=models, env=options["env"] or None).require_parts()
    file = configuration.file
    settings: dict[str, Any] = {name: options[name] for name in RunSettings.__annotations__ if name in options}
    settings |= {name: options[name] or None for name in ("env", "sandbox", "task_id")}
    settings |= {name: tuple(filter(None, options[name])) for name in ("by", "extensions")}
    settings |= given_options(options, models)
    settings["output"] = options["output"] or fresh_output(options["env"] or options["agent"], models.get(POLICY))
    return run_config(
        **settings,
        models=models,
        input=options["input_"],
        mode="resume" if options["resume"] else "overwrite" if options["overwrite"] else "new",
        deadlines=given_deadlines(options),
        disabled_plugins=tuple(filter(None, options["disabled"])),
        configured=configuration.components(models, {place: options[place] for place in PLACES}, warn),
        invocation=Invocation(
            argv=tuple(sys.argv[1:]),
            made_from={"the configuration": file.path} if file is not None and file.path is not None else {},
        ),
    )


def fresh_output(reference: str, model: str | None = None) -> str:
    """A file under `results/` that does not exist yet, named after a component and the model."""
    from datetime import datetime
    from pathlib import Path

    named = [_name_of(reference) or "run", *filter(None, [_name_of(model, selected=True) if model else ""])]
    stem = f"results/{'-'.join(named)}-{datetime.now():%Y%m%d-%H%M%S}"
    path, number = Path(f"{stem}.jsonl"), 1
    while path.exists() or path.with_suffix(".run.json").exists():
        number += 1
        path = Path(f"{stem}-{number}.jsonl")
    return str(path)


def _name_of(text: str, *, selected: bool = False) -> str:
    """A reference as a part of a file's name; `selected`: by its selector, where it has one."""
    from gym_core.wiring.reference import Reference

    try:
        reference = Reference.parse(text)
    except UsageError:
        named = text  # refused in a moment
    else:
        named = reference.name
        if reference.url is not None:
            scheme, _, rest = reference.url.partition(":")
            named = rest.rpartition("/")[2] if scheme.lower() == "unix" else rest.strip("/").partition("/")[0]
        elif selected and reference.selector is not None:
            named = reference.selector.rpartition("/")[2]
    return re.sub(r"[^\w.]+", "-", named).strip("-.")[:80]
