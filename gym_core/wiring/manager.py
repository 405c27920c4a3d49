"""Loads the plugins that a run wires, and no others; one that is broken is named and leaves the rest as they were."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from types import ModuleType
from typing import Any

import pluggy

from gym_core.contract import hookspecs
from gym_core.domain.blame import asked_to_end
from gym_core.domain.errors import PluginError, UsageError, error_text
from gym_core.wiring.components import BrokenContract, offered_under
from gym_core.wiring.discovery import DISABLE_VARIABLE, Plugin, find_plugins
from gym_core.wiring.kinds import MAY_BE_ELSEWHERE, Kind
from gym_core.wiring.reference import Reference

_SPECIFIED = {name for name in vars(hookspecs) if name.startswith("gym_")}
_OFFERING = {kind.hook for kind in Kind}
_FORGOTTEN = "the function may be missing its `@gym_core.hookimpl`"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a plugin offers, a component's class as a rule, and where it came from."""

    component: Any
    plugin: Plugin
    reference: Reference


class PluginManager:
    """Finds plugins by reference and registers their modules with pluggy, each once.

    `disabled`: plugins that are switched off, see `find_plugins`. `pluggy`: the manager that holds the hooks.
    """

    def __init__(self, disabled: Iterable[str] = (), *, environ: Mapping[str, str] | None = None) -> None:
        self._disabled = tuple(disabled)
        self._environ = environ
        self.pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self.pluggy.add_hookspecs(hookspecs)

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The installed plugins, as they were when first asked for."""
        return find_plugins(disabled=self._disabled, environ=self._environ)

    def find(self, kind: Kind, reference: Reference | str) -> Plugin:
        """The one plugin that a reference means. Raises `UsageError` for none, several, or one that is off."""
        wanted = _parsed(reference)
        if wanted.url is not None and kind not in MAY_BE_ELSEWHERE:
            raise UsageError(f"{wanted}: an {kind.label} runs in this process", hint="name an installed one")
        named = [plugin for plugin in self.plugins if plugin.kind is kind and plugin.name == wanted.name]
        found = [plugin for plugin in named if wanted.distribution is None or plugin.belongs_to(wanted.distribution)]
        usable = [plugin for plugin in found if plugin.state != "disabled"]
        if len(usable) > 1:
            raise _ambiguous(usable)
        if usable:
            return usable[0]
        if found:
            raise UsageError(
                f"the {kind.label} {wanted.name!r} is switched off",
                hint=f"look at the variable {DISABLE_VARIABLE} and at --disable-plugin",
            )
        if named:
            raise UsageError(
                f"the distribution {wanted.distribution!r} offers no {kind.label} {wanted.name!r}",
                hint="there is " + " and ".join(plugin.qualified_name for plugin in named),
            )
        raise self._unknown(kind, wanted.name)

    def load(self, kind: Kind, reference: Reference | str) -> Loaded:
        """Import the plugin that a reference means and return what it offers: a component's class, or a command.

        Raises `UsageError` as `find` does, and `PluginError` where the plugin is at fault, with the original error as
        its cause.
        """
        parsed = _parsed(reference)
        plugin = self.find(kind, parsed)
        return Loaded(self._offered(plugin), plugin, parsed)

    def load_extension(self, reference: Reference | str) -> Any:
        """Import and register an extension; returns the object that carries its hook implementations.

        Raises as `load` does.
        """
        wanted = _parsed(reference)
        plugin = self.find(Kind.EXTENSION, wanted)
        if wanted.selector is not None:
            raise UsageError(f"{wanted}: an extension takes nothing after a colon", hint=f"write `{wanted.name}`")
        return self._extension(plugin)

    def check(self, plugin: Plugin) -> PluginError | None:
        """Load a plugin to see whether it can be; returns what is wrong with it."""
        try:
            if plugin.kind is Kind.EXTENSION:
                self._extension(plugin)
            elif plugin.environment:
                _isolation().check(plugin)
            else:
                self._offered(plugin)
        except PluginError as error:
            return error
        return None

    def _extension(self, plugin: Plugin) -> Any:
        registered = self._registered(plugin)
        if not self._hooks(registered) - _OFFERING:
            raise _broken(plugin, f"{plugin.module} observes nothing", hint=_FORGOTTEN)
        return registered

    def _offered(self, plugin: Plugin) -> Any:
        if plugin.environment:
            return _isolation().stand_in(plugin)
        hook = plugin.kind.hook or ""
        registered = self._registered(plugin)
        if hook not in self._hooks(registered):
            raise _broken(plugin, f"{plugin.module} implements no {hook}()", hint=_FORGOTTEN)
        try:
            # one caller per plugin: a call over all of them stops at the first that raises, and tells not whose it was
            (offered,) = self.caller(registered, hook)() or (None,)
            return offered_under(plugin.kind, plugin.name, offered)
        except BrokenContract as error:
            raise _broken(plugin, str(error)) from error
        except BaseException as error:
            if asked_to_end(error):
                raise
            raise _broken(plugin, f"{plugin.kind.hook}() failed: {_cause(error)}") from error

    def _registered(self, plugin: Plugin) -> Any:
        subject = _imported(plugin)
        _check_version(plugin, subject)
        if not self.pluggy.is_registered(subject):
            try:
                self.pluggy.register(subject, name=plugin.module)
            except (pluggy.PluginValidationError, ValueError) as error:
                raise _broken(plugin, " ".join(str(error).split())) from error
            try:
                self.pluggy.check_pending()
            except pluggy.PluginValidationError as error:
                unknown = self._hooks(subject) - _SPECIFIED
                self.pluggy.unregister(subject)
                raise _broken(plugin, f"gym calls no hook named {' or '.join(sorted(unknown))}") from error
        return subject

    def _hooks(self, registered: Any) -> set[str]:
        return {caller.name for caller in self.pluggy.get_hookcallers(registered) or ()}

    def caller(self, registered: Any, hook: str) -> pluggy.HookCaller:
        """What calls a hook of one plugin, and of no other that is registered by now; its results come as a list."""
        others = [plugin for plugin in self.pluggy.get_plugins() if plugin is not registered]
        return self.pluggy.subset_hook_caller(hook, others)

    def _unknown(self, kind: Kind, name: str) -> UsageError:
        others = [plugin for plugin in self.plugins if plugin.name == name]
        if others:
            other = others[0].kind
            return UsageError(
                f"{name!r} is not of the kind {kind} but {other}",
                hint=f"give it as `{other.usage} {name}`; `gym plugins list --kind {kind}` lists what is of that kind",
            )
        names = {plugin.name for plugin in self.plugins if plugin.kind is kind and plugin.state != "disabled"}
        near = get_close_matches(name, names, n=3)
        guess = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        return UsageError(
            f"no {kind.label} named {name!r} is installed{guess}", hint=f"`gym plugins list --kind {kind}` lists them"
        )


def _isolation() -> ModuleType:
    """What stands for plugins that live in environments of their own. By name: it is built upon this package."""
    return importlib.import_module("gym_core.remote.isolated.plugin")


def _ambiguous(plugins: Sequence[Plugin]) -> UsageError:
    first = plugins[0]
    names = list(dict.fromkeys(plugin.qualified_name for plugin in plugins))
    if len(names) == 1:
        owner = first.distribution
        return UsageError(
            f"{owner} is there twice, here and in an environment of its own: both offer the {first.kind.label} "
            f"{first.name!r}",
            hint=f"remove one: `gym uninstall {owner}` or `gym uninstall --isolated {owner}`",
        )
    return UsageError(
        f"{len(plugins)} distributions offer the {first.kind.label} {first.name!r}",
        hint=f"name one: {' or '.join(names)}",
    )


def _parsed(reference: Reference | str) -> Reference:
    return Reference.parse(reference) if isinstance(reference, str) else reference


def _imported(plugin: Plugin) -> Any:
    module, _, attributes = plugin.module.partition(":")
    try:
        # what a plugin prints when imported must not end up in the output that a command writes
        with contextlib.redirect_stdout(sys.stderr):
            subject: Any = importlib.import_module(module)
        for attribute in filter(None, attributes.split(".")):
            subject = getattr(subject, attribute)
    except BaseException as error:
        if asked_to_end(error):
            raise
        raise _broken(plugin, f"cannot be imported: {_cause(error)}") from error
    return subject


def _check_version(plugin: Plugin, subject: Any) -> None:
    module = subject if isinstance(subject, ModuleType) else sys.modules[plugin.module.partition(":")[0]]
    version = getattr(module, "GYM_API_VERSION", hookspecs.API_VERSION)
    if version != hookspecs.API_VERSION:
        newer = isinstance(version, int) and version > hookspecs.API_VERSION
        raise _broken(
            plugin,
            f"it is made for version {version!r} of the plugin contract, this gym has version {hookspecs.API_VERSION}",
            hint="update gym-core" if newer else f"update {plugin.distribution}",
        )


def _broken(plugin: Plugin, problem: str, *, hint: str = "") -> PluginError:
    return PluginError(
        plugin.distribution,
        f"the {plugin.kind.label} {plugin.name!r} (version {plugin.version}) is broken: {problem}",
        hint=hint or "update or uninstall it; --debug shows the traceback",
    )


def _cause(error: BaseException) -> str:
    text = _first_line(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _first_line(error: BaseException) -> str:
    lines = error_text(error).strip().splitlines()
    return f"{lines[0]:.300}" if lines else ""
