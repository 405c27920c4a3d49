"""Imports plugins and calls their hooks, each by itself, so that one that is broken is named and stops nobody."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pluggy

from gym_core.contract import hookspecs
from gym_core.domain.blame import asked_to_end
from gym_core.domain.errors import PluginError, error_text
from gym_core.wiring.components import BrokenContract, offered_under
from gym_core.wiring.kinds import Kind
from gym_core.wiring.plugin import Plugin

_SPECIFIED = {name for name in vars(hookspecs) if name.startswith("gym_")}
_OFFERING = {kind.hook for kind in Kind}
_MARK = f"`@gym_core.hookimpl(contract={hookspecs.CONTRACT_VERSION})`"
_FORGOTTEN = f"the function may be missing its {_MARK}"
_WRITTEN_FOR = re.compile(r"hookimpl\(contract=(\d+)\)")


class Loader:
    """Registers the modules of plugins with pluggy, each once. `pluggy`: the manager that holds the hooks."""

    def __init__(self) -> None:
        self.pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self.pluggy.add_hookspecs(hookspecs)

    def offered(self, plugin: Plugin) -> Any:
        """What a plugin that is installed here offers under its name. Raises `PluginError`."""
        hook = plugin.kind.hook
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

    def extension(self, plugin: Plugin) -> Any:
        """The object that carries an extension's hook implementations. Raises `PluginError`."""
        registered = self._registered(plugin)
        if not self._hooks(registered) - _OFFERING:
            raise _broken(plugin, f"{plugin.module} observes nothing", hint=_FORGOTTEN)
        return registered

    def caller(self, registered: Any, hook: str) -> pluggy.HookCaller:
        """What calls a hook of one plugin, and of no other that is registered by now; its results come as a list."""
        others = [plugin for plugin in self.pluggy.get_plugins() if plugin is not registered]
        return self.pluggy.subset_hook_caller(hook, others)

    def _registered(self, plugin: Plugin) -> Any:
        subject = _imported(plugin)
        self._check_contract(plugin, subject)
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

    def _check_contract(self, plugin: Plugin, subject: Any) -> None:
        """Raise `PluginError` for hooks that are written for another version of the contract, or do not say which."""
        for name in dir(subject):
            if self.pluggy.parse_hookimpl_opts(subject, name) is not None:
                version = hookspecs.contract_of(getattr(subject, name))
                if version != hookspecs.CONTRACT_VERSION:
                    raise _outdated(plugin, version)

    def _hooks(self, registered: Any) -> set[str]:
        return {caller.name for caller in self.pluggy.get_hookcallers(registered) or ()}


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
        version = _written_for(module)
        if version not in (None, hookspecs.CONTRACT_VERSION):
            raise _outdated(plugin, version) from error
        raise _broken(plugin, f"cannot be imported: {_cause(error)}") from error
    return subject


def _outdated(plugin: Plugin, version: object) -> PluginError:
    ours = hookspecs.CONTRACT_VERSION
    if version is None:
        return _broken(plugin, "it does not say for which contract it is written", hint=f"mark its hooks {_MARK}")
    newer = isinstance(version, int) and version > ours
    return _broken(
        plugin,
        f"it is made for version {version!r} of the plugin contract, this gym has version {ours}",
        hint="update gym-core" if newer else f"update {plugin.distribution}",
    )


def _written_for(module: str) -> int | None:
    """The version of the contract that the source of a module names which cannot be imported, if it does.

    What a plugin for another version imports may not be there in this one: that is then the reason.
    """
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
    except Exception:  # whatever the plugin's own code raises, of a parent package
        return None
    found = _WRITTEN_FOR.search(source)
    return int(found[1]) if found else None


def _broken(plugin: Plugin, problem: str, *, hint: str = "") -> PluginError:
    return PluginError(
        plugin.distribution,
        f"the {plugin.kind.label} {plugin.name!r} (version {plugin.version}) is broken: {problem}",
        hint=hint or "update or uninstall it; --debug shows the traceback",
    )


def _cause(error: BaseException) -> str:
    """An error's class, and the first line of what it says."""
    lines = error_text(error).strip().splitlines()
    return ": ".join([type(error).__name__, *(f"{line:.300}" for line in lines[:1])])
