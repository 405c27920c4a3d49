"""NeMo Gym's configuration files: several YAML documents laid over each other, with `${...}` in their values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_nemo.inheritance import inherited, merge

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_SECRET = re.compile(r"(^|_)(api_?key|key|token|secret|password|credentials?|authorization)s?$", re.IGNORECASE)
_MISSING = "???"
_NESTED = 8
_SECONDS = 10.0
_LONGEST = 64 << 20
_SERVERS = "servers by name"


def is_secret_name(name: str) -> bool:
    """Whether a key is of the sort whose value must not be shown or copied."""
    return _SECRET.search(name) is not None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The merged files. `environ`: for `${oc.env:NAME}`."""

    values: Mapping[str, Any]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    def resolved(self, value: Any) -> Any:
        """A value with its `${...}` filled in; None for one that cannot be, or that is marked as missing."""
        for _ in range(_NESTED):
            if not isinstance(value, str):
                return value
            whole = _REFERENCE.fullmatch(value)
            if whole:
                value = self._lookup(whole[1])
                continue
            found = _REFERENCE.search(value)
            if not found:
                return None if value == _MISSING else value
            inner = self._lookup(found[1])
            if inner is None or isinstance(inner, Mapping | list):
                return None
            value = value[: found.start()] + str(inner) + value[found.end() :]
        return None

    def _lookup(self, name: str) -> Any:
        resolver, colon, rest = name.partition(":")
        if colon:
            variable, _, default = rest.partition(",")
            return self.environ.get(variable.strip()) or default.strip() or None if resolver == "oc.env" else None
        value: Any = self.values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def read_configuration(paths: Sequence[Path], environ: Mapping[str, str]) -> Configuration:
    """Read YAML files, a later one over an earlier one, each over those that its `config_paths` names.

    `http://HOST:PORT` in place of a file is NeMo Gym's head server, which has the merged configuration of all that it
    has started, with hosts and ports. Raises `UsageError` with file, line and column.
    """
    merged: dict[str, Any] = {}
    seen: set[Path] = set()
    for path in paths:
        url = head_server(path)
        for content in [_fetched(url)] if url else _with_included(path, seen):
            merge(merged, content)
    return Configuration(inherited(merged), environ)


def head_server(path: Path) -> str:
    """The URL that was given in place of a file, empty for a file; of a `Path` one of its slashes is gone."""
    scheme, colon, rest = path.as_posix().partition(":/")
    return f"{scheme}://{rest.lstrip('/')}" if colon and scheme in ("http", "https") else ""


def search_folders(files: Iterable[Path]) -> list[Path]:
    """Where relative paths may start: here, or at the root of the repository that a file is from."""
    folders = [Path()]
    for file in files:
        if not head_server(file):
            folders += [folder for folder in file.resolve().parents if folder not in folders]
    return folders


def _with_included(path: Path, seen: set[Path]) -> Iterator[dict[str, Any]]:
    """What a file pulls in, then the file: each once, so that a circle ends."""
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    content = read_yaml(path)
    included = content.pop("config_paths", None) or []
    if not isinstance(included, list) or not all(isinstance(name, str) for name in included):
        raise UsageError(f"{path}: `config_paths` must be a list of paths")
    for name in included:
        found = next((one for folder in search_folders([path]) if (one := folder / name).is_file()), None)
        if found is None:
            raise UsageError(
                f"{path}: its `config_paths` names {name}, which is not here",
                hint="run this at the root of the repository that the file is from, or name the file, too",
            )
        yield from _with_included(found, seen)
    yield content


def _fetched(url: str) -> dict[str, Any]:
    from urllib.request import urlopen

    place = f"{url.rstrip('/')}/global_config_dict_yaml"
    try:
        with urlopen(place, timeout=_SECONDS) as reply:
            text = json.loads(reply.read(_LONGEST))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"{url} does not answer as NeMo Gym's head server: {reason}", hint="it listens on port 11000 by default"
        ) from None
    return parsed(text, place)


def read_yaml(path: Path, holds: str = _SERVERS) -> dict[str, Any]:
    """The mapping that a file of NeMo Gym holds. Raises `UsageError`, which says what it `holds`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint="name a YAML file of NeMo Gym") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint="name a YAML file of NeMo Gym") from error
    return parsed(text, str(path), holds)


def parsed(text: Any, origin: str, holds: str = _SERVERS) -> dict[str, Any]:
    """The mapping that a text holds. Raises `UsageError` that names its `origin`."""
    import yaml

    try:
        content = yaml.safe_load(text) if isinstance(text, str) else text
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{origin}:{mark.line + 1}:{mark.column + 1}" if mark is not None else origin
        raise UsageError(f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{origin}: it must be a mapping of {holds}", hint="name a YAML file of NeMo Gym")
    return {str(name): value for name, value in content.items()}
