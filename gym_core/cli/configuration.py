"""Where the options of a run come from: a file, then `GYM_RUN_*` variables over it, then the command line over both."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from gym_core.cli.parameters import all_of, parse_models
from gym_core.cli.terminal import Terminal
from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.config_file import ELSEWHERE, MANIFEST, ConfigFile, Configured, find_project_config, read_config

if TYPE_CHECKING:
    from gym_core.wiring.making import Maker
    from gym_core.wiring.manager import PluginManager

PREFIX = "GYM_RUN_"
_OFF = f"{__name__}.off"
_READ = f"{__name__}.read"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was configured outside of the command line.

    `models`: those of the environment, by role. `origins`: of the options that file or environment set, by the name of
    their parameter.
    """

    file: ConfigFile | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def all_models(self, given: Mapping[str, str]) -> dict[str, str]:
        """The models by role; `given` on the command line goes over what is configured."""
        return {**(self.file.models if self.file is not None else {}), **self.models, **given}

    def model_origin(self, role: str, given: Mapping[str, str]) -> str:
        """Where the model of a role comes from."""
        if role in given:
            return "command line"
        if role in self.models:
            return f"environment {PREFIX}MODEL"
        return self.file.origin if self.file is not None else "default"

    def components(
        self, models: Mapping[str, str], others: Mapping[str, str | None], tell: Callable[[str], None]
    ) -> dict[str, Configured]:
        """The options of components that a file gives, see `ConfigFile.configured`; what is left out is told."""
        configured, left_out = self.file.configured(models, others) if self.file is not None else ({}, [])
        for notice in left_out:
            tell(f"warning: {notice}")
        return configured

    def maker(
        self,
        terminal: Terminal,
        manager: PluginManager,
        *,
        models: Mapping[str, str] = MappingProxyType({}),
        **others: str | None,
    ) -> Maker:
        """Who makes these components as `gym run` would; `others` are by place (`env`, ...).

        What a file has for still others is left out, with a warning.
        """
        from gym_core.wiring.making import Maker

        return Maker(manager, terminal.redactor, configured=self.components(models, others, terminal.note))


def key_of(parameter: click.Parameter) -> str | None:
    """What a file calls an option; None for one that has no long form."""
    name = max(parameter.opts, key=len)
    return name[2:].replace("-", "_") if name.startswith("--") else None


def origin_of(ctx: click.Context, configuration: Configuration, name: str) -> str:
    """Where the value of a parameter comes from."""
    source = ctx.get_parameter_source(name)
    if source is ParameterSource.DEFAULT_MAP:
        return configuration.origins[name]
    return "command line" if source is ParameterSource.COMMANDLINE else "default"


def _switch_off(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and ctx.meta.get(_READ):
        raise _contradiction()
    ctx.meta[_OFF] = value


def _configure(ctx: click.Context, parameter: click.Parameter, path: str | None) -> Configuration:
    if ctx.resilient_parsing:
        return Configuration()
    if path and ctx.meta.get(_OFF):
        raise _contradiction()
    ctx.meta[_READ] = bool(path)
    options = settable(ctx.command)
    terminal = ctx.ensure_object(Terminal)
    file = read_file(terminal, path, off=bool(ctx.meta.get(_OFF)))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    models: dict[str, str] = {}
    if file is not None:
        for key in file.options:
            name = options[key].name or key
            values[name], origins[name] = _file_value(ctx, file, key, options[key]), file.origin
    for key, text in _variables(terminal, options):
        variable, name = PREFIX + key.upper(), options[key].name or key
        if key == "model":
            models = parse_models(tuple(_words(variable, text)), f"{variable}=")
        else:
            values[name], origins[name] = _variable_value(ctx, variable, text, options[key]), f"environment {variable}"
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return Configuration(file, models, origins)


def settable(command: click.Command) -> dict[str, click.Parameter]:
    """The options of a command that a file may set, by key."""
    return {key: option for option in command.params if (key := key_of(option)) and key not in ELSEWHERE}


def read_file(terminal: Terminal, path: str | None, *, off: bool) -> ConfigFile | None:
    """The file of a run, once `.env` is read; None where there is none. `off`: the usual one is left alone."""
    from gym_core.wiring.dotenv import load_dotenv

    terminal.redactor.add_variables(load_dotenv(), os.environ)
    if not path:
        return None if off else find_project_config()
    if path.endswith(MANIFEST):
        from gym_core.engine.storage.repeating import read_manifest

        return read_manifest(Path(path))
    return read_config(Path(path))


def _contradiction() -> UsageError:
    return UsageError("--config and --no-config contradict each other", hint="give one of them")


def _file_value(ctx: click.Context, file: ConfigFile, key: str, option: click.Parameter) -> Any:
    """A value of a file as the option takes it. Raises `UsageError`."""
    value, place = file.value(key), file.place(key)
    if isinstance(value, list):
        return [_converted(ctx, option, entry, place) for entry in value]
    return _converted(ctx, option, value, place)


def _converted(ctx: click.Context, option: click.Parameter, value: Any, place: str) -> Any:
    try:
        return option.type.convert(value, option, ctx)
    except click.BadParameter as error:
        message = error.message.rstrip(".")
        raise UsageError(f"{place}: {message[:1].lower()}{message[1:]}", hint=getattr(option, "help", "")) from error


def _variables(terminal: Terminal, options: Mapping[str, click.Parameter]) -> Iterator[tuple[str, str]]:
    """The options of a run that the environment sets, as text; an empty variable counts as not set."""
    known = {PREFIX + key.upper(): key for key in options}
    for variable in sorted(name for name in os.environ if name.startswith(PREFIX) and os.environ[name]):
        if variable in known:
            yield known[variable], os.environ[variable]
        elif guess := did_you_mean(variable, known, cutoff=0.8, shown=str):
            terminal.note(f"warning: {variable} is no option of `gym run`{guess}")


def _variable_value(ctx: click.Context, variable: str, text: str, option: click.Parameter) -> Any:
    if getattr(option, "multiple", False):
        return [_converted(ctx, option, word, variable) for word in _words(variable, text)]
    return _converted(ctx, option, text, f"{variable}={text:.80}")


def _words(variable: str, text: str) -> list[str]:
    """The words of a variable that holds several, separated by spaces and quoted as in a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{variable}: {error}", hint="quote words as in a shell") from error


config_options = all_of(
    click.option(
        "--config",
        "configuration",
        metavar="FILE",
        is_eager=True,
        callback=_configure,
        help="A TOML file with the options of the run, or a manifest (.run.json) to repeat. "
        "By default [tool.gym] of ./pyproject.toml, if there is one.",
    ),
    click.option(
        "--no-config",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_switch_off,
        help="Leave ./pyproject.toml alone.",
    ),
)
"""`--config` and `--no-config`; passes a `Configuration` as `configuration`."""
component_config_options = all_of(
    click.option(
        "--config",
        metavar="FILE",
        help="The file of a run that gives components their options: TOML, or a manifest. "
        "By default [tool.gym] of ./pyproject.toml, if there is one.",
    ),
    click.option("--no-config", "config", flag_value="", help="Leave ./pyproject.toml alone."),
)
"""`--config` and `--no-config` for a command that looks at components; passes `config`, for `read_components`."""


def read_components(terminal: Terminal, config: str | None) -> Configuration:
    """What a file, and `.env`, give the components of a run. `config`: a path, None for the usual one, empty for none.

    Raises `UsageError`.
    """
    return Configuration(read_file(terminal, config, off=config == ""))
