"""What the index keeps of a row: read past everything that was said, which is most of it."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

import msgspec
import orjson

from gym_core import JsonError, Rollout, encode_json, parse_json
from gym_core.spi import REQUEST_FIELD, RESULT_FIELDS

LONGEST = 100
"""Characters of a field's value that is kept."""
_MESSAGE = 500
_MOST_FIELDS = 40
_NOT_OF_THE_TASK = frozenset({"task_id", REQUEST_FIELD, *RESULT_FIELDS})
_RESPONSE = b',"response":'
_NO_TOKENS = msgspec.Raw()

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _Error(msgspec.Struct):
    name: Any = msgspec.field(name="class", default="")
    phase: Any = ""
    message: Any = ""


class _Timing(msgspec.Struct):
    finished_at: float = 0.0
    seconds: float = 0.0
    model_seconds: float = 0.0
    waited_seconds: float = 0.0
    verify_seconds: float | None = None


class _ModelCall(msgspec.Struct):
    actor: str = "policy"
    tokens: msgspec.Raw = _NO_TOKENS


class _Tools(msgspec.Struct):
    calls: _Count = 0
    errors: dict[str, _Count] = {}


class _About(msgspec.Struct):
    run_id: Any
    repeat: _Count
    status: str
    attempt: _Count = 1
    task_id: Any = None
    stop_reason: Any = None
    error: _Error | None = None
    usage: Any = None
    cost: float | None = None
    timing: _Timing = msgspec.field(default_factory=_Timing)
    model_calls: list[_ModelCall] = []
    tools: _Tools = msgspec.field(default_factory=_Tools)


class _Row(msgspec.Struct):
    rollout: _About
    task_id: Any
    reward: float | None = None
    reward_components: dict[str, float] | None = None


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
    calls = about.model_calls
    actors: dict[str, int] = {}
    for call in calls:
        actors[call.actor] = actors.get(call.actor, 0) + 1
    return (
        number, offset, len(line), _task_id(row), about.repeat, about.attempt, about.status, _text(about.stop_reason),
        row.reward,
        orjson.dumps(row.reward_components).decode() if row.reward_components else "{}",
        _text(error.name) if error is not None else None,
        _text(error.phase) if error is not None else None,
        (_text(error.message) or "")[:_MESSAGE] if error is not None else None,
        _count(usage.get("input_tokens")), _count(usage.get("output_tokens")), about.cost, timing.seconds,
        timing.model_seconds, timing.waited_seconds, timing.finished_at, len(calls), about.tools.calls,
        sum(about.tools.errors.values()),
        orjson.dumps(actors).decode(),
        any(call.tokens is not _NO_TOKENS for call in calls),
        _fields(line),
        True,
    )  # fmt: skip


def _decoded(line: bytes) -> _Row:
    try:
        return _decode(line)
    except (msgspec.DecodeError, RecursionError):  # JSON as the world writes it, or a row with something odd in it
        pass
    try:
        return msgspec.convert(parse_json(line), _Row, strict=False)
    except JsonError as error:
        raise ValueError(str(error)) from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"not a row that gym wrote ({error})") from None


def _task_id(row: _Row) -> str:
    named = row.rollout.task_id or row.task_id
    return named if type(named) is str else Rollout({"task_id": named, "rollout": {}}).task_id


def _text(value: Any) -> str | None:
    return value if value is None or type(value) is str else str(value)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 62 else 0


def _fields(line: bytes) -> str:
    """The short fields of the row's task as JSON by their dotted names."""
    end = line.find(_RESPONSE)
    try:
        # where that is the name of something nested, a bracket lacks its partner
        task = orjson.loads(line[:end] + b"}") if end > 0 else parse_json(line)
    except ValueError:
        task = parse_json(line)
    found: dict[str, Any] = {}
    for name, value in task.items():
        if name in _NOT_OF_THE_TASK:
            continue
        if type(value) is dict:
            for inner, deeper in value.items():
                _keep(found, f"{name}.{inner}", deeper)
        else:
            _keep(found, name, value)
    return encode_json(found).decode() if found else "{}"


def _keep(found: dict[str, Any], name: str, value: Any) -> None:
    if len(found) < _MOST_FIELDS and len(name) <= LONGEST:
        kind = type(value)
        if (kind is str and len(value) <= LONGEST) or kind is int or kind is float or kind is bool:
            found[name] = value
