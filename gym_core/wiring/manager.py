"""Finds and loads the plugins that a run wires, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pluggy

from gym_core.domain.blame import blaming
from gym_core.domain.errors import PluginError, UsageError
from gym_core.domain.nearest import did_you_mean
from gym_core.wiring.discovery import DISABLE_VARIABLE, find_plugins
from gym_core.wiring.kinds import MAY_BE_ELSEWHERE, Kind
from gym_core.wiring.known import TABLES, hint_to_install, hint_to_name
from gym_core.wiring.loading import Loader
from gym_core.wiring.plugin import Plugin
from gym_core.wiring.plugin_source import PluginSource
from gym_core.wiring.reference import Reference
from gym_core.wiring.scripts import Script, load_script, require_file
from gym_core.wiring.sources import find_source


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a plugin offers, a component's class as a rule, and where it came from.

    `source`: what has found it, where it is not installed here. `script`: the file that it is, where it is one.
    """

    component: Any
    plugin: Plugin
    reference: Reference
    source: PluginSource | None = None
    script: Script | None = None


class PluginManager:
    """Finds plugins by reference and registers their modules with pluggy, each once.

    `disabled`: plugins that are switched off, see `find_plugins`. `pluggy`: the manager that holds the hooks.
    """

    def __init__(self, disabled: Iterable[str] = (), *, environ: Mapping[str, str] | None = None) -> None:
        self._disabled = tuple(disabled)
        self._environ = environ
        self._loader = Loader()
        self.pluggy = self._loader.pluggy

    @cached_property
    def plugins(self) -> list[Plugin]:
        """The installed plugins, as they were when first asked for."""
        return find_plugins(disabled=self._disabled, environ=self._environ)

    def find(self, kind: Kind, reference: Reference | str) -> Plugin:
        """The one plugin that a reference means: of that kind, or of another one that does in its place.

        Raises `UsageError` for none, several, or one that is off.
        """
        wanted = self._parsed(kind, reference)
        if wanted.path is not None:
            require_file(kind, wanted)
            return _plugin_of(kind, wanted)
        if wanted.url is not None and kind not in MAY_BE_ELSEWHERE:
            raise UsageError(f"{wanted}: {kind.called} runs in this process", hint="name an installed one")
        wanted = self._meant(wanted)
        named = [plugin for plugin in self.plugins if plugin.kind in kind.accepted and plugin.name == wanted.name]
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
        raise self._unknown(kind, wanted)

    def load(self, kind: Kind, reference: Reference | str) -> Loaded:
        """Import the plugin that a reference means and return what it offers: a component's class, or a command.

        Raises `UsageError` as `find` does, and `PluginError` where the plugin is at fault, with the original error as
        its cause.
        """
        wanted = self._parsed(kind, reference)
        plugin = self.find(kind, wanted)
        if wanted.path is not None:
            found, cls, script = load_script(kind, wanted)
            return Loaded(cls, replace(plugin, kind=found), replace(wanted, member=cls.__name__), script=script)
        source = find_source(plugin.source, self.plugins) if plugin.source else None
        offered = source.load(plugin) if source is not None else self._loader.offered(plugin)
        return Loaded(offered, plugin, self._meant(wanted), source)

    def load_in_venv(self, kind: Kind, reference: Reference | str, environment: Loaded | None = None) -> Loaded:
        """The same, where it lives: of what has a venv of its own, the class that stands for it.

        `environment`: of the run; its own runners work where it lives. Raises `VenvMissing` where that venv has not
        been made yet.
        """
        loaded = self.load(kind, reference)
        if loaded.source is not None or loaded.script is not None:
            return loaded
        source = environment.source if environment is not None and loaded.plugin.kind is Kind.RUNNER else None
        if environment is not None and source is not None:
            own = loaded.plugin.belongs_to(environment.plugin.distribution)
            beside = source.beside(loaded.plugin, environment.component) if own else None
            return loaded if beside is None else replace(loaded, component=beside, source=source)
        with blaming(loaded.plugin.distribution, f"{loaded.reference} cannot say where it lives"):
            venv = loaded.component.venv(loaded.reference.selector)
        if venv is None:
            return loaded
        source = find_source("isolated", self.plugins)
        return replace(loaded, component=source.in_venv(loaded.plugin, venv), source=source)

    def load_extension(self, reference: Reference | str) -> Any:
        """Import and register an extension; returns the object that carries its hook implementations.

        Raises as `load` does.
        """
        wanted = self._parsed(Kind.EXTENSION, reference)
        plugin = self.find(Kind.EXTENSION, wanted)
        if wanted.selector is not None:
            raise UsageError(f"{wanted}: an extension takes nothing after a colon", hint=f"write `{wanted.name}`")
        return self._loader.extension(plugin)

    def check(self, plugin: Plugin) -> PluginError | None:
        """Load a plugin to see whether it can be; returns what is wrong with it."""
        try:
            if plugin.kind is Kind.EXTENSION:
                self._loader.extension(plugin)
            elif plugin.source:
                find_source(plugin.source, self.plugins).check(plugin)
            else:
                self._loader.offered(plugin)
        except PluginError as error:
            return error
        return None

    def caller(self, registered: Any, hook: str) -> pluggy.HookCaller:
        """What calls a hook of one plugin, see `Loader.caller`."""
        return self._loader.caller(registered, hook)

    def _parsed(self, kind: Kind, reference: Reference | str) -> Reference:
        """What was typed; a model as other tools have it, `openai/gpt-4.1`, means `openai:gpt-4.1`."""
        if not isinstance(reference, str):
            return reference
        backend, slash, model = reference.strip().partition("/")
        if not (kind is Kind.MODEL and slash and model):
            return Reference.parse(reference)
        known = any(plugin.kind is kind and plugin.name == backend for plugin in self.plugins)
        if known or hint_to_install(kind, backend):
            return Reference.parse(f"{backend}:{model}")
        try:
            return Reference.parse(reference)
        except UsageError as error:
            if "/" not in model or not backend.isidentifier():
                raise
            raise UsageError(error.message, hint=hint_to_name(reference.strip())) from error

    def _meant(self, reference: Reference) -> Reference:
        """A reference by name; for a URL the component that its scheme means. Raises `UsageError`, `PluginError`."""
        if reference.url is None:
            return reference
        scheme = reference.url.partition(":")[0].lower()
        if not any(plugin.kind is Kind.SCHEME and plugin.name == scheme for plugin in self.plugins):
            raise UsageError(
                f"{reference.url}: no plugin that is installed understands {scheme}: URLs",
                hint=hint_to_install(Kind.SCHEME, scheme),
            )
        component = Reference.parse(self.load(Kind.SCHEME, scheme).component)
        return replace(reference, name=component.name, distribution=component.distribution)

    def _unknown(self, kind: Kind, wanted: Reference) -> UsageError:
        name = wanted.name
        others = [plugin for plugin in self.plugins if plugin.name == name]
        if others:
            other = others[0].kind
            usage = f"give it as `{other.usage} {name}`; " if other.usage else ""
            return UsageError(
                f"{name!r} is no {kind.label} but {other.called}",
                hint=f"{usage}`gym plugins list --kind {kind.word}` lists every {kind.label}",
            )
        ready = (plugin for plugin in self.plugins if plugin.kind in kind.accepted and plugin.state != "disabled")
        guess = did_you_mean(name, (plugin.name for plugin in ready), most=3)
        here = f"`{kind.flag} ./{name}.py` means the file" if os.path.isfile(f"{name}.py") else ""
        if kind is Kind.RESOURCE_SERVER and os.path.isfile(wanted.text):
            here = f"a file of tasks is `--input {wanted.text}`; {TABLES}"
        if kind is Kind.MODEL and not guess and not hint_to_install(kind, name):
            here = here or f"{hint_to_name(wanted.text)}; {_hint_to_find(kind, name)}"
        return UsageError(
            f"no {kind.label} named {name!r} is installed{guess}",
            hint=here or _hint_to_find(kind, name),
        )


