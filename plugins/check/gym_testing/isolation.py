"""Which plugins a test sees: those that it names and those that it makes, and no others."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_core.spi import DISABLE_VARIABLE, HOME_VARIABLE, Kind, Plugin, find_plugins
from gym_testing.site import Site

if TYPE_CHECKING:
    import pytest


_ALWAYS = frozenset({Kind.COMMAND, Kind.IMPORTER, Kind.EXPORTER, Kind.SCHEME, Kind.SOURCE, Kind.GATEWAY, Kind.EXECUTOR})
"""What belongs to gym as a command line: no run is wired from it."""


class IsolatedPlugins(Site):
    """An installation of its own, in front of the real one, for this process and for those that it starts.

    No component or extension that is installed is visible in it until `keep` names it; `add` and `install` put further
    plugins there. Commands and what they use, such as `gym serve` and its URLs or the executor of `--workers`, stay.
    """

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(path)
        self._patch = patch
        self._installed = find_plugins(environ={}, path=sys.path)
        patch.setenv(HOME_VARIABLE, str(path / "home"))
        patch.delenv(DISABLE_VARIABLE, raising=False)
        self.keep()
        self._import_from(path)

    def __call__(self, *names: str) -> IsolatedPlugins:
        """The same as `keep`, to be called in one go with the fixture."""
        return self.keep(*names)

    def keep(self, *names: str) -> IsolatedPlugins:
        """Show of the installed components those with these names (or `DIST/NAME`). Raises `LookupError` for others."""
        known = {name for plugin in self._installed for name in (plugin.name, plugin.qualified_name)}
        if unknown := sorted(set(names) - known):
            raise LookupError(f"no plugin named {unknown[0]!r} is installed; there are: {', '.join(sorted(known))}")
        owners: dict[str, list[Plugin]] = {}
        for plugin in self._installed:
            owners.setdefault(plugin.distribution, []).append(plugin)
        for distribution, plugins in owners.items():
            points: dict[str, dict[str, str]] = {}
            for plugin in plugins:
                if plugin.kind in _ALWAYS or plugin.name in names or plugin.qualified_name in names:
                    points.setdefault(plugin.kind.group, {})[plugin.name] = plugin.module
            self.record(distribution, points, plugins[0].version, plugins[0].summary)
        return self

    def alone(self) -> IsolatedPlugins:
        """Show nothing that is installed, no command either."""
        for plugin in self._installed:
            self.record(plugin.distribution, {}, plugin.version, plugin.summary)
        return self

    def install(self, project: str | Path) -> IsolatedPlugins:
        """Make a package visible that lies in a folder with a `pyproject.toml`, as an editable installation would."""
        folder = Path(project).resolve()
        about: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        version, summary = about.get("version", "0"), about.get("description", "")
        self.record(about["name"], about.get("entry-points", {}), version, summary)
        self._import_from(folder / "src" if (folder / "src").is_dir() else folder)
        return self

    def _import_from(self, folder: Path) -> None:
        self._patch.syspath_prepend(str(folder))
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        self._patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
