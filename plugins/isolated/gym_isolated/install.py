"""`gym install --isolated` and its counterpart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from gym_core import UsageError
from gym_core.spi import (
    DECLINED,
    Installation,
    Terminal,
    agreed,
    canonical,
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


class Isolation(Installation):
    """One invocation. `yes`: nobody is asked. `dry_run`: nothing is changed."""

    def __init__(self, terminal: Terminal, *, yes: bool, dry_run: bool) -> None:
        from gym_isolated.store import Store

        self.terminal = terminal
        self.store = Store(note=terminal.note)
        self._yes = yes
        self._dry_run = dry_run

    def install(self, packages: Sequence[str], options: Sequence[str], *, again: bool, python: str = "") -> int | None:
        """Build an environment for each package that has none, or `again`. Raises `UsageError`, `PluginError`."""
        from gym_isolated.store import Wanted

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
