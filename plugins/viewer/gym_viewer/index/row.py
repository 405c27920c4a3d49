"""What the index keeps of a row: read past everything that was said, which is most of it."""

from __future__ import annotations

import math
from itertools import islice
from typing import Annotated, Any, TypeAlias

import msgspec
import orjson

from gym_core import JsonError, Rollout, encode_json, parse_json
from gym_core.spi import REQUEST_FIELD, RESULT_FIELDS

LONGEST = 100
"""Characters of a field's value that is kept."""
_MESSAGE = 500
_MOST_FIELDS = 40
_MOST_ACTORS = 10_000
NOT_OF_THE_TASK = frozenset({"task_id", REQUEST_FIELD, *RESULT_FIELDS})
_SHORT = frozenset({int, float, bool})
_RESPONSE = b',"response":'
_NONE = msgspec.Raw(b"{}")
_EMPTY = len(b"null")
COMPONENTS = "reward_components."
INFO = "rollout.info."
"""Where what the verifier kept stands in a row."""
OF_A_ROLLOUT = {
    "task": "task_id",
    "reward": "reward",
    "status": "rollout.status",
    "stop_reason": "rollout.stop_reason",
    "repeat": "rollout.repeat",
    "attempt": "rollout.attempt",
    "cost": "rollout.cost",
    "time": "rollout.timing.seconds",
    "seconds": "rollout.timing.seconds",
    "tool_calls": "rollout.tools.calls",
}
"""Where else in a row something stands that the page has a name for."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Error(msgspec.Struct, gc=False):
    name: Any = msgspec.field(name="class", default="")
    phase: Any = ""
    message: Any = ""


class _Timing(msgspec.Struct, gc=False):
    finished_at: float = 0.0
    seconds: float = 0.0
    model_seconds: float = 0.0
    waited_seconds: float = 0.0
    verify_seconds: float | None = None


class _ModelCall(msgspec.Struct, gc=False):
    actor: str = "policy"
    tokens: msgspec.Raw = _NONE


class _Tools(msgspec.Struct, gc=False):
    calls: _Count = 0
    errors: dict[str, _Count] = {}


class _About(msgspec.Struct, gc=False):
    run_id: Any
    repeat: _Count
    status: str
    attempt: _Count = 1
    task_id: Any = None
    stop_reason: Any = None
    error: _Error | None = None
    usage: Any = None
    info: msgspec.Raw = _NONE
    cost: float | None = None
    timing: _Timing = msgspec.field(default_factory=_Timing)
    model_calls: list[_ModelCall] = []
    tools: _Tools = msgspec.field(default_factory=_Tools)


class _Row(msgspec.Struct, gc=False):
    rollout: _About
    task_id: Any
    reward: float | None = None
    reward_components: dict[str, float | None] = {}


_decode = msgspec.json.Decoder(_Row).decode

COLUMNS = (
    "id", "offset", "length", "task", "repeat", "attempt", "status", "stop_reason", "reward", "components",
    "error_class", "error_phase", "error_message", "input_tokens", "output_tokens", "cost", "seconds", "model_seconds",
    "waited_seconds", "finished_at", "model_calls", "tool_calls", "tool_errors", "actors", "has_tokens", "fields",
    "standing",
)  # fmt: skip
"""What stands of each rollout in the table `rollout`, in this order."""


def columns_of(line: bytes, number: int, offset: int) -> tuple[Any, ...]:
    """The columns of a row. Raises `ValueError` for a line that gym did not write."""
    row = _decoded(line)
    about, timing, error = row.rollout, row.rollout.timing, row.rollout.error
    if row.reward is not None and not math.isfinite(row.reward):
        raise ValueError(f"the reward {row.reward!r} is no number that gym writes")
    usage = about.usage if type(about.usage) is dict else {}
    return (
        number, offset, len(line), _task_id(row), about.repeat, about.attempt, about.status, _text(about.stop_reason),
        row.reward, orjson.dumps(row.reward_components).decode(),
        _text(error.name) if error is not None else None,
        _text(error.phase) if error is not None else None,
        (_text(error.message) or "")[:_MESSAGE] if error is not None else None,
        _count(usage.get("input_tokens")), _count(usage.get("output_tokens")), about.cost, timing.seconds,
        timing.model_seconds, timing.waited_seconds, timing.finished_at, len(about.model_calls), about.tools.calls,
        sum(about.tools.errors.values()) if about.tools.errors else 0,
        *_calls(about.model_calls), _fields(line, about.info), True,
    )  # fmt: skip


def _decoded(line: bytes) -> _Row:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:  # JSON as the world writes it
        return _decode(encode_json(parse_json(line)))
    except JsonError as error:
        raise ValueError(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not a row that gym wrote ({error})") from None


def _calls(calls: list[_ModelCall]) -> tuple[str, bool]:
    """How many model calls each actor made, as JSON, and whether any has exact tokens."""
    actors: dict[str, int] = {}
    has_tokens = False
    for call in calls:
        actors[call.actor] = actors.get(call.actor, 0) + 1
        if call.tokens is not _NONE:
            has_tokens = True
    return _ACTORS.get((*actors.items(),)) or _written(actors), has_tokens


_ACTORS: dict[tuple[tuple[str, int], ...], str] = {}
"""The same few over and over."""


def _written(actors: dict[str, int]) -> str:
    text = orjson.dumps(actors).decode()
    if len(_ACTORS) < _MOST_ACTORS:
        _ACTORS[(*actors.items(),)] = text
    return text


def _task_id(row: _Row) -> str:
    named = row.rollout.task_id or row.task_id
    return named if type(named) is str else Rollout({"task_id": named, "rollout": {}}).task_id


def _text(value: Any) -> str | None:
    return value if value is None or type(value) is str else str(value)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else 0


def _fields(line: bytes, info: msgspec.Raw) -> str:
    """The short fields of the row's task, and of its verdict's `info`, as JSON by their dotted names."""
    end = line.find(_RESPONSE)
    try:
        # where that is the name of something nested, a bracket lacks its partner
        task = orjson.loads(line[:end] + b"}") if end > 0 else parse_json(line)
    except ValueError:
        task = parse_json(line)
    found: dict[str, Any] = {}
    for name, value in task.items():
        kind = type(value)
        if kind is dict:
            if name not in NOT_OF_THE_TASK:
                _add_short(found, value, f"{name}.", _MOST_FIELDS, deep=False)
        elif (kind in _SHORT or (kind is str and len(value) <= LONGEST)) and name not in NOT_OF_THE_TASK:
            found[name] = value
    if len(found) > _MOST_FIELDS:
        found = dict(islice(found.items(), _MOST_FIELDS))
    if info is not _NONE and len(info) > _EMPTY:
        kept = orjson.loads(memoryview(info))
        if type(kept) is dict:
            _add_short(found, kept, INFO, 2 * _MOST_FIELDS, deep=True)
    return encode_json(found).decode() if found else "{}"


def _add_short(found: dict[str, Any], value: dict[str, Any], before: str, most: int, *, deep: bool) -> None:
    for name, one in value.items():
        kind = type(one)
        if kind in _SHORT or (kind is str and len(one) <= LONGEST):
            if len(found) >= most:
                return
            found[before + name] = one
        elif kind is dict and deep:
            _add_short(found, one, f"{before}{name}.", most, deep=False)
