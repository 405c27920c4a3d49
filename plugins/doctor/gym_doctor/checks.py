"""What may keep a run from going well, found before it starts: the machine, the installation, the keys."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gym_core import UsageError, __version__
from gym_core.spi import (
    BESIDES_CONNECTIONS,
    NO_DOTENV_VARIABLE,
    Kind,
    Maker,
    PluginManager,
    find_damage,
    open_files_limit,
    option_fields,
)

State: TypeAlias = Literal["ok", "warning", "problem"]

_CORE = "gym-core"
_LOW_SPACE = 1 << 30
_NO_SPACE = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix`: what to do about it, empty where all is well."""

    check: str
    state: State
    message: str
    fix: str = ""


def versions() -> Iterator[Finding]:
    """Which gym this is, on what."""
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("versions", "ok", f"gym {__version__}, {python}, {sys.prefix}")


def script() -> Iterator[Finding]:
    """Whether the command `gym` is ours: another package may have a script of that name, and the last one counts."""
    from importlib import metadata

    owners = {point.dist.name for point in metadata.entry_points(group="console_scripts", name="gym") if point.dist}
    for other in sorted(owners - {_CORE}):
        message = f"{other} has a script `gym`, too: which of the two runs is up to what was installed last"
        yield Finding("script", "warning", message, "`gymc` and `python -m gym_core` are always this gym")


def plugins(manager: PluginManager) -> Iterator[Finding]:
    """Every installed plugin; those that are not switched off are imported."""
    for plugin in manager.plugins:
        what = f"the {plugin.kind.label} {plugin.name} ({plugin.distribution} {plugin.version})"
        if plugin.state == "disabled":
            yield Finding("plugins", "ok", f"{what} is switched off")
        elif broken := manager.check(plugin):
            yield Finding("plugins", "problem", broken.message, broken.hint)
        elif plugin.state == "conflict":
            fix = f"call it {plugin.qualified_name}, or uninstall one"
            yield Finding("plugins", "warning", f"{what} shares its name with that of another distribution", fix)
        else:
            yield Finding("plugins", "ok", what)
    for damage in find_damage():
        yield Finding("plugins", "warning", damage.message, damage.fix)
    found = {plugin.kind for plugin in manager.plugins if plugin.state != "disabled"}
    for kind in (Kind.MODEL, Kind.RESOURCE_SERVER, Kind.AGENT):
        if kind not in found:
            yield Finding("plugins", "warning", f"no {kind.label} is installed", "`gym install PACKAGE` adds one")


def keys(manager: PluginManager, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which variables with secrets of the installed model backends are set: names, never values."""
    for plugin in manager.plugins:
        if plugin.kind is not Kind.MODEL or plugin.state == "disabled" or manager.check(plugin) is not None:
            continue
        component = manager.load(Kind.MODEL, plugin.qualified_name).component
        for option in option_fields(component, plugin.name):
            if not option.secret:
                continue
            visible = [name for name in option.environment if environ.get(name)]
            if visible:
                yield Finding("keys", "ok", f"{plugin.name}: `{option.name}` comes from {visible[0]}")
            elif len(option.environment) > 1:  # one that has a name of its own is one that many need
                names = " or ".join(reversed(option.environment))
                yield Finding("keys", "ok", f"{plugin.name}: `{option.name}` is not set ({names})")


def dotenv(directory: Path, read: set[str], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether there is a `.env`, and which variables come from it: names, never values."""
    path = directory / ".env"
    if not path.is_file():
        yield Finding("dotenv", "ok", f"there is no .env in {directory.resolve()}")
    elif environ.get(NO_DOTENV_VARIABLE):
        yield Finding("dotenv", "ok", f".env is not read, since {NO_DOTENV_VARIABLE} is set")
    else:
        names = ", ".join(sorted(read)) or "no variable that is not set already"
        yield Finding("dotenv", "ok", f".env is read; it sets {names}")


def open_files(concurrency: int) -> Iterator[Finding]:
    """Whether as many rollouts can run at once, with the limit of open files that a run gives itself."""
    limit, needed = open_files_limit(), concurrency + BESIDES_CONNECTIONS
    if limit is None or limit >= needed:
        said = "without limit" if limit is None else f"limited to {limit:,}"
        yield Finding("open files", "ok", f"open files are {said}, enough for {concurrency:,} rollouts at once")
        return
    fix = f"ask whoever runs this machine for a higher hard limit (`ulimit -Hn {needed}`)"
    if limit > BESIDES_CONNECTIONS:
        fix += f", or --concurrency {limit - BESIDES_CONNECTIONS}"
    message = f"open files are limited to {limit:,}; {concurrency:,} rollouts at once need about {needed:,}"
    yield Finding("open files", "problem", message, fix)


def accelerators() -> Iterator[Finding]:
    """Whether what makes runs faster is there: uvloop, where there is one."""
    if sys.platform == "win32":
        return
    if importlib.util.find_spec("uvloop") is not None:
        yield Finding("speed", "ok", "uvloop is installed")
    else:
        message = "uvloop is not installed: runs take more CPU than they need to"
        yield Finding("speed", "warning", message, '`gym install "gym-core[fast]"`')


def space(output: Path) -> Iterator[Finding]:
    """Whether results can be written, and how many. `output`: the file they would go to."""
    folder = output.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding("space", "problem", f"nothing can be written into {folder}", "take another --output")
        return
    free = shutil.disk_usage(folder).free
    state: State = "problem" if free < _NO_SPACE else "warning" if free < _LOW_SPACE else "ok"
    fix = "" if state == "ok" else "make room, or take an --output on another disk"
    yield Finding("space", state, f"{free / (1 << 30):,.1f} GB are free for {output.parent}", fix)


def environment(
    maker: Maker, reference: str, settings: Mapping[str, str], roles: set[str], sandbox: str | None
) -> Iterator[Finding]:
    """Whether an environment can be wired: its options, its agent, the models and the sandbox. Raises `UsageError`."""
    made = maker.make(Kind.RESOURCE_SERVER, reference, settings)
    loaded = made.loaded
    found = "can be loaded" if loaded.script is not None else "is installed"
    yield Finding("environment", "ok", f"{reference} {found} and takes its options")
    agent: str = loaded.component.preferred_agent
    try:
        maker.manager.find(Kind.AGENT, agent)
        yield Finding("environment", "ok", f"its agent, {agent}, is installed")
    except UsageError as error:
        yield Finding("environment", "problem", f"its agent is missing: {error.message}", error.hint)
    info = made.component.describe()
    for role in info.roles:
        if role not in roles:
            message = f"its sessions ask a `{role}` model"
            yield Finding("environment", "warning" if not roles else "problem", message, f"--model {role}=REF")
    for role in info.optional_roles:
        if role not in roles:
            message = f"its sessions ask a `{role}` model where there is one"
            yield Finding("environment", "ok", message, f"--model {role}=REF")
    if info.sandbox_roles and sandbox is None:
        message = f"its sessions run commands in a sandbox ({', '.join(info.sandbox_roles)})"
        yield Finding("environment", "warning", message, "--sandbox REF")
