"""`gym rescore`: from options to what `open_rescore` takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from gym_core import UsageError
from gym_core.spi import (
    Terminal,
    concurrency_option,
    debug_option,
    disable_option,
    given_options,
    json_option,
    parse_models,
    pass_terminal,
    sandbox_option,
    sandbox_settings,
    setting_option,
)


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--env", metavar="REF", help="The environment; by default the one that FILE came from, with its options.")
@setting_option("-E", "the environment", "env_options")
@click.option("-m", "--model", "models", metavar="ROLE=REF", multiple=True, help="A model that the verifier asks.")
@setting_option("-M", "such a model", "model_options", "ROLE.KEY=VALUE")
@sandbox_option("What makes the sandboxes of the sessions; by default as in FILE's run.")
@sandbox_settings
@click.option("--output", metavar="FILE", help="Where rows go; by default beside FILE, ending in .rescored.jsonl.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@concurrency_option()
@click.option("--quiet", is_flag=True, help="No progress and no tables; errors are still shown.")
@json_option("Print the summary as JSON to standard output.")
@disable_option
@debug_option
@pass_terminal
def rescore(terminal: Terminal, /, **options: Any) -> int:
    """Verify stored rollouts again, without a model.

    FILE is what `gym run --output` wrote. For each row a fresh session gets the recorded calls and its verifier judges
    again; a session that answers otherwise than recorded makes the row a failure. Exit status: 0 every row has a new
    verdict, 1 some failed, 2 the command was wrong, 3 it stopped early, 130 and 143 it was interrupted.
    """
    from gym_core.spi import run_in_terminal
    from gym_results.rescoring import open_rescore

    as_json, quiet = options.pop("as_json"), options.pop("quiet")
    opened = open_rescore(**_settings(options), redactor=terminal.redactor)
    # the command has said it all: a file, and what scores it
    return run_in_terminal(terminal, opened, _way_on, quiet=quiet, as_json=as_json, subject="it", header=False)


def _way_on(error: BaseException | None, summary: Mapping[str, Any]) -> str:
    return "the output is incomplete; start again with --overwrite"


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """What the options of the command line ask for. Raises `UsageError`."""
    models = parse_models(options["models"])
    given = given_options(options, models)
    lost = next(iter(given["model_options"].get("policy", {})), None)
    if lost is not None and "policy" not in models:
        roles = ", ".join(models) or "none is given"
        raise UsageError(f"-M {lost}: it names no role of --model ({roles})", hint="-M ROLE.KEY=VALUE")
    return {
        **{name: options[name] for name in ("file", "env", "sandbox", "output", "concurrency")},
        **given,
        "models": models,
        "mode": "overwrite" if options["overwrite"] else "new",
        "disabled_plugins": options["disabled"],
        "argv": tuple(sys.argv[1:]),
    }
