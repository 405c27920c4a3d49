"""`gym config`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from gym_core.cli.configuration import Configuration, key_of, origin_of
from gym_core.cli.parameters import given_options, parse_models
from gym_core.cli.run import run, to_config
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.json_text import encode_json
from gym_core.wiring.config_file import AGENT, ELSEWHERE, ENV, EXECUTOR, GATEWAY, HTTP, PLACES, POLICY, option_table
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.wiring.making import Maker

TITLES = ("KEY", "VALUE", "ORIGIN")


@dataclass(frozen=True, slots=True)
class _Row:
    key: str
    value: Any
    origin: str


# the help of `--json` is the only one that means something else here
_PARAMETERS = [parameter for parameter in run.params if parameter.name != "as_json"]


@click.command(
    "config", params=[*_PARAMETERS, click.Option(["--json", "as_json"], is_flag=True, help="Print a JSON list.")]
)
@pass_terminal
@click.pass_context
def show(ctx: click.Context, terminal: Terminal, /, **options: Any) -> None:
    """Show every value of a run with its origin, and start nothing.

    It takes the options of `gym run`. An origin is the command line, a file, a variable of the environment, the part of
    a reference after its colon, or the default. Secrets are masked. Plugins that the run names are imported.
    """
    as_json = options.pop("as_json")
    configuration: Configuration = options["configuration"]
    if configuration.file is not None:
        for notice in configuration.file.notices:
            terminal.note(f"{configuration.file.name}: {notice}")
    given = parse_models(options["models"])
    models = configuration.all_models(given)
    if POLICY in models and options["env"]:
        to_config(options)  # what `gym run` would refuse
    rows = [_Row(f"models.{role}", text, configuration.model_origin(role, given)) for role, text in models.items()]
    rows += _run_rows(ctx, configuration, options)
    rows += _component_rows(terminal, configuration, models, options)
    if as_json:
        terminal.out_json([asdict(row) for row in rows])
        return
    terminal.table(TITLES, [(row.key, _text(row.value), row.origin) for row in rows])
    for missing, flag in (("model", POLICY not in models), ("environment", not options["env"])):
        if flag:
            terminal.note(f"no {missing} is set; its options are not shown")


def _run_rows(ctx: click.Context, configuration: Configuration, options: Mapping[str, Any]) -> Iterator[_Row]:
    for parameter in _PARAMETERS:
        key, name = key_of(parameter), parameter.name
        if key is None or name is None or name not in options or key == "model" or key in ELSEWHERE:
            continue
        if key == "agent" and not options[name] and options["env"]:
            continue  # the environment prefers one
        value = options[name]
        yield _Row(key, list(value) if isinstance(value, tuple) else value, origin_of(ctx, configuration, name))


def _component_rows(
    terminal: Terminal, configuration: Configuration, models: Mapping[str, str], options: Mapping[str, Any]
) -> Iterator[_Row]:
    from gym_core.engine.config import WORKERS
    from gym_core.wiring.manager import PluginManager

    manager = PluginManager(tuple(filter(None, options["disabled"])))
    components: dict[str, str] = {place: options[place] for place in PLACES}
    maker = configuration.maker(terminal, manager, models=models, **components)
    given = given_options(options, models)
    for role, text in models.items():
        yield from _resolved(maker, Kind.MODEL, text, given["model_options"].get(role, {}), option_table(role), role)
    # a run makes neither before it is needed
    unneeded = {
        GATEWAY: components[GATEWAY] == HTTP,
        EXECUTOR: components[EXECUTOR] == WORKERS and options["workers"] == 1,
    }
    for place, kind in PLACES.items():
        reference, table = components[place], option_table(place)
        if unneeded.get(place) and not given[table] and place not in maker.configured:
            continue
        if place == AGENT and not reference and components[ENV]:
            reference = manager.load(Kind.RESOURCE_SERVER, components[ENV]).component.preferred_agent
            yield _Row(AGENT, reference, f"preference of {components[ENV]}")
        if reference:
            yield from _resolved(maker, kind, reference, given[table], table)


def _resolved(
    maker: Maker, kind: Kind, text: str, given: Mapping[str, Any], table: str, role: str = ""
) -> Iterator[_Row]:
    """The options of one component as a run would give them to it. It is made, since it may know further secrets."""
    from gym_core.wiring.fields import secret_fields
    from gym_core.wiring.options import DEFAULT
    from gym_core.wiring.secrets import MASK

    resolved = maker.make(kind, text, given, role=role).resolved
    plain = resolved.options.model_dump(mode="json")
    secret = secret_fields(type(resolved.options))
    for option, value in plain.items():
        origin = resolved.origins[option]
        if option in secret:
            value = MASK if origin != DEFAULT else None
        value = maker.redactor.settings(value, option)
        yield _Row(f"{table}.{option}", value, origin)


def _text(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, str):
        return value
    return encode_json(value).decode()
