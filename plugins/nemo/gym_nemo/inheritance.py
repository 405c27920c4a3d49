"""`_inherit_from`, `_copy` and `_delete_key` of NeMo Gym's configurations: a part that stands at another place, too.

`_inherit_from: NAME` moves the part of that dotted name here, below what stands here already; `_copy` leaves it where
it was. `${inherit_from:NAME}` and `${copy:NAME}` are the same for a whole value. `_delete_key: a, b` leaves keys out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from gym_core import UsageError

_INHERIT, _COPY, _DELETE = "_inherit_from", "_copy", "_delete_key"
_WHOLE = re.compile(r"\$\{(inherit_from|copy):([^${}]*)\}")
_DEEPEST = 32


def inherited(values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with all of these carried out. Raises `UsageError` for a name that is not there."""
    made = deepcopy(dict(values))
    _walk(made, made, values, 0)
    return made


def merge(under: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay a configuration over another one, key by key."""
    for name, value in over.items():
        known = under.get(name)
        if isinstance(known, dict) and isinstance(value, Mapping):
            merge(known, value)
        else:
            under[name] = value


def _walk(part: dict[str, Any], whole: dict[str, Any], before: Mapping[str, Any], depth: int) -> None:
    """`before`: as it was read, from where parts are taken: one may be wanted at several places."""
    if depth > _DEEPEST:
        raise UsageError(f"the configuration inherits in a circle, or deeper than {_DEEPEST} levels")
    for key, value in list(part.items()):
        if key not in part:  # it has been moved away
            continue
        if isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    _walk(one, whole, before, depth + 1)
        left_out = _left_out(value)
        moved, source = _source(value)
        if source is None:
            if isinstance(value, dict):
                _walk(value, whole, before, depth + 1)
            continue
        taken = deepcopy(_at(before, source, key))
        if isinstance(taken, dict) and isinstance(value, dict):
            merge(taken, value)
        if isinstance(taken, dict):
            for name in left_out:
                taken.pop(name, None)
            holder = {key: taken}
            _walk(holder, whole, before, depth + 1)
            taken = holder[key]
        if moved:
            _remove(whole, source)
        part[key] = taken


def _left_out(value: Any) -> list[str]:
    """The keys that a part is to be without, which it then is."""
    if not isinstance(value, dict) or not isinstance(value.get(_DELETE), str):
        return []
    names = [name.strip() for name in value.pop(_DELETE).split(",")]
    for name in names:
        value.pop(name, None)
    return names


def _source(value: Any) -> tuple[bool, str | None]:
    """Whether it is moved, and from where; None where nothing is inherited."""
    if isinstance(value, str) and (whole := _WHOLE.fullmatch(value)):
        return whole[1] == "inherit_from", whole[2].strip()
    if isinstance(value, dict):
        for name in (_INHERIT, _COPY):
            if isinstance(value.get(name), str):
                return name == _INHERIT, value.pop(name)
    return False, None


def _at(values: Mapping[str, Any], path: str, key: str) -> Any:
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise UsageError(
                f"{key} inherits from {path!r}, which the configuration does not have", hint="name the file that has it"
            )
        found = found[name]
    return found


def _remove(values: dict[str, Any], path: str) -> None:
    *outer, last = path.split(".")
    found: Any = values
    for name in outer:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, dict):
        found.pop(last, None)
