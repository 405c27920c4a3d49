"""NeMo Gym's configuration files: several YAML documents laid over each other, with `${...}` in their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_core import UsageError

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_SECRET = re.compile(r"(^|_)(api_?key|key|token|secret|password|credentials?|authorization)s?$", re.IGNORECASE)
_MISSING = "???"
_NESTED = 8


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
    """Read YAML files, a later one over an earlier one. Raises `UsageError` with file, line and column."""
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, _read(path))
    return Configuration(merged, environ)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint="name a YAML file of NeMo Gym") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint="name a YAML file of NeMo Gym") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise UsageError(f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: it must be a mapping of servers by name", hint="name a YAML file of NeMo Gym")
    return {str(name): value for name, value in content.items()}


def _merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        known = under.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping):
            _merge(known, value)
        else:
            under[name] = value
