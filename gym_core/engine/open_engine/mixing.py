"""Several streams taken in turn, by ratio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from typing import Any, TypeVar

from gym_core.domain.errors import UsageError

ItemT = TypeVar("ItemT")


async def mix(streams: Sequence[tuple[AsyncIterable[ItemT], float]]) -> AsyncGenerator[ItemT, None]:
    """Groups, rollouts or tasks of several environments, mixed by ratio.

        async for group in gym_core.mix([(math.groups(math_tasks, 8), 3), (code.groups(code_tasks, 8), 1)]):
            ...

    `streams`: each with its weight, a number above 0. After any number of items each stream has given its share of
    them, to within one; the order is the same every time. All streams are begun at once, and where it is the turn of
    one that has nothing yet, it is waited for, while the others work ahead as far as they do so by themselves. It ends
    when the turn comes to a stream that has ended; leaving it ends all of them. Raises `UsageError` for other weights.
    """
    for _, weight in streams:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise UsageError(f"the weight of a stream must be a number above 0, not {weight!r:.80}")
    iterators = [aiter(stream) for stream, _ in streams]
    weights = [weight for _, weight in streams]
    credit = [0.0] * len(weights)
    following: list[asyncio.Future[ItemT]] = [asyncio.ensure_future(_next(iterator)) for iterator in iterators]
    try:
        while following:
            # Smooth weighted round robin, as nginx has it: the credit of all sums up to 0 after each turn.
            for number, weight in enumerate(weights):
                credit[number] += weight
            number = max(range(len(credit)), key=credit.__getitem__)
            credit[number] -= sum(weights)
            try:
                item = await following[number]
            except StopAsyncIteration:
                return
            following[number] = asyncio.ensure_future(_next(iterators[number]))
            yield item
    finally:
        for pending in following:
            pending.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        for iterator in iterators:
            if (close := getattr(iterator, "aclose", None)) is not None:
                await close()


async def _next(iterator: Any) -> Any:
    """The next item, as a coroutine: a task takes nothing else."""
    return await anext(iterator)
