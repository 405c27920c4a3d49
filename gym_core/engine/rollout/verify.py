"""A verifier's answer, checked: a verdict of plain numbers and plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gym_core.domain.errors import SessionError
from gym_core.domain.json_text import JsonError, plain_json, whole_text
from gym_core.domain.rollout import Verdict


def checked_verdict(verdict: Any, said: str = "verify") -> Verdict:
    """A verifier's answer as a verdict of plain numbers and plain JSON. Raises `SessionError` for anything else.

    `said`: the function that gave it.
    """
    if type(verdict) is float and math.isfinite(verdict):
        return Verdict(verdict)
    if not isinstance(verdict, Verdict):
        return Verdict(_number(verdict, None, said))
    components, info, rewards = verdict.components, verdict.info, verdict.rewards
    if not isinstance(components, Mapping):
        raise SessionError(f"`{said}` gave components of type {kind_of(components)}; it must be a mapping of numbers")
    if not isinstance(rewards, Mapping):
        raise SessionError(
            f"`{said}` gave rewards of type {kind_of(rewards)}; it must be a mapping of numbers by actor"
        )
    metrics = verdict.metrics
    if type(metrics) is not dict and not isinstance(metrics, Mapping):
        raise SessionError(f"`{said}` gave metrics of type {kind_of(metrics)}; it must be a mapping of numbers")
    if not all(isinstance(name, str) for name in (*components, *rewards, *metrics)):
        raise SessionError(f"`{said}` gave a reward component or a metric whose name is no text")
    try:
        info = {} if type(info) is dict and not info else plain_json(info)
    except JsonError as error:
        raise SessionError(f"`{said}` gave info that is no JSON: {error}") from None
    if not isinstance(info, dict):
        raise SessionError(f"`{said}` gave info of type {kind_of(verdict.info)}; it must be an object")
    return Verdict(
        _number(verdict.reward, "reward", said),
        _numbers(components, said) if components else {},
        info,
        _numbers(rewards, said) if rewards else {},
        _numbers(metrics, said) if metrics else {},
    )


def _numbers(named: Mapping[str, Any], said: str) -> dict[str, float]:
    return {whole_text(str.__str__(name)): _number(value, name, said) for name, value in named.items()}


def _number(value: Any, name: str | None, said: str) -> float:
    """What a verifier gave as a number as a plain float; `name`: as what it gave it, None for all that it returned."""
    number = value
    if type(number) is not float:
        if not _is_number(value):
            if name is None:
                raise SessionError(f"`{said}` returned {kind_of(value)}; it must be a number or a Verdict")
            raise SessionError(f"`{said}` gave {name} = {shown(value)}, which is {kind_of(value)}; it must be a number")
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError) as error:
            raise SessionError(f"`{said}` gave {name or 'a reward'} that is no number: {error}") from None
    if not math.isfinite(number):
        raise SessionError(f"`{said}` gave {name or 'reward'} = {number!r}; it must be a finite number")
    return number


def _is_number(value: Any) -> bool:
    """Whether something is one number: of Python, of numpy, or an array or tensor without dimensions."""
    if isinstance(value, int | float | Decimal | Fraction):  # a bool among them: True is 1.0
        return True
    kind = type(value)
    if not hasattr(kind, "__float__") or isinstance(value, str | bytes | complex):
        return False
    return not getattr(value, "ndim", 0) and getattr(getattr(value, "dtype", None), "kind", "f") in "biuf"


def kind_of(value: Any) -> str:
    """The type of a value by its name, with its module where that says more."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    shape = getattr(value, "shape", ())
    about = f" of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else ""
    return kind.__name__ + about if module in ("builtins", "") else f"{module}.{kind.__name__}{about}"


def shown(value: Any) -> str:
    """A value in a message."""
    try:
        text = repr(value)
    except Exception:
        return "something"
    return text if len(text) <= 100 else f"{text[:100]}..."
