"""The source of plugins in venvs of their own. Importing it loads nothing heavy: every listing does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gym_core import UsageError, hookimpl
from gym_core.spi import Damage, Kind, Plugin, PluginSource, VenvMissing
from gym_isolated.records import (
    broken_environments,
    read_environment,
    read_environments,
    record_name,
    store_folder,
)

if TYPE_CHECKING:
    from gym_core import Venv
    from gym_core.spi import Configured, Resolved, Terminal
    from gym_isolated.install import Isolation

NAME = "isolated"


class IsolatedPlugins(PluginSource):
    """What the records of the store say."""

    def find(self, environ: Mapping[str, str]) -> Iterator[Plugin]:
        """The components of each record."""
        kinds = {known.value: known for known in Kind}
        for record, environment in read_environments(store_folder(environ)):
            if environment.venv:  # its plugin is here
                continue
            about = (environment.distribution, environment.version, environment.summary)
            for component in environment.components:
                if (kind := kinds.get(component["kind"])) is not None:
                    yield Plugin(
                        kind,
                        component["name"],
                        "",
                        *about,
                        source=NAME,
                        environment=str(record),
                        python=environment.python_version,
                    )

    def broken(self, environ: Mapping[str, str]) -> Iterator[Damage]:
        """The records that cannot be used."""
        for record, problem in broken_environments(store_folder(environ)):
            again = f"`gym install --isolated --upgrade {record.stem}` builds it again"
            yield Damage(record.stem, "", f"the record of an isolated environment, {record}, {problem}", again)

    def load(self, plugin: Plugin) -> Any:
        """The class that stands for a component; nothing is started."""
        from gym_isolated.stand_in import stand_in

        return stand_in(plugin)

    def resolve(
        self,
        component: Any,
        given: Mapping[str, Any],
        selector: str | None,
        *,
        what: str,
        configured: Configured | None,
    ) -> Resolved:
        """The options of a component, by its own class in its venv, which has the variables of this process."""
        from gym_isolated.resolving import resolve

        return resolve(component.origin, given, selector, what=what, configured=configured)

    def in_venv(self, plugin: Plugin, venv: Venv) -> Any:
        """The class that stands for a component in its venv."""
        from gym_isolated.stand_in import stand_in

        record = store_folder() / record_name(plugin.distribution, venv.name)
        environment = read_environment(record)
        if environment is None:
            raise VenvMissing(plugin, venv)
        if environment.version != plugin.version:  # a copy was put there when it was made
            raise UsageError(
                f"{venv.name} lives in a venv that has {plugin.distribution} {environment.version}, and "
                f"{plugin.version} is installed beside gym",
                hint=environment.remedy,
            )
        return stand_in(replace(plugin, source=NAME, environment=str(record)))

    def beside(self, plugin: Plugin, component: Any) -> Any:
        """The class that stands for a plugin in the venv of another component, where that one holds it, too."""
        from gym_isolated.stand_in import stand_in

        found = component.origin.environment
        if (plugin.kind.value, plugin.name) not in {(one["kind"], one["name"]) for one in found.components}:
            return None
        record = found.folder.parent / record_name(found.distribution, found.venv)
        return stand_in(replace(plugin, source=NAME, environment=str(record)))

    def check(self, plugin: Plugin) -> None:
        """Load a plugin in its venv. Raises `PluginError`."""
        from gym_isolated.stand_in import check

        check(plugin)

    def installation(self, terminal: Terminal, *, yes: bool, dry_run: bool) -> Isolation:
        """What builds and removes venvs."""
        from gym_isolated.install import Isolation

        return Isolation(terminal, yes=yes, dry_run=dry_run)


@hookimpl(contract=1)
def gym_sources() -> Mapping[str, PluginSource]:
    """The plugins in venvs of their own."""
    return {NAME: IsolatedPlugins()}
