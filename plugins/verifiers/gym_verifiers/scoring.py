"""Failures of reward functions, which verifiers logs and turns into 0.0: noted here, so that none becomes a reward."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gym_core.spi import described

_failures: ContextVar[list[str] | None] = ContextVar("gym_verifiers_failures", default=None)


@contextmanager
def noted() -> Iterator[list[str]]:
    """What fails in reward functions within a block, in the order that it does."""
    failures: list[str] = []
    token = _failures.set(failures)
    try:
        yield failures
    finally:
        _failures.reset(token)


def noting(env: Any) -> None:
    """Have the rubrics of an environment note what fails. Their functions are called by verifiers as ever.

    It wraps what a rubric hands to its caller, not what it holds: names, weights and signatures stay as they are.
    """
    from verifiers.rubrics.rubric import Rubric

    if getattr(Rubric, "_gym_noting", False):
        return
    for name in ("_call_individual_reward_func", "_call_group_reward_func"):
        setattr(Rubric, name, _calling(getattr(Rubric, name), alone=name == "_call_individual_reward_func"))
    Rubric._gym_noting = True


def _calling(call: Callable[..., Any], *, alone: bool) -> Callable[..., Any]:
    @functools.wraps(call)
    async def called(self: Any, func: Callable[..., Any], state: Any) -> Any:
        return await call(self, _noting(func, alone=alone), state)

    return called


def _noting(func: Callable[..., Any], *, alone: bool) -> Callable[..., Any]:
    name = getattr(func, "__name__", repr(func))

    async def noted_call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = func(*args, **kwargs)
            if inspect.isawaitable(found):
                found = await found
            for value in [found] if alone else found:
                if not math.isfinite(float(value)):
                    raise ValueError(f"it returned {value!r:.80}")
        except Exception as error:
            failures = _failures.get()
            if failures is not None:
                failures.append(f"the reward function {name} failed: {' '.join(described(error).split())[:400]}")
            raise
        return found

    noted_call.__name__ = name
    noted_call.__signature__ = inspect.signature(func)  # type: ignore[attr-defined]
    return noted_call
