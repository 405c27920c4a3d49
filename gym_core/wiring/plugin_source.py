"""What a source of plugins that are not installed beside gym can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gym_core.domain.errors import UsageError
from gym_core.domain.nearest import suggestion

if TYPE_CHECKING:
    from gym_core.contract.component import Venv
    from gym_core.wiring.config_file import Configured
    from gym_core.wiring.options import Resolved
    from gym_core.wiring.plugin import Plugin


@dataclass(frozen=True, slots=True)
class Damage:
    """What hides a plugin, or could: an installation that is not sound. `fix`: what to do about it."""

    distribution: str
    version: str
    message: str
    fix: str


class VenvMissing(UsageError):
    """The venv that a component has to live in is not there. `venv`: what it is, of a component of `plugin`."""

    def __init__(self, plugin: Plugin, venv: Venv) -> None:
        super().__init__(
            f"{venv.name} lives in a venv of its own, which is not made yet{suggestion(venv.near())}",
            hint=f"`gym install --isolated {venv.name}` makes it, and so does `gym run --yes`",
        )
        self.plugin = plugin
        self.venv = venv


class Installation(ABC):
    """One invocation of `gym install` or `gym uninstall` for a source."""

    @abstractmethod
    def install(
        self,
        packages: Sequence[str],
        options: Sequence[str],
        *,
        again: bool = False,
        python: str = "",
        instead: Sequence[str] = (),
    ) -> int | None:
        """Bring packages to where the source finds them; `again`: also those that are there. Returns an exit status.

        A package may be a reference to a component that has to live in a venv; `instead`: packages in place of the one
        that goes by its selector. `python`: for which one, a version or a path. Raises `UsageError` for what is clearly
        no package.
        """

    @abstractmethod
    def make_venv(self, plugin: Plugin, venv: Venv) -> int | None:
        """Make the venv that a component has to live in. Returns an exit status."""

    @abstractmethod
    def uninstall(self, distributions: Sequence[str]) -> int | None:
        """Remove distributions. Returns an exit status."""


class PluginSource(ABC):
    """A place where plugins are found, other than this interpreter.

    Finding must import none of them. `environ`: the variables of the process.
    """

    @abstractmethod
    def find(self, environ: Mapping[str, str]) -> Iterable[Plugin]:
        """The plugins that are there. What cannot be read is passed over."""

    @abstractmethod
    def broken(self, environ: Mapping[str, str]) -> Iterable[Damage]:
        """What hides plugins there, or may do so."""

    @abstractmethod
    def load(self, plugin: Plugin) -> Any:
        """The class that stands for a component that is there. Raises `PluginError`."""

    @abstractmethod
    def resolve(
        self,
        component: Any,
        given: Mapping[str, Any],
        selector: str | None,
        *,
        what: str,
        configured: Configured | None,
    ) -> Resolved:
        """The options of a component that `load` has returned, as `resolve_options` finds them for one that is here.

        Those of variables are from the variables of this process.
        """

    @abstractmethod
    def in_venv(self, plugin: Plugin, venv: Venv) -> Any:
        """The class that stands for a component in the venv that it has to live in. Raises `VenvMissing`."""

    def beside(self, plugin: Plugin, component: Any) -> Any:
        """The class that stands for a plugin where a component of its own distribution lives; None where that is here.

        `component`: a class that `load` or `in_venv` has returned.
        """
        return None

    @abstractmethod
    def check(self, plugin: Plugin) -> None:
        """Load a plugin where it is. Raises `PluginError` when it cannot be."""

    @abstractmethod
    def installation(self, terminal: Any, *, yes: bool, dry_run: bool) -> Installation:
        """What installs there. `terminal`: a `gym_core.spi.Terminal`. `yes`: nobody is asked."""
