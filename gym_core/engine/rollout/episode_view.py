"""What an agent holds of a rollout: the episode, and nothing behind it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from gym_core.domain.responses import FunctionCallOutput, Item, Request, Response

POLICY = "policy"


class Source(Protocol):
    """What an episode is a view of."""

    @property
    def request(self) -> Request: ...  # noqa: D102
    async def respond(self, items: Sequence[Item], actor: str, params: Mapping[str, Any]) -> Response: ...  # noqa: D102
    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]: ...  # noqa: D102
    async def reply(self, response: Response) -> Sequence[Item]: ...  # noqa: D102


class EpisodeView:
    """The episode that an agent works on. Its one attribute has a mangled name: nobody reaches behind by accident."""

    __slots__ = ("__source",)

    def __init__(self, source: Source) -> None:
        self.__source = source

    @property
    def request(self) -> Request:
        """The task's request, with the opening observation and the tools."""
        return self.__source.request

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools the model may call."""
        return self.__source.request.tools

    # These hand the coroutine through: another one around it would cost as much as the rest of the call.

    def respond(self, items: Sequence[Item], *, actor: str = POLICY, **params: Any) -> Coroutine[Any, Any, Response]:
        """Ask the model to continue a conversation."""
        return self.__source.respond(items, actor, params)

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Run one function call."""
        return (await self.__source.call_tools([call]))[0]

    def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> Coroutine[Any, Any, list[FunctionCallOutput]]:
        """Run the calls of one response."""
        return self.__source.call_tools(calls)

    def reply(self, response: Response) -> Coroutine[Any, Any, Sequence[Item]]:
        """What the environment answers to a response without calls."""
        return self.__source.reply(response)
