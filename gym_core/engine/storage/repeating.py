"""A manifest read as the configuration of a run that repeats it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gym_core.domain.errors import UsageError
from gym_core.engine.storage.manifest import Manifest
from gym_core.wiring.config_file import AGENT, ENV, EXECUTOR, GATEWAY, PLACES, SANDBOX, ConfigFile
from gym_core.wiring.discovery import find_plugins
from gym_core.wiring.reference import Reference
from gym_core.wiring.scripts import files_of

_RUNNING = ("group", "concurrency", "workers", "gateway", "executor", "max_tokens", "max_cost")
_MISSING = "a manifest holds no secrets, time limits, extensions and prices: these are as they are given now"


def read_manifest(path: Path) -> ConfigFile:
    """The settings of the run that wrote a manifest. Its output is not among them: a repetition has its own.

    Paths are as they were given then, from the working directory. Raises `UsageError` for a file that is no manifest of
    `gym run`.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", hint="--config takes a TOML file or a manifest, X.run.json")
    manifest = Manifest.read(path)
    try:
        return _read(path, manifest)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: not the manifest of a run ({type(error).__name__}: {error})",
            hint="--config takes what `gym run` wrote: X.run.json",
        ) from error


def _read(path: Path, manifest: Manifest) -> ConfigFile:
    settings, operational = manifest.settings, manifest.operational
    models: Mapping[str, Any] = settings.get("models", {})  # none where the agent brought its own
    parts = {**models, **({ENV: settings[ENV]} if models else {}), AGENT: settings[AGENT]}
    if settings.get(SANDBOX):
        parts[SANDBOX] = settings[SANDBOX]
    references = {place: manifest.reference(place) for place in parts}
    notices = [_MISSING, *_versions(parts), *_scripts(parts, references)]
    options = {part: operational["options"].get(part, {}) for part in (*parts, GATEWAY, EXECUTOR)}
    for part, described in parts.items():
        options[part] = {**described["options"], **options[part]}
    given = operational.get("given", {})
    run = {
        "env": references.get(ENV),
        "agent": references[AGENT],
        "sandbox": references.get(SANDBOX),
        "seed": settings["seed"],
        "max_rollout_tokens": settings.get("max_rollout_tokens"),
        **{name: manifest.extent[name] for name in ("limit", "repeats")},
        **{name: operational.get(name) for name in _RUNNING},
        "task_id": settings["tasks"].get("task_id"),
        "input": _input(settings["tasks"], notices),
    }
    return ConfigFile(
        name=str(path),
        options={name: value for name, value in run.items() if value is not None},
        models={role: reference for role in models if (reference := references[role]) is not None},
        model_options={role: options[role] for role in models},
        component_options={place: options[place] for place in PLACES if place in options},
        recorded={part: frozenset(given.get(part, ())) for part in options},
        notices=tuple(notices),
        path=path,
    )


def _input(tasks: Mapping[str, Any], notices: list[str]) -> str | None:
    """The file that the tasks came from; None where the environment shipped them."""
    if tasks["name"] == "-":
        notices.append("the tasks came from standard input, and have to be given again: --input FILE")
    if tasks["bytes"] is None:
        return None
    file = Path(tasks["name"])
    if file.is_file() and file.stat().st_size != tasks["bytes"]:
        notices.append(f"{file} has {file.stat().st_size:,} bytes; it had {tasks['bytes']:,} then")
    return str(file)


def _scripts(parts: Mapping[str, Mapping[str, Any]], references: Mapping[str, str | None]) -> Iterator[str]:
    for place, reference in references.items():
        ref, files = parts[place]["ref"], parts[place].get("files")
        if reference is None:
            yield f"{place}: {ref} was made in Python, where nothing names it: name it again"
        elif files is not None and files_of(Reference.parse(reference).file) != files:
            yield f"{ref} is not what it was then"


def _versions(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    installed = {plugin.distribution: plugin.version for plugin in find_plugins()}
    then = {part["distribution"]: part["version"] for part in parts.values() if "distribution" in part}
    for distribution, version in then.items():
        now = installed.get(distribution)
        if now is not None and now != version:
            yield f"{distribution} had version {version} then and has {now} now"
