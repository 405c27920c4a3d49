"""A served environment's tools over the Model Context Protocol: `gym serve --env REF --mcp`.

One route, `POST /mcp/{id}`: a request names a session that was opened by `POST /v1/sessions`, and proves it by that
session's token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core.spi import Redactor
from gym_http.serve.auth import SessionRoute, bearer, unauthorized
from gym_http.serve.mcp import MCPEndpoint

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import Scope

    from gym_http.serve.environment.session import ServedSession, ToolAnswer
    from gym_http.serve.environment.sessions import Sessions

PATH = "/mcp/{ident}"


class SessionsOverMCP(MCPEndpoint):
    """The tools of all sessions of a served environment. `name` and `version`: of the environment."""

    def __init__(self, sessions: Sessions, *, name: str, version: str = "", redactor: Redactor | None = None) -> None:
        super().__init__(
            lambda scope: _SessionTools(sessions, sessions.find(_authorized(sessions, scope))),
            name=name,
            version=version,
            redact=(Redactor() if redactor is None else redactor).redact,
            max_body=sessions.settings.max_body,
        )

    def routes(self) -> list[BaseRoute]:
        """The route, which asks for a session's token."""
        return [SessionRoute(PATH, self, methods=["POST"], name="mcp")]


class _SessionTools:
    def __init__(self, sessions: Sessions, served: ServedSession) -> None:
        self._sessions = sessions
        self._served = served

    @property
    def schemas(self) -> Sequence[Mapping[str, Any]]:
        return self._served.schemas

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolAnswer:
        answer = await self._served.tool(name, arguments)
        self._sessions.touch(self._served)
        return answer


def _authorized(sessions: Sessions, scope: Scope) -> str:
    """The session of a request by its id. Whether there is such a session plays no part in the refusal."""
    ident: str = scope["path_params"]["ident"]
    token = bearer(scope["headers"])
    if not token:
        raise unauthorized("a session wants its own token", "POST /v1/sessions answers with `tool_token`")
    if sessions.tokens.kind(ident, token) is None:
        raise unauthorized("the token is not this session's", "POST /v1/sessions answers with `tool_token`")
    return ident
