"""`gym install --isolated` and its counterpart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from inspect import getattr_static
from pathlib import Path
from typing import TYPE_CHECKING

from gym_core import Component, UsageError
from gym_core.spi import (
    DECLINED,
    Installation,
    Kind,
    PluginManager,
    Terminal,
    agreed,
    canonical,
    check_package,
    find_plugins,
    requested_name,
    show_plan,
    show_plugins,
)
from gym_isolated.interpreters import find_interpreter
from gym_isolated.records import Environment

if TYPE_CHECKING:
    from gym_core import Venv
    from gym_core.spi import Change, Plugin
    from gym_isolated.store import Wanted


_REFERENCE = re.compile(r"(?!https?:|file:)[\w.-]+(/[\w.-]+)?:[^/\s].*")
"""An environment by its reference, which no package looks like."""


class Isolation(Installation):
    """One invocation. `yes`: nobody is asked. `dry_run`: nothing is changed."""

    def __init__(self, terminal: Terminal, *, yes: bool, dry_run: bool) -> None:
        from gym_isolated.store import Store

        self.terminal = terminal
        self.store = Store(note=terminal.note)
        self._yes = yes
        self._dry_run = dry_run

    def install(
        self,
        packages: Sequence[str],
        options: Sequence[str],
        *,
        again: bool = False,
        python: str = "",
        instead: Sequence[str] = (),
    ) -> int | None:
        """Build an environment for each package that has none, or `again`. Raises `UsageError`, `PluginError`."""
        from gym_isolated.store import Wanted

        references = [package for package in packages if _REFERENCE.fullmatch(package) or _is_adapter(package)]
        packages = [package for package in packages if package not in references]
        for package in (*packages, *instead):
            check_package(package)
        if instead and not references:
            raise UsageError(
                "--with is for an environment that lives in a venv of its own", hint="name it as --env does"
            )
        for reference in references:
            plugin, venv = _venv_of(reference)
            if status := self.make_venv(plugin, venv, options, again=again, python=python, instead=instead):
                return status
        interpreter = find_interpreter(python) if python else ""
        for package in packages:
            self._refuse_installed(package)
        for package in packages:
            # what a folder or a file holds may have changed
            anew = again or Path(package.partition("[")[0]).exists()
            built = self._build(Wanted(package, interpreter), options, again=anew)
            if built is None:
                if self._dry_run:
                    continue
                return DECLINED
            self._show(built)
        return None

    def make_venv(
        self,
        plugin: Plugin,
        venv: Venv,
        options: Sequence[str] = (),
        *,
        again: bool = False,
        python: str = "",
        instead: Sequence[str] = (),
    ) -> int | None:
        """Build the venv that a component has to live in: if there is none, `again`, or with packages `instead`."""
        from gym_isolated.store import Wanted

        interpreter = find_interpreter(python) if python else ""
        wanted = Wanted(venv.name, interpreter, venv, plugin, tuple(instead))
        # what other packages are to be in it is not what is in it
        built = self._build(wanted, options, again=again or bool(instead))
        if built is not None:
            self.terminal.note(f"{venv.name} lives in {built.folder}, on Python {built.python_version}")
        return None if built is not None or self._dry_run else DECLINED

    def _build(self, wanted: Wanted, options: Sequence[str], *, again: bool) -> Environment | None:
        """The environment of a request; None where nobody agreed to it."""
        from gym_core.spi import find_installer

        installer = find_installer(here=False)
        if again and (known := self.store.recorded(wanted.request)) is not None:
            wanted = replace(
                wanted, python=wanted.python or known.interpreter, instead=wanted.instead or tuple(known.instead)
            )

        def agree(changes: Sequence[Change]) -> bool:
            place = f"an environment of its own for {wanted.request}, in {self.store.folder}"
            show_plan(self.terminal, changes, installer.name, place)
            return not self._dry_run and agreed(self.terminal, self._yes)

        built, new = self.store.build(wanted, installer, options, again=again, agreed=agree)
        if built is not None and not new:
            self.terminal.note(
                f"{wanted.request} has its environment already: {built.folder}; --upgrade builds it again"
            )
        return built

    def uninstall(self, distributions: Sequence[str]) -> int | None:
        """Remove the environments of distributions. Raises `UsageError`."""
        found: list[Environment] = []
        for name in distributions:
            environment = self.store.find(name)
            if environment is None:
                raise UsageError(
                    f"{name!r} has no isolated environment in {self.store.folder}",
                    hint="`gym plugins list` shows the distributions of plugins",
                )
            found.append(environment)
        for environment in found:
            gone = ", ".join(f"the {component['kind']} {component['name']}" for component in environment.components)
            self.terminal.note(f"{environment.folder} will be removed; with it goes: {gone}")
        if self._dry_run:
            return None
        if not agreed(self.terminal, self._yes):
            return DECLINED
        for environment in found:
            self.store.remove(environment.name)
        self.terminal.note(f"removed {', '.join(environment.name for environment in found)}")
        return None

    def _refuse_installed(self, package: str) -> None:
        """Raise `UsageError` for a package that is installed here: then its components would be there twice."""
        name = requested_name(package)
        if name is None:
            return
        try:
            version = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            return
        raise UsageError(
            f"{name} {version} is installed in the environment that gym runs in",
            hint=f"`gym uninstall {name}` first; isolated beside it, its components would be there twice",
        )

    def _show(self, built: Environment) -> None:
        wanted = canonical(built.distribution)
        show_plugins(
            self.terminal,
            [plugin for plugin in find_plugins() if plugin.environment and canonical(plugin.distribution) == wanted],
        )
        if built.extensions:
            self.terminal.note(
                f"warning: the extension {', '.join(built.extensions)} of {built.distribution} cannot be used isolated"
            )


def _is_adapter(name: str) -> bool:
    """Whether a name is that of an adapter here whose environments live in venvs: no package of that name is meant."""
    manager = PluginManager()
    here = [
        plugin
        for plugin in manager.plugins
        if plugin.kind is Kind.RESOURCE_SERVER and plugin.name == name and not plugin.source
    ]
    if len(here) != 1:
        return False
    loaded = manager.load(Kind.RESOURCE_SERVER, here[0].qualified_name)
    return getattr_static(loaded.component, "venv") is not getattr_static(Component, "venv")


def _venv_of(reference: str) -> tuple[Plugin, Venv]:
    """The venv that an environment lives in. Raises `UsageError` for one that has none."""
    loaded = PluginManager().load(Kind.RESOURCE_SERVER, reference)
    venv = loaded.component.venv(loaded.reference.selector or "") if loaded.source is None else None
    if venv is None:
        raise UsageError(f"{reference} runs where gym does and needs no venv of its own", hint="gym run --env REF")
    return loaded.plugin, venv
