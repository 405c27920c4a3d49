"""What reward functions say. Failures, which verifiers logs and turns into 0.0, are noted: none becomes a reward.

What a function has said of a state is kept as long as the state is, so that it is asked once, and not again when the
group is scored.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gym_core.spi import described


@dataclass(slots=True)
class Scores:
    """What functions have said of one state. `failed`: those that count nothing and failed, and how."""

    said: dict[tuple[int, int], float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Scoring:
    """One scoring, of one state or of several. `failures`: of functions that count, in the order that they failed."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._scores: dict[int, Scores] = {}  # by the identity of states, which live longer than this

    def of(self, state: Any) -> Scores:
        """What is known of a state."""
        return self._scores.setdefault(id(state), Scores())

    def know(self, state: Any, scores: Scores) -> None:
        """Take over what is known of a state already."""
        self._scores[id(state)] = scores

    def failed(self, states: list[Any], name: str, counts: bool, error: Exception) -> None:
        """A function has failed. One that counts nothing costs the states no more than its metric."""
        words = " ".join(described(error).split())[:400]
        if counts:
            self.failures.append(f"the reward function {name} failed: {words}")
            return
        for state in states:
            self.of(state).failed[name] = words


_scoring: ContextVar[Scoring | None] = ContextVar("gym_verifiers_scoring", default=None)


@contextmanager
def scoring() -> Iterator[Scoring]:
    """A scoring: what reward functions say within a block."""
    one = Scoring()
    token = _scoring.set(one)
    try:
        yield one
    finally:
        _scoring.reset(token)


def note_scores() -> None:
    """Have rubrics note what their functions say. They are called by verifiers as ever.

    It wraps what a rubric hands to its caller, not what it holds: names, weights and signatures stay as they are.
    """
    from verifiers.rubrics.rubric import Rubric

    if getattr(Rubric, "_gym_notes", False):
        return
    Rubric._call_individual_reward_func = _alone(Rubric._call_individual_reward_func)
    Rubric._call_group_reward_func = _together(Rubric._call_group_reward_func)
    Rubric._gym_notes = True


def _alone(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def called(self: Any, func: Callable[..., Any], state: Any) -> Any:
        current = _scoring.get()
        if current is None:
            return await call(self, func, state)
        said, key = current.of(state).said, (id(self), id(func))
        if key not in said:
            said[key] = await call(self, _noting(func, current, [state], _counts(self, func), alone=True), state)
        return said[key]

    return called


def _together(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    async def called(self: Any, func: Callable[..., Any], states: list[Any]) -> Any:
        current = _scoring.get()
        if current is None:
            return await call(self, func, states)
        return await call(self, _noting(func, current, states, _counts(self, func), alone=False), states)

    return called


def _noting(
    func: Callable[..., Any], current: Scoring, states: list[Any], counts: bool, *, alone: bool
) -> Callable[..., Any]:
    name = getattr(func, "__name__", repr(func))

    async def noted_call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = func(*args, **kwargs)
            if inspect.isawaitable(found):
                found = await found
            values = [found] if alone else list(found)
            if not alone and len(values) != len(states):
                raise ValueError(f"it returned {len(values)} numbers for {len(states)} rollouts")
            for value in values:
                if not math.isfinite(float(value)):
                    raise ValueError(f"it returned {value!r:.80}")
        except Exception as error:
            current.failed(states, name, counts, error)
            raise
        return found

    noted_call.__name__ = name
    noted_call.__signature__ = inspect.signature(func)  # type: ignore[attr-defined]
    return noted_call


def _counts(rubric: Any, func: Callable[..., Any]) -> bool:
    return any(weight and one is func for one, weight in zip(rubric.funcs, rubric.weights, strict=False))


def leaves(rubric: Any) -> Iterator[Any]:
    """The rubrics that hold functions: of a group of rubrics, or of a group of environments, those in it."""
    within = [*getattr(rubric, "rubrics", ()), *(env.rubric for env in getattr(rubric, "env_map", {}).values())]
    if not within:
        yield rubric
    for one in within:
        yield from leaves(one)


def weights(rubric: Any) -> dict[str, float]:
    """What each function counts, by its name."""
    return {
        getattr(func, "__name__", repr(func)): weight
        for one in leaves(rubric)
        for func, weight in zip(one.funcs, one.weights, strict=False)
    }


async def own_score(rubric: Any, state: Any) -> tuple[float, dict[str, float]] | None:
    """Reward and metrics by the functions that look at one state alone; None where none of these counts."""
    total, metrics, counted = 0.0, dict[str, float](), False
    for one in leaves(rubric):
        for func, weight in zip(one.funcs, one.weights, strict=False):
            if not one._is_group_func(func):
                value = await one._call_individual_reward_func(func, state)
                total += value * weight
                metrics[func.__name__] = metrics.get(func.__name__, 0.0) + value
                counted |= bool(weight)
    return (total, metrics) if counted else None
