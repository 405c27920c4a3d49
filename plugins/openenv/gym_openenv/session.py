"""One episode in a session of a server's: its tools, its actions, its rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core import BoundTool, Done, Item, Response, Session, ToolSpec, Trajectory, Verdict, user_message
from gym_core.errors import SessionError
from gym_core.spi import ArgumentError, is_number, parse_arguments
from gym_openenv.connection import Connection, Refused
from gym_openenv.observation import content, tool_result

if TYPE_CHECKING:
    from gym_openenv.environment import OpenEnv as OpenEnv

ENDED = "environment_done"
"""The stop reason of an episode that the environment ended."""
OVER = "The episode is over."
NOTHING = "(You see nothing new.)"
"""What a model is shown that has acted and is shown nothing."""
_UNFIT = "VALIDATION_ERROR"
"""How a server answers an action that is none of its own."""


class OpenEnvSession(Session["OpenEnv"]):
    """One episode. Its connection is open, and what the reset gave is there, before anything is asked of it."""

    connection: Connection
    opening: Mapping[str, Any]
    listed: Sequence[Mapping[str, Any]] | None = None
    """The tools that the environment lists, None where it takes actions of one form."""

    async def setup(self) -> Sequence[Item]:
        """Show what the reset gave."""
        self._rewards: list[float | None] = []
        self._take(self.opening)
        self._first = self._rewards.pop()
        seen = content(self.opening.get("observation") or {})
        return [user_message(*seen)] if seen else []

    async def list_tools(self) -> None:
        """Ask for the tools. Raises `SessionError`."""
        answer = await self._ask("mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}})
        result = answer.get("result")
        listed = result.get("tools") if isinstance(result, Mapping) else None
        if isinstance(listed, list):
            self.listed = [each for each in listed if isinstance(each, Mapping)]
        elif self.server.by_tools:
            raise SessionError(f"{self.server.name} lists no tools: {answer.get('error')}")

    def tools(self) -> Sequence[BoundTool]:
        """The tools that the environment lists, else one whose arguments are an action."""
        if self.listed is not None:
            return [_tool(each, self) for each in self.listed]
        return () if self.server.reply_field else [ToolSpec.described(self.server.step_schema, _step).bind(self)]

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """Take the answer for an action, where that is what actions are; else the model has had its last word."""
        if not self.server.reply_field:
            return Done()
        try:
            seen = await self.act({self.server.reply_field: response.output_text})
        except ArgumentError as error:
            return [user_message(str(error))]
        if seen is None or self._done:
            return Done(reason=ENDED)
        return [user_message(*(content(seen) or [NOTHING]))]

    async def act(self, action: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is seen after an action; None where the episode was over before.

        Raises `ArgumentError` for an action that the server does not take, which the model is told, and `SessionError`.
        """
        if self._done:
            return None
        seen = await self._ask("step", action)
        self._take(seen)
        observation = seen.get("observation")
        return observation if isinstance(observation, Mapping) else {}

    def _take(self, seen: Mapping[str, Any]) -> None:
        reward = seen.get("reward")
        if reward is not None and not (is_number(reward) or isinstance(reward, bool)):
            raise SessionError(f"{self.server.name} gave {reward!r:.80} as a reward")
        self._rewards.append(None if reward is None else float(reward))
        self._done = bool(seen.get("done"))

    def answered(self, parts: Sequence[Any]) -> Any:
        """What a tool gives for what is seen."""
        shown = list(parts) or NOTHING
        return Done(shown, reason=ENDED) if self._done else shown

    def verify(self, trajectory: Trajectory) -> Verdict:
        """The rewards of all steps together. Raises `SessionError` where no step gave one: that is no reward of 0."""
        given = [reward for reward in self._rewards if reward is not None] if self._rewards else self._unacted()
        if not given:
            raise SessionError(f"{self.server.name} gave no reward in {len(self._rewards)} steps")
        total = 0.0
        for reward in given:  # one after another, as its own clients do: `sum` rounds otherwise from Python 3.12 on
            total += reward
        return Verdict(total, info={"rewards": self._rewards, "steps": len(self._rewards), "done": self._done})

    def _unacted(self) -> list[float]:
        """What an episode without steps earns: as the options have it, else what the reset gave."""
        own = self.server.options.unacted
        reward = self._first if own is None else own
        if reward is None:
            raise SessionError(
                f"the model took no step, and {self.server.name} gives no reward before one",
                hint="-E unacted=0 says what such an episode earns",
            )
        return [reward]

    async def _ask(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self.connection.ask(kind, data)
        except Refused as error:
            if error.code == _UNFIT and kind == "step":
                raise ArgumentError("bad_arguments", str(error)) from None
            raise SessionError(f"{self.server.name}: {error.code}: {error}") from error


async def _step(session: OpenEnvSession, /, arguments: str) -> Any:
    seen = await session.act(parse_arguments(arguments))
    return Done(OVER, reason=ENDED) if seen is None else session.answered(content(seen))


def _tool(listed: Mapping[str, Any], session: OpenEnvSession) -> BoundTool:
    name = str(listed.get("name"))

    async def call(session: OpenEnvSession, /, arguments: str) -> Any:
        action = {"type": "call_tool", "tool_name": name, "arguments": parse_arguments(arguments)}
        seen = await session.act(action)
        return Done(OVER, reason=ENDED) if seen is None else session.answered(tool_result(seen))

    parameters = listed.get("inputSchema") or listed.get("input_schema")
    return ToolSpec.listed(name, listed.get("description"), parameters, call).bind(session)
