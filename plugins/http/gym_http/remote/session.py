"""A session that lives at a server: every method is one request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gym_core import (
    Done,
    GymError,
    Item,
    JsonError,
    Response,
    Session,
    SessionContext,
    SessionInfo,
    Task,
    ToolSpec,
    Trajectory,
    Verdict,
    parse_json,
)
from gym_core.errors import EpisodeOver
from gym_core.responses import SESSION_DONE
from gym_core.spi import ArgumentError, BoundTool
from gym_http.protocol.client import BROKEN
from gym_http.protocol.errors import RemoteError, WireError
from gym_http.protocol.wire import info_from_wire, items_from_wire, task_to_wire, trajectory_to_wire, verdict_from_wire
from gym_http.remote.connection import places
from gym_nemo.foreign_verdict import NotMeasured

if TYPE_CHECKING:
    from gym_http.remote.environment import RemoteResourceServer

logger = logging.getLogger("gym")
_NEEDED = ("open_tools", "concurrent_tools", "judges_trajectory")


class OpenRemote:
    """Opens a session at the server, and ends it there."""

    __slots__ = ("_context", "_models", "_server", "_session", "_task")

    def __init__(self, server: RemoteResourceServer, task: Task, context: SessionContext) -> None:
        self._server = server
        self._task = task
        self._context = context
        self._models = server.lend(context)
        self._session: RemoteSession | None = None

    async def __aenter__(self) -> RemoteSession:
        context, server = self._context, self._server
        body = {"task": task_to_wire(self._task), "seed": context.seed, "repeat": context.repeat}
        models = await self._models.__aenter__()
        if models:
            body["models"] = places(models)
        try:
            reply = await server.connection.open("POST", "/v1/sessions", body)
            self._session = RemoteSession(self._task, server, context, reply.object())
        except BaseException as error:
            await self._models.__aexit__(type(error), error, error.__traceback__)
            raise
        return self._session

    async def __aexit__(self, *error: object) -> None:
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            await self._models.__aexit__(None, None, None)


class RemoteSession(Session["RemoteResourceServer"]):
    """The client's end of a session. `opened`: what the server said when it opened it."""

    def __init__(
        self, task: Task, server: RemoteResourceServer, context: SessionContext, opened: Mapping[str, Any]
    ) -> None:
        super().__init__(task, server, context)
        try:
            self._path = f"/v1/sessions/{quote(opened['id'], safe='')}"
            self._token: str = opened["token"]
            self._tools: list[dict[str, Any]] = opened["tools"]
            capabilities = opened["capabilities"]
            self._info = info_from_wire(SessionInfo, {name: capabilities[name] for name in _NEEDED} | capabilities)
        except (KeyError, TypeError) as error:
            raise _broken(server, f"it opened a session without {error}") from None
        except WireError as error:
            raise _broken(server, error.message) from None
        self._opening: Sequence[Item] | None = opened.get("opening")
        self._closed = False

    def describe(self) -> SessionInfo:
        """What the session there says. Its tools have to be asked for, as they are no methods of this class."""
        return replace(self._info, lists_tools=True)

    def setup(self) -> Sequence[Item] | None:
        """What the server's `setup` answered when the session was opened."""
        return self._opening

    def tools(self) -> Sequence[BoundTool]:
        """The tools that the server offers for this task."""
        return [BoundTool(spec, self) for spec in self.server.specs(self._tools)]

    async def call_open_tool(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """A tool that only the request names."""
        return await self.call(name, arguments)

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> Any:
        """One call, sent once. What was wrong with it is raised as `ArgumentError`, of the kind the server says."""
        answer = await self._ask(f"/tools/{quote(name, safe='')}", {"arguments": arguments})
        output, fault, done = answer.get("output", ""), answer.get("error"), answer.get("done")
        if fault:
            raise ArgumentError(str(fault), _fault(output))
        if done:
            return Done(output, str(done.get("reason") or SESSION_DONE))
        return output

    async def answer_calls(self, response: Response) -> Sequence[Any] | None:
        """What the environment answers all calls of a response with; None where they are to run."""
        answer = (await self._ask("/answer_calls", {"response": response.body})).get("answers")
        if answer is None:
            return None
        try:
            return [_result(one["output"], one.get("done")) for one in answer]
        except (KeyError, TypeError, AttributeError) as error:
            raise _broken(self.server, f"answers without {error}") from None

    async def reply(self, response: Response) -> Sequence[Item] | Done:
        """The environment's answer to a response without calls."""
        if not self._info.replies:
            return Done()
        answer = await self._ask("/reply", {"response": response.body})
        done = answer.get("done")
        if done:
            return Done(reason=str(done.get("reason") or SESSION_DONE))
        try:
            return items_from_wire(answer.get("items"), "items")
        except WireError as error:
            raise _broken(self.server, str(error)) from None

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """The server's verdict."""
        answer = await self._ask("/verify", {"trajectory": trajectory_to_wire(trajectory)})
        try:
            return verdict_from_wire(answer, "verdict")
        except (WireError, NotMeasured) as error:
            raise _broken(self.server, str(error)) from None

    async def close(self) -> None:
        """End the session at the server. One that is gone there needs no ending."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.server.connection.ask("DELETE", self._path, token=self._token)
        except RemoteError as error:
            if not error.unreachable:
                raise
            logger.info("a session was not closed: %s", error)

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reply = await self.server.connection.ask("POST", self._path + path, body, token=self._token)
        except EpisodeOver as error:  # said to an agent it would mean that all is well
            raise RemoteError(f"{self.server.connection.name}: {error.message}", status=409) from None
        return reply.object()


def remote_tool(schema: dict[str, Any]) -> ToolSpec:
    """A tool of a server by its schema; the server checks the arguments."""
    return ToolSpec.described(schema, partial(_call, str(schema.get("name", ""))))


async def _call(name: str, session: RemoteSession, *, arguments: str) -> Any:
    return await session.call(name, arguments)


def _result(output: Any, done: Mapping[str, Any] | None) -> Any:
    return Done(output, str(done.get("reason") or SESSION_DONE)) if done else output


def _fault(output: Any) -> str:
    """The words within the answer to a bad call, which the engine wraps again."""
    try:
        return str(parse_json(output)["error"])
    except (JsonError, KeyError, TypeError):
        return str(output)


def _broken(server: RemoteResourceServer, problem: str) -> GymError:
    return RemoteError(f"{server.connection.name} answered as no session does: {problem}", code=BROKEN, status=200)
