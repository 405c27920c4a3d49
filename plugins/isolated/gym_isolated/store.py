"""Building, keeping and removing isolated environments.

All that changes the store holds its lock. A folder counts only once a record names it, and the record is written last
and in one step: what a killed build leaves behind is never used, and swept away by the next.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Protocol, TypeVar

import gym_core
from gym_core import UsageError, Venv
from gym_core.spi import Plugin, canonical, requested_name
from gym_isolated.core_wheels import PACKAGES, write_wheels
from gym_isolated.interpreters import find_interpreter
from gym_isolated.process import ask
from gym_isolated.records import Environment, libraries_of, python_of, read_environments, record_name, store_folder

_LOCK = ".lock"
ChangeT = TypeVar("ChangeT")


class Builder(Protocol[ChangeT]):
    """A program that makes virtual environments and installs into them, bound to one of them."""

    def make_environment(self, folder: Path, python: str = "") -> None:
        """Make a virtual environment in a new folder. `python`: of which one. Raises `UsageError`."""
        ...

    def bound_to(self, python: Path) -> Builder[ChangeT]:
        """The same program for the environment of an interpreter."""
        ...

    def plan(self, packages: Sequence[str], options: Sequence[str]) -> list[ChangeT]:
        """What an installation would bring. Raises `UsageError`."""
        ...

    def install(self, packages: Sequence[str], options: Sequence[str]) -> None:
        """Install. Raises `UsageError`."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """An environment to be built.

    `request`: what the user asked for, which names it. `python`: the path of the interpreter that was asked for.
    `venv`: of a component whose plugin is installed beside gym, what it needs there, and `plugin` its plugin.
    `instead`: packages in place of the last of that venv.
    """

    request: str
    python: str = ""
    venv: Venv | None = None
    plugin: Plugin | None = None
    instead: Sequence[str] = ()

    @property
    def interpreter(self) -> str:
        """The path of its interpreter, empty for the one that runs. Raises `UsageError`."""
        wanted = "" if self.venv is None else self.venv.python
        return self.python or (find_interpreter(wanted) if wanted else "")

    @property
    def packages(self) -> list[str]:
        """What is installed there."""
        if self.venv is None:
            return [self.request]
        return [*self.venv.packages[:-1], *self.instead] if self.instead else [*self.venv.packages]

    @property
    def copied(self) -> dict[str, str]:
        """What is put there as it runs here, besides gym itself: distributions and their packages."""
        plugin = self.plugin
        return {} if plugin is None else {plugin.distribution: plugin.module.partition(":")[0].partition(".")[0]}


class Store:
    """The isolated environments of a user. `note` is told when another process has to be waited for."""

    def __init__(self, folder: Path | None = None, *, note: Callable[[str], None] = lambda message: None) -> None:
        self.folder = folder or store_folder()
        self._note = note

    def find(self, distribution: str) -> Environment | None:
        """The environment that was built for a distribution."""
        wanted = canonical(distribution)
        return next((found for _, found in self._environments() if _is_called(found, distribution, wanted)), None)

    def recorded(self, request: str) -> Environment | None:
        """An environment that was built for the same request, whether or not it can be used."""
        return next((found for _, found in self._environments() if found.request == request), None)

    def requested(self, request: str) -> Environment | None:
        """An environment that was built for the same request, keeps this version of the contract, and can be used."""
        for _, found in self._environments():
            if found.request == request and found.contract == gym_core.CONTRACT_VERSION and found.python.exists():
                return found
        return None

    def build(
        self,
        wanted: Wanted | str,
        builder: Builder[ChangeT],
        options: Sequence[str] = (),
        *,
        again: bool = False,
        agreed: Callable[[Sequence[ChangeT]], bool] = lambda changes: True,
    ) -> tuple[Environment | None, bool]:
        """The environment of a package, and whether it was built now; None where that was not `agreed` to.

        `wanted`: a text is what pip and uv take. `options`: for the installation. `again`: also when there is one for
        the same request. Raises `UsageError`, and `PluginError` for a package whose components cannot be loaded.
        """
        wanted = Wanted(wanted) if isinstance(wanted, str) else wanted
        request = wanted.request
        with self._locked():
            known = None if again else self.requested(request)
            if known is not None and _runs_on(known, wanted.interpreter):
                return known, False
            self._sweep()
            stem = "".join(letter if letter.isalnum() else "-" for letter in Path(request).name.lower())[:40].strip("-")
            folder = self.folder / f"{stem}-{secrets.token_hex(4)}"
            try:
                built = _build(folder, wanted, builder, options, agreed)
                if built is not None:
                    self._publish(built)
            except BaseException:
                _remove(folder)
                raise
            if built is None:
                _remove(folder)
            return built, built is not None

    def remove(self, distribution: str) -> None:
        """Remove the environment of a distribution. Raises `UsageError` where there is none."""
        with self._locked():
            wanted = canonical(distribution)
            for record, found in self._environments():
                if _is_called(found, distribution, wanted):
                    record.unlink()
                    _remove(found.folder)
                    break
            else:
                raise UsageError(
                    f"there is no isolated environment of {distribution!r}",
                    hint="`gym plugins list` shows what there is",
                )
            self._sweep()

    def _environments(self) -> list[tuple[Path, Environment]]:
        return read_environments(self.folder)

    def _publish(self, built: Environment) -> None:
        import orjson

        record = self.folder / record_name(built.distribution, built.venv)
        part = record.with_suffix(".part")
        with part.open("wb") as file:
            file.write(orjson.dumps(built.to_wire(), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, record)
        self._sweep()

    def _sweep(self) -> None:
        """Remove the folders that no record names: replaced ones, and what killed builds have left."""
        kept = {found.folder.name for _, found in self._environments()}
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in kept:
                _remove(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self._note("waiting for another gym that changes the isolated environments")
                lock.acquire()
        except OSError as error:
            raise UsageError(
                f"{self.folder}: {error.strerror or error}", hint="the variable GYM_HOME names another folder"
            ) from error
        try:
            yield
        finally:
            lock.release()


def _build(
    folder: Path,
    wanted: Wanted,
    builder: Builder[ChangeT],
    options: Sequence[str],
    agreed: Callable[[Sequence[ChangeT]], bool],
) -> Environment | None:
    request = wanted.request
    builder.make_environment(folder, wanted.interpreter)
    bound = builder.bound_to(python_of(folder))
    with tempfile.TemporaryDirectory(dir=folder) as wheels:
        # among the options, because no user has asked for it: a message about what was asked leaves it out
        core = write_wheels(Path(wheels), wanted.copied)
        if not agreed(bound.plan(wanted.packages, [*options, *core])):
            return None
        bound.install(wanted.packages, [*options, *core])
    name, version, summary = _asked_for(folder, request if wanted.plugin is None else wanted.plugin.distribution)
    bare = Environment(folder, request, name, version, summary, "", 0, "", ())
    found = ask(bare, "describe", {"distribution": name})
    if not found["components"]:
        extensions = f", only the extension {found['extensions'][0]}" if found["extensions"] else ""
        raise UsageError(
            f"{request} brings no model, environment or agent that could be isolated{extensions}",
            hint="`gym install` puts it into the environment that gym runs in"
            if found["extensions"]
            else "it has no entry points of a plugin: `gym new` makes a package that has",
        )
    return replace(
        bare,
        core=found["core"],
        contract=found["contract"],
        python_version=found["python"],
        components=found["components"],
        extensions=found["extensions"],
        venv=wanted.venv.name if wanted.venv is not None else "",
        instead=wanted.instead,
        interpreter=wanted.python,
    )


def _runs_on(built: Environment, python: str) -> bool:
    """Whether an environment is one of that interpreter; of any, where none is named."""
    return not python or os.path.realpath(built.python) == os.path.realpath(python)


def _is_called(found: Environment, name: str, canonical_name: str) -> bool:
    """Whether an environment has a name: that of its distribution, or of the venv that it is."""
    return found.venv == name if found.venv else canonical(found.distribution) == canonical_name


def _asked_for(folder: Path, request: str) -> tuple[str, str, str]:
    """Name, version and summary of the distribution that was asked for.

    Where a folder or a URL was named it is the one that came from there (PEP 610, `direct_url.json`).
    """
    name = requested_name(request)
    libraries = libraries_of(folder)
    found = [
        one
        for one in metadata.distributions(path=[] if libraries is None else [str(libraries)])
        if (canonical(one.name) == canonical(name) if name else _came_from_a_url(one))
    ]
    if len(found) != 1:
        names = ", ".join(sorted(one.name for one in found)) or "none"
        raise UsageError(f"one distribution was to be installed, and the environment holds {names}")
    return found[0].name, found[0].version, found[0].metadata["Summary"] or ""


def _came_from_a_url(found: metadata.Distribution) -> bool:
    return found.read_text("direct_url.json") is not None and canonical(found.name) not in PACKAGES


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder, ignore_errors=os.name == "nt")