def _hint_to_find(kind: Kind, name: str) -> str:
    install = next(filter(None, (hint_to_install(one, name) for one in kind.accepted)), "")
    listing = " and ".join(f"`gym plugins list --kind {one.word}`" for one in kind.accepted)
    return install or f"{listing} {'lists' if len(kind.accepted) == 1 else 'list'} them"


def _plugin_of(kind: Kind, script: Reference) -> Plugin:
    """A script as a listing knows it. Nothing of it is looked at: whatever is wrong with it is said by its path."""
    return Plugin(kind, script.name, str(script.file), distribution=str(script.path), version="", summary="")


def _ambiguous(plugins: Sequence[Plugin]) -> UsageError:
    first = plugins[0]
    names = list(dict.fromkeys(plugin.qualified_name for plugin in plugins))
    kinds = list(dict.fromkeys(plugin.kind for plugin in plugins))
    owner = first.distribution
    if len(names) == 1 and len(kinds) > 1:
        return UsageError(
            f"{owner} offers two of the name {first.name!r}: " + " and ".join(f"the {kind.label}" for kind in kinds),
            hint="its author has to give one of them another name",
        )
    if len(names) == 1:
        return UsageError(
            f"{owner} is there twice, here and in an environment of its own: both offer the {first.kind.label} "
            f"{first.name!r}",
            hint=f"remove one: `gym uninstall {owner}` or `gym uninstall --isolated {owner}`",
        )
    return UsageError(
        f"{len(plugins)} distributions offer the {first.kind.label} {first.name!r}",
        hint=f"name one: {' or '.join(names)}",
    )
