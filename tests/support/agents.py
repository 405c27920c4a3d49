"""Agents for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from gym_core import Agent, Episode, Stop, StopReason


class LoopAgent(Agent):
    """Calls tools until the model answers: the loop of the documentation."""

    async def run(self, episode: Episode) -> Stop:
        items = list(episode.request.input)
        for _ in range(20):
            response = await episode.respond(items)
            calls = response.function_calls
            answers = await episode.call_tools(calls) if calls else await episode.reply(response)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *answers]
        return Stop(StopReason.MAX_TURNS)


class FunctionAgent(Agent):
    """An agent that is one function."""

    def __init__(self, function: Callable[[Episode], Awaitable[Any]]) -> None:
        super().__init__()
        self.function = function

    async def run(self, episode: Episode) -> Stop:
        """What the function returns; a text is a reason, or else the detail of `completed`."""
        result: Any = await self.function(episode)
        if isinstance(result, str):
            known = result in set(StopReason)
            return Stop(StopReason(result)) if known else Stop(StopReason.COMPLETED, result)
        return result  # type: ignore[no-any-return]
