"""Options that several commands take."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gym_core.cli.terminal import Terminal
from gym_core.domain.errors import UsageError
from gym_core.wiring.config_file import POLICY, TIMEOUTS, split_roles
from gym_core.wiring.kinds import Kind

if TYPE_CHECKING:
    from gym_core.engine.bounds.deadlines import Deadlines

Command = TypeVar("Command", bound=Callable[..., Any])

_ONE_EACH = "make a run of each, and compare them with `gym stats A.jsonl B.jsonl`"
SECONDS = click.FloatRange(min=0, min_open=True)
"""The type of an option that is a number of seconds."""
_ROLE = re.compile(r"([A-Za-z_][\w-]*)=(.+)", re.DOTALL)
SANDBOXES = "What makes the sandboxes of an environment that runs commands in some."


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Terminal).debug = True


def _parse_kind(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Kind | None:
    return None if value is None else Kind.parse(value)


debug_option = click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error.",
)
"""`--debug`, which shows the traceback of whatever fails. The command itself is not passed anything."""
disable_option = click.option(
    "--disable-plugin",
    "disabled",
    metavar="NAME",
    multiple=True,
    help="Switch off a plugin: its name, its distribution, or DIST/NAME. Also: GYM_DISABLE_PLUGINS.",
)
"""`--disable-plugin`, passed as `disabled`."""
kind_option = click.option(
    "--kind",
    type=click.Choice(("env", "environment", *(kind.value for kind in Kind))),
    callback=_parse_kind,
    help="Only plugins of this kind; env and environment are resource_server.",
)
"""`--kind`, passed as a `Kind` or None."""
task_id_option = click.option(
    "--task-id",
    metavar="FIELD|line",
    help="What names a task: a field of the rows, a dotted path, or their lines; by default `task_id`, else `id`, "
    "else the line.",
)
"""`--task-id`, passed as `task_id`."""


def json_option(help: str) -> Callable[[Command], Command]:
    """`--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def refuse_several(ctx: click.Context, command: click.Command, name: str | None, arguments: Sequence[str]) -> None:
    """Raise `UsageError` where a reference is given twice that there is one of: the last one would win unseen."""
    inner = click.Context(command, info_name=name, parent=ctx, resilient_parsing=True, **command.context_settings)
    try:
        _, _, given = command.make_parser(inner).parse_args(list(arguments))
    except click.UsageError:
        return  # which is said when the command is invoked
    for parameter, count in Counter(given).items():
        takes_reference = isinstance(parameter, click.Option) and (parameter.metavar or "").endswith("REF")
        if count > 1 and takes_reference and not parameter.multiple:  # type: ignore[attr-defined,unused-ignore]
            raise UsageError(f"{parameter.opts[-1]} is given {count} times, and there is one", hint=_ONE_EACH)


def all_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one, in the order in which the help shows them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def component_options(*, model: str, env: str, agent: str) -> Callable[[Command], Command]:
    """`--model` or `-m`, passed as `models`, `--env`, `--agent` and `--sandbox`, with these helps."""
    return all_of(
        click.option("-m", "--model", "models", metavar="[ROLE=]REF", multiple=True, help=model),
        click.option("--env", metavar="REF", help=env),
        click.option("--agent", metavar="REF", help=agent),
        sandbox_option(),
    )


def sandbox_option(help: str = SANDBOXES) -> Callable[[Command], Command]:
    """`--sandbox`."""
    return click.option("--sandbox", metavar="REF", help=help)


def setting_option(flag: str, of: str, name: str, metavar: str = "KEY=VALUE") -> Callable[[Command], Command]:
    """`-E KEY=VALUE` and its like, passed as `name`: a mapping. `of`: whose options these are."""
    help = f"An option of {of}. Repeatable."
    return click.option(flag, name, metavar=metavar, multiple=True, callback=_as_mapping, help=help)


def _as_mapping(ctx: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    return parse_settings(pairs, parameter.opts[0])


sandbox_settings = setting_option("-S", "the sandbox", "sandbox_options")
"""`-S`, passed as `sandbox_options`."""
component_settings = all_of(
    setting_option("-M", "the model", "model_options", "[ROLE.]KEY=VALUE"),
    setting_option("-E", "the environment", "env_options"),
    setting_option("-A", "the agent", "agent_options"),
    sandbox_settings,
)
"""`-M`, `-E`, `-A` and `-S`, passed as `model_options`, `env_options`, `agent_options`, `sandbox_options`."""


def concurrency_option(default: int = 16, help: str = "Rollouts at once.") -> Callable[[Command], Command]:
    """`--concurrency`."""
    return click.option(
        "--concurrency", type=click.IntRange(min=1), default=default, metavar="C", show_default=True, help=help
    )


def _timeout_option(part: str, what: str) -> Callable[[Command], Command]:
    return click.option(f"--{part}-timeout", type=SECONDS, metavar="S", help=f"Seconds {what} may take.")


timeout_options = all_of(
    _timeout_option("rollout", "a rollout"),
    _timeout_option("tool", "a tool call"),
    _timeout_option("setup", "a setup"),
    _timeout_option("verify", "a verifier"),
)
"""How long the parts of a rollout may take; for `given_deadlines`."""


def given_deadlines(options: Mapping[str, Any]) -> Deadlines:
    """The bounds that `timeout_options` were given; the others are the usual ones."""
    from gym_core.engine.bounds.deadlines import Deadlines

    given = {name: options[name] for name in TIMEOUTS}
    return Deadlines(**{name.removesuffix("_timeout"): value for name, value in given.items() if value is not None})


def parse_settings(pairs: tuple[str, ...], flag: str) -> dict[str, str]:
    """The `key=value` of a repeatable option such as `-E`. Raises `UsageError`."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{flag} {pair}: this is no setting", hint=f"write {flag} KEY=VALUE")
        if key.strip() in settings:
            raise UsageError(f"{flag} {key.strip()} is given twice", hint="keep one of them")
        settings[key.strip()] = value
    return settings


def given_options(options: Mapping[str, Any], models: Mapping[str, str]) -> dict[str, Any]:
    """What `component_settings` and its like were given: `env_options` and so on, and `model_options` by role."""
    given = {name: value for name, value in options.items() if name.endswith("_options")}
    return {**given, "model_options": split_roles(given["model_options"], models)}


def parse_models(references: tuple[str, ...], flag: str = "--model ") -> dict[str, str]:
    """`[ROLE=]REF` as a mapping by role. Raises `UsageError`."""
    models: dict[str, str] = {}
    for text in references:
        named = _ROLE.fullmatch(text)
        role, reference = (named[1], named[2]) if named else (POLICY, text)
        if role in models and not named and role == POLICY:
            raise UsageError(
                f"{flag.strip(' =')} is given twice without a role: {models[role]} and {reference}",
                hint=f"{_ONE_EACH}; a further model of one run has a role, {flag}judge=REF",
            )
        if role in models:
            raise UsageError(f"{flag}{text}: there is a model for the role `{role}` already", hint="--model ROLE=REF")
        models[role] = reference
    return models
