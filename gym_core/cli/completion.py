"""What a shell completes. Components come from metadata; only options of a chosen one need its class, and import it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from gym_core.wiring.config_file import POLICY
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import Kind

# agents come last: what names one names a runner, too
_REFERENCES = {kind.flag: kind for kind in reversed(Kind) if kind.usage.startswith("gym run ")}
_SETTINGS = {kind.setter: (flag, kind) for flag, kind in _REFERENCES.items() if kind.setter}
_ARGUMENTS = {("show", "name"): None, ("check", "reference"): Kind.RESOURCE_SERVER}

if TYPE_CHECKING:
    from gym_core.wiring.fields import OptionField

    _Type = click.ParamType[str]
else:  # older ones take no parameter
    _Type = click.ParamType


def teach(command: click.Command) -> None:
    """Have the parameters of a command complete what they take. For a process that does nothing but complete."""
    for parameter in command.params:
        names = {*parameter.opts, *parameter.secondary_opts}
        flag = next((name for name in names if name in _REFERENCES), None)
        setter = next((name for name in names if name in _SETTINGS), None)
        metavar = (parameter.metavar or "").rstrip(".").strip("[]")
        if flag is not None:
            parameter.type = _Completed(_references, _REFERENCES[flag])
        elif setter is not None:
            parameter.type = _Completed(_settings, command, *_SETTINGS[setter])
        elif (command.name or "", parameter.name or "") in _ARGUMENTS:
            parameter.type = _Completed(_references, _ARGUMENTS[command.name or "", parameter.name or ""])
        elif metavar in ("FILE", "FILES", "PATH", "DIR"):
            parameter.type = click.Path(file_okay=metavar != "DIR")


class _Completed(_Type):
    """What a function completes, given what is typed by now and the context, after further arguments."""

    name = "text"

    def __init__(self, complete: Callable[..., Iterable[CompletionItem]], *arguments: Any) -> None:
        self.complete = complete
        self.arguments = arguments

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin so."""
        return list(self.complete(*self.arguments, incomplete, ctx))


def _references(kind: Kind | None, incomplete: str, ctx: click.Context) -> Iterator[CompletionItem]:
    """Names of plugins of a kind, of all kinds where it is None; paths of scripts."""
    role, equals, typed = incomplete.rpartition("=")
    if typed.startswith((".", "/", "~")):
        yield CompletionItem(incomplete, type="file")
        return
    kinds = kind.accepted if kind is not None else tuple(Kind)
    for plugin in find_plugins():
        name = plugin.qualified_name if plugin.state == "conflict" else plugin.name
        if plugin.kind in kinds and plugin.state != "disabled" and name.startswith(typed):
            yield CompletionItem(f"{role}{equals}{name}", help=plugin.summary)


def _settings(
    command: click.Command, flag: str, kind: Kind, incomplete: str, ctx: click.Context
) -> Iterator[CompletionItem]:
    """`KEY=` of a component that the command line names by a flag; of a model with a role `ROLE.KEY=`."""
    from gym_core.cli.parameters import parse_models
    from gym_core.domain.errors import UsageError

    option = next(parameter for parameter in command.params if flag in parameter.opts)
    given = ctx.params.get(option.name or "") or ()
    try:
        named = parse_models((given,) if isinstance(given, str) else tuple(given))
    except UsageError:
        return
    for role, reference in named.items():
        prefix = "" if role == POLICY else f"{role}."
        for setting in _options(kind, reference):
            if (text := f"{prefix}{setting.name}=").startswith(incomplete):
                yield CompletionItem(text, help=setting.description)


def _options(kind: Kind, reference: str) -> list[OptionField]:
    """The options of a component, of one that cannot be loaded none: who completes shows no errors."""
    from gym_core.wiring.fields import option_fields
    from gym_core.wiring.manager import PluginManager

    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            loaded = PluginManager().load(kind, reference)
            return option_fields(loaded.component, loaded.reference.name)
    except Exception:
        return []
