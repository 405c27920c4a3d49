"""What a shell completes. Components come from metadata; only options of a chosen one need its class, and import it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import Kind

_REFERENCES = {kind.flag: kind for kind in Kind if kind.usage.startswith("gym run ")}
_SETTINGS = {kind.setter: (flag, kind) for flag, kind in _REFERENCES.items() if kind.setter}
_ARGUMENTS = {("show", "name"): None, ("check", "reference"): Kind.RESOURCE_SERVER}

if TYPE_CHECKING:
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
            parameter.type = _Reference(_REFERENCES[flag])
        elif setter is not None:
            parameter.type = _Setting(command, *_SETTINGS[setter])
        elif (command.name or "", parameter.name or "") in _ARGUMENTS:
            parameter.type = _Reference(_ARGUMENTS[command.name or "", parameter.name or ""])
        elif metavar in ("FILE", "FILES", "PATH", "DIR"):
            parameter.type = click.Path(file_okay=metavar != "DIR")


class _Reference(_Type):
    """Names of plugins of a kind, of all kinds where it is None; paths of scripts."""

    name = "reference"

    def __init__(self, kind: Kind | None) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin so."""
        role, equals, typed = incomplete.rpartition("=")
        if typed.startswith((".", "/", "~")):
            return [CompletionItem(incomplete, type="file")]
        kinds = self.kind.accepted if self.kind is not None else tuple(Kind)
        return [
            CompletionItem(f"{role}{equals}{name}", help=plugin.summary)
            for plugin in find_plugins()
            if plugin.kind in kinds
            for name in [plugin.qualified_name if plugin.state == "conflict" else plugin.name]
            if plugin.state != "disabled" and name.startswith(typed)
        ]


class _Setting(_Type):
    """`KEY=` of a component that the command line names by a flag."""

    name = "setting"

    def __init__(self, command: click.Command, flag: str, kind: Kind) -> None:
        self.command = command
        self.flag = flag
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The options that begin so; of a model with a role `ROLE.KEY=`."""
        return [
            CompletionItem(setting, help=option.description)
            for prefix, reference in self._named(ctx)
            for option in _options(self.kind, reference)
            if (setting := f"{prefix}{option.name}=").startswith(incomplete)
        ]

    def _named(self, ctx: click.Context) -> Iterable[tuple[str, str]]:
        from gym_core.cli.parameters import parse_models
        from gym_core.domain.errors import UsageError

        option = next(parameter for parameter in self.command.params if self.flag in parameter.opts)
        given = ctx.params.get(option.name or "")
        if self.kind is not Kind.MODEL:
            return [("", given)] if given else []
        try:
            models = parse_models((given,) if isinstance(given, str) else tuple(given or ()))
        except UsageError:
            return []
        return [("" if role == "policy" else f"{role}.", reference) for role, reference in models.items()]


def _options(kind: Kind, reference: str) -> list[Any]:
    """The options of a component, of one that cannot be loaded none: who completes shows no errors."""
    from gym_core.wiring.fields import option_fields
    from gym_core.wiring.manager import PluginManager

    assert kind.is_component
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            loaded = PluginManager().load(kind, reference)
            return list(option_fields(loaded.component, loaded.reference.name))
    except Exception:
        return []
