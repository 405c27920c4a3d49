"""`gym install` and `gym uninstall`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gym_core.cli.installer import ARCHIVES, Change, find_installer, requested_name
from gym_core.cli.parameters import debug_option
from gym_core.cli.plugins import print_plugins
from gym_core.cli.terminal import Terminal, pass_terminal
from gym_core.domain.errors import UsageError
from gym_core.engine.standard_streams import is_terminal
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.kinds import Kind
from gym_core.wiring.known import CORE
from gym_core.wiring.plugin import Plugin, canonical
from gym_core.wiring.sources import find_source

if TYPE_CHECKING:
    from gym_core.wiring.plugin_source import Installation

DECLINED = 1
"""The exit status of a command whose plan the user did not want."""

_WORDS = {"+": "install", "-": "remove", "~": "reinstall"}

yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


@click.command()
@click.argument("packages", metavar="PKG...", nargs=-1, required=True)
@click.option("--upgrade", is_flag=True, help="Take newer versions of the packages where they are installed.")
@click.option("--find-links", metavar="DIR", multiple=True, help="Look for packages in this folder, too. Repeatable.")
@click.option("--no-index", is_flag=True, help="Look only there, and ask no package index.")
@click.option(
    "--isolated",
    is_flag=True,
    help="Build an environment of its own for each package instead, where what it needs is in nobody's way.",
)
@click.option(
    "--python",
    metavar="VERSION",
    default="",
    help="With --isolated: the Python of that environment, a version that uv, pyenv or PATH has, or a path.",
)
@click.option(
    "--with",
    "instead",
    metavar="PKG",
    multiple=True,
    help="With --isolated REF: the package that brings it, where that is not called so. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@yes_option
@debug_option
@pass_terminal
def install(
    terminal: Terminal,
    packages: tuple[str, ...],
    upgrade: bool,
    find_links: tuple[str, ...],
    no_index: bool,
    isolated: bool,
    python: str,
    instead: tuple[str, ...],
    dry_run: bool,
    yes: bool,
) -> int | None:
    """Install packages into the environment that gym runs in.

    PKG is what uv and pip take: a name, `name==1.2`, `name[extra]`, a wheel, a folder, a URL. What will change is shown
    before, what the packages brought after. It is done by uv, beside the interpreter or on PATH, else by pip.

    With --isolated a package gets an environment of its own, in gym's folder for the data of the user (GYM_HOME names
    another): its components are used as if installed here, and run in a process there. It is built once; --upgrade
    builds it again. An environment of another framework, REF as --env names it, gets the venv that it lives in:
    `gym install --isolated verifiers:wordle`.
    """
    if (python or instead) and not isolated:
        raise UsageError("--python and --with are for what is isolated", hint="--isolated")
    options = [f"--find-links={_folder(path)}" for path in find_links]
    options += ["--no-index"] if no_index else []
    if isolated:
        isolation = isolating(terminal, yes=yes, dry_run=dry_run)
        return isolation.install(packages, options, again=upgrade, python=python, instead=instead)
    for package in packages:
        check_package(package)
    options += ["--upgrade"] if upgrade else []
    installer = find_installer()
    changes = installer.plan(packages, options)
    show_plan(terminal, changes, installer.name)
    if dry_run:
        return None
    if changes:
        if not agreed(terminal, yes):
            return DECLINED
        installer.install(packages, options)
    _show_brought(terminal, packages, changes)
    return None


@click.command()
@click.argument("packages", metavar="PKG...", nargs=-1, required=True)
@click.option("--isolated", is_flag=True, help="Remove environments of their own, also of packages that are here, too.")
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@yes_option
@debug_option
@pass_terminal
def uninstall(terminal: Terminal, packages: tuple[str, ...], isolated: bool, dry_run: bool, yes: bool) -> int | None:
    """Remove packages from the environment that gym runs in, or the environments of their own.

    PKG is the name of a distribution; `gym plugins list` shows them. What it needed itself stays, unless it is
    isolated: then all goes that was installed for it.
    """
    apart = [package for package in dict.fromkeys(packages) if isolated or _is_apart(package)]
    if apart:
        status = isolating(terminal, yes=yes, dry_run=dry_run).uninstall(apart)
        packages = tuple(package for package in packages if package not in apart)
        if status or not packages:
            return status
    changes: list[Change] = [("-", *_installed(package)) for package in dict.fromkeys(packages)]
    removed = {canonical(name) for _, name, _ in changes}
    if CORE in removed and not (yes or dry_run):
        raise UsageError(f"{CORE} is gym itself", hint="--yes removes it all the same")
    installer = find_installer()
    show_plan(terminal, changes, installer.name)
    lost = _plugins_of(removed)
    if lost:
        terminal.note(f"with it goes: {', '.join(f'the {plugin.kind.label} {plugin.name}' for plugin in lost)}")
    for name, needed in _dependents(removed):
        terminal.note(f"warning: {name} needs {needed} and will not work without it")
    if dry_run:
        return None
    if not agreed(terminal, yes):
        return DECLINED
    installer.uninstall([name for _, name, _ in changes])
    importlib.invalidate_caches()
    for _, name, _ in changes:
        if (left := _distribution(name)) is not None:
            raise UsageError(f"{name} is still there: {left.locate_file('')}")
    terminal.note(f"removed {', '.join(name for _, name, _ in changes)}")
    return None


def isolating(terminal: Terminal, *, yes: bool, dry_run: bool = False) -> Installation:
    """What makes and removes environments of their own. Raises `UsageError` where it is not installed."""
    return find_source("isolated", find_plugins(Kind.SOURCE)).installation(terminal, yes=yes, dry_run=dry_run)


def _is_apart(package: str) -> bool:
    """Whether a package is not installed here but in an environment of its own."""
    is_here = _distribution(package) is not None
    return not is_here and any(plugin.source and plugin.belongs_to(package) for plugin in find_plugins())


def _distribution(package: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _installed(package: str) -> tuple[str, str]:
    """Name and version of a distribution of this environment. Raises `UsageError`."""
    found = _distribution(package)
    if found is None:
        raise UsageError(f"{package!r} is not installed in {sys.prefix}", hint=_owner_hint(package))
    place = Path(str(found.locate_file(""))).resolve()
    if sys.prefix != sys.base_prefix and not place.is_relative_to(Path(sys.prefix).resolve()):
        raise UsageError(
            f"{found.name} is in {place}, not in the environment that gym runs in",
            hint="remove it with what put it there",
        )
    return found.name, found.version


def check_package(package: str) -> None:
    """Raise `UsageError` for what is clearly no package, before anybody is asked for it."""
    from packaging.requirements import InvalidRequirement, Requirement

    if package.startswith("-"):
        raise UsageError(f"{package!r} is no package", hint="`gym install --help` lists the options there are")
    if "://" in package:
        return
    if package.endswith(ARCHIVES) or "/" in package or "\\" in package or package == ".":
        path = package if package.endswith(ARCHIVES) else package.partition("[")[0]
        if not Path(path).exists():
            raise UsageError(f"there is no file or folder {package}", hint="a name without slashes means a package")
        return
    try:
        Requirement(package)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        raise UsageError(
            f"{package!r} names no package: {problem}", hint="NAME, NAME==VERSION, a wheel or a URL"
        ) from None


def _folder(path: str) -> str:
    if "://" not in path and not Path(path).is_dir():
        raise UsageError(f"--find-links {path}: there is no such folder")
    return path


def show_plan(terminal: Terminal, changes: Sequence[Change], name: str, place: str = "") -> None:
    """What will change, and where: in this environment by default."""
    if not changes:
        terminal.note(f"nothing has to change in {place or sys.prefix}")
        return
    terminal.note(f"{name} will change {place or sys.prefix}:")
    for sign, distribution, version in changes:
        terminal.note(f"  {_WORDS[sign]:<9} {distribution} {version}")


def agreed(terminal: Terminal, yes: bool) -> bool:
    """Whether to go on. Raises `UsageError` where nobody can be asked."""
    if yes:
        return True
    if not is_terminal(sys.stdin):
        raise UsageError("nobody is here to be asked; nothing was changed", hint="--yes does it without asking")
    agreed = click.confirm("Go on?", err=True)
    if not agreed:
        terminal.note("nothing was changed")
    return agreed


def _show_brought(terminal: Terminal, packages: Sequence[str], changes: Sequence[Change]) -> None:
    importlib.invalidate_caches()
    came = {canonical(name) for sign, name, _ in changes if sign != "-"}
    named = {package: requested_name(package) for package in packages}
    wanted = {name for name in named.values() if name is not None}
    plugins = _plugins_of(came | wanted)
    if plugins:
        show_plugins(terminal, plugins)
    offering = {canonical(plugin.distribution) for plugin in plugins}
    for package, name in named.items():
        # where a folder or a URL tells no name, anything that came along counts
        if name not in offering and (name is not None or not offering):
            terminal.note(
                f"warning: {package} has no entry point for gym: it brought no model, environment, agent or extension"
            )


def show_plugins(terminal: Terminal, plugins: Sequence[Plugin]) -> None:
    """What came, and which of it can only be called by its whole name."""
    print_plugins(terminal, plugins)
    for plugin in plugins:
        if plugin.state != "conflict":
            continue
        name, owner = plugin.name, plugin.distribution
        if any(
            other.belongs_to(owner) and other.environment != plugin.environment for other in find_plugins(plugin.kind)
        ):
            terminal.note(
                f"warning: {owner} is isolated, too: `gym uninstall --isolated {owner}`, or {name} is not clear"
            )
        else:
            terminal.note(f"warning: another distribution offers {name!r}, too: call it {plugin.qualified_name}")


def _plugins_of(distributions: Iterable[str]) -> list[Plugin]:
    wanted = set(distributions)
    return [plugin for plugin in find_plugins() if canonical(plugin.distribution) in wanted and not plugin.source]


def _dependents(removed: set[str]) -> Iterable[tuple[str, str]]:
    """Installed plugins' distributions that need one of those removed, with what they need."""
    from packaging.requirements import InvalidRequirement, Requirement

    for owner in sorted({plugin.distribution for plugin in find_plugins() if not plugin.source}):
        if canonical(owner) in removed:
            continue
        for text in metadata.requires(owner) or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and canonical(requirement.name) in removed:
                yield owner, requirement.name


def _owner_hint(package: str) -> str:
    owners = sorted({plugin.distribution for plugin in find_plugins() if plugin.name == package})
    if owners:
        return f"{package} is a component of {' and '.join(owners)}: `gym uninstall {owners[0]}`"
    return "`gym plugins list` shows the distributions of plugins"
