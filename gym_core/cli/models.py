"""`gym models`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gym_core.cli.configuration import component_config_options, read_components
from gym_core.cli.parameters import debug_option, disable_option, json_option, setting_option
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import ModelError, UsageError
from gym_core.domain.quoting import one_line
from gym_core.wiring.config_file import POLICY
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.contract.model import ModelBackend

SECONDS = 60.0
"""How long an endpoint may take to list its models."""


@click.command("models")
@click.option("-m", "--model", "reference", metavar="REF", required=True, help="The model backend: [DIST/]NAME.")
@setting_option("-M", "the model", "settings")
@json_option("Print a JSON list.")
@component_config_options
@disable_option
@debug_option
@pass_terminal
def list_models(
    terminal: Terminal,
    reference: str,
    settings: dict[str, str],
    as_json: bool,
    config: str | None,
    disabled: tuple[str, ...],
) -> None:
    """List the models that an endpoint offers."""
    from gym_core.cli.interrupts import Interrupts
    from gym_core.domain.blame import blaming
    from gym_core.wiring.manager import PluginManager

    maker = read_components(terminal, config).maker(terminal, PluginManager(disabled), models={POLICY: reference})
    made = maker.make(Kind.MODEL, reference, settings, role=POLICY)
    with blaming(made.loaded.plugin.distribution, "its models cannot be listed"):
        models = Interrupts(terminal).run(_listed(made.component))
    if as_json:
        terminal.out_json(models)
    else:
        for model in models:
            terminal.out(one_line(model))


async def _listed(backend: ModelBackend) -> list[str]:
    from gym_core.domain.abandoned import Late, within

    try:
        return sorted(await within(backend.list_models(), SECONDS, "the listing of models"))
    except Late:
        raise UsageError(f"the models were not listed within {SECONDS:g} s", hint="is the endpoint well?") from None
    except ModelError as error:
        raise UsageError(error.message, hint=error.hint or error.remedy) from error
