"""A session at a resource server of NeMo Gym.

The session lives in a cookie, which every answer may replace. Tools are the request's own; what the server says to a
call, of any status, is the answer to the model, as it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from gym_core import Item, Session, SessionContext, Task, ToolSpec, Trajectory, Verdict
from gym_core.errors import SessionError
from gym_core.spi import BoundTool, parse_arguments
from gym_http.protocol.client import BROKEN, Reply
from gym_http.protocol.errors import RemoteError
from gym_http.remote.connection import Connection
from gym_nemo.foreign_verdict import NotMeasured, read_verdict
from gym_nemo.rows import ROUTES, as_response, row_for

if TYPE_CHECKING:
    from gym_http.remote.detect import Served

POLICY = "policy"


class CookieSession:
    """A session that a cookie names, which every answer may replace."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cookies: dict[str, str] = {}

    @property
    def named(self) -> bool:
        """Whether there is a cookie."""
        return bool(self._cookies)

    async def post(self, path: str, body: Any) -> Reply:
        """One request of the session, sent once."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        reply = await self.connection.request("POST", path, body, headers=headers if self._cookies else None)
        self.keep(reply)
        return reply

    def keep(self, reply: Reply) -> None:
        """Take the cookies of an answer."""
        for name, value in reply.cookies.items():
            if value:
                self._cookies[name] = value
            else:
                self._cookies.pop(name, None)


class NemoPlace(Protocol):
    """What a session is opened at: a server of NeMo Gym, and what is known of it."""

    @property
    def connection(self) -> Connection:
        """The way there."""
        ...

    @property
    def served(self) -> Served | None:
        """What it says of itself, once that is known."""
        ...


class OpenNemo:
    """Seeds a session at the server, and closes it where the server does that."""

    __slots__ = ("_session",)

    def __init__(self, server: NemoPlace, task: Task, context: SessionContext) -> None:
        self._session = NemoSession(task, server, context)

    async def __aenter__(self) -> NemoSession:
        await self._session.begin()
        return self._session

    async def __aexit__(self, *error: object) -> None:
        await self._session.end()


class NemoSession(Session[Any]):
    """One rollout at a resource server of NeMo Gym."""

    open_tools = True

    def __init__(self, task: Task, server: NemoPlace, context: SessionContext) -> None:
        super().__init__(task, server, context)
        self._asked = CookieSession(server.connection)
        self._opening: list[Item] = []
        self._tools: Sequence[BoundTool] = ()
        self._row = row_for(task, context.repeat)

    async def begin(self) -> None:
        """Open the session. Raises `SessionError` for a task with a tool that has the name of a route."""
        taken = sorted(ROUTES.intersection(str(tool.get("name")) for tool in self.task.request.tools))
        if taken:
            raise SessionError(f"the task's tool `{taken[0]}` cannot be called: the server has a route of that name")
        reply = await self.server.connection.open("POST", "/seed_session", self._row)
        self._asked.keep(reply)
        if not isinstance(answer := reply.json(), dict):
            return
        if isinstance(opening := answer.get("opening"), list):
            self._opening = opening
        if isinstance(place := answer.get("mcp"), dict) and not self.task.request.tools:
            self._tools = await self._listed(place)

    async def end(self) -> None:
        """Close the session, if it was seeded and the server does that; it ends what is left by its own limits."""
        served = self.server.served
        if served is None or not served.closes or not self._asked.named:
            return
        with suppress(RemoteError):
            await self._asked.post(served.closes, {})

    def setup(self) -> Sequence[Item]:
        """The opening observation, which a server of gym gives on these routes, too; theirs has none."""
        return self._opening

    def tools(self) -> Sequence[BoundTool]:
        """Those that the server lists over MCP, where the task names none of its own."""
        return self._tools

    async def _listed(self, place: Mapping[str, Any]) -> list[BoundTool]:
        """What is listed over the MCP that a seeded session was given: routes of tools, which are called as such.

        The endpoint keeps no sessions and answers each message alone, as `nemo_gym.mcp_auto_exposure` sets it up.
        """
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {**(place.get("headers") or {}), "Accept": "application/json, text/event-stream"}
        connection = self.server.connection
        reply = connection.checked(
            await connection.request("POST", str(place.get("url_path") or "/mcp"), asked, headers=headers)
        )
        try:
            return [_tool_of(tool).bind(self) for tool in reply.object()["result"]["tools"]]
        except (KeyError, TypeError, AttributeError):
            raise RemoteError(f"{reply.where} listed no tools", code=BROKEN, status=reply.status) from None

    async def call_open_tool(self, name: str, arguments: Mapping[str, Any]) -> str:
        """One call, sent once: `POST /<name>` with the arguments; the text of the answer is the output."""
        reply = await self._asked.post(f"/{quote(name, safe='')}", arguments)
        return reply.text

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """`POST /verify` with the row and the response. Raises `SessionError` when the server could not measure."""
        request = self.task.request.body
        last = next((call for call in reversed(trajectory.model_calls) if call.actor == POLICY), None)
        body = {"id": last.response_id, "model": last.model} if last is not None else {}
        response = as_response(body, trajectory.unique_items[len(self._opening) :], request)
        sent = {**self._row, "response": response}
        reply = self.server.connection.checked(await self._asked.post("/verify", sent))
        answer = reply.object()
        try:
            return read_verdict(answer, sent)
        except NotMeasured as error:
            raise SessionError(f"{self.server.connection.name} {error.message}") from None


def _tool_of(listed: Mapping[str, Any]) -> ToolSpec:
    name = listed["name"]

    async def call(session: NemoSession, arguments: str) -> str:
        return await session.call_open_tool(name, parse_arguments(arguments))

    return ToolSpec.listed(name, listed.get("description"), listed.get("inputSchema"), call)
