"""The routes of a served environment under `/v1`, where no tool's name can meet one."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gym_core import Done, ResourceServer, Rollout, Session, SessionInfo, encode_json
from gym_core import Response as ModelResponse
from gym_core.errors import FieldError, InputError
from gym_core.spi import REQUEST_FIELD, blame_row, class_tools, derive_seed, session_info
from gym_http.protocol.errors import ROW, ServeError, WireError
from gym_http.protocol.sessions import GroupRequest, OpenSession, ReplyRequest, ToolCall, VerifyRequest
from gym_http.protocol.sessions import Session as Opened
from gym_http.protocol.shapes import Kind, read
from gym_http.protocol.wire import info_to_wire, session_to_wire, task_of_body, trajectory_of_body, verdict_to_wire
from gym_http.serve.application import PHASE
from gym_http.serve.auth import SessionRoute, bearer, unauthorized
from gym_http.serve.disconnects import while_connected
from gym_http.serve.environment.opener_models import OpenerModels
from gym_http.serve.environment.session import ServedSession
from gym_http.serve.environment.sessions import Sessions, unknown_session
from gym_http.serve.environment.tasks import TaskPages
from gym_http.serve.json_body import parse_object, read_as, read_body
from gym_http.serve.json_reply import json_reply

_JSON = (b"content-type", b"application/json")


def routes(server: ResourceServer, sessions: Sessions, opener_models: OpenerModels) -> list[BaseRoute]:
    """The routes of an environment under `/v1`, those asked most first.

    `opener_models`: what makes models from the URLs that come with a new session.
    """
    own = _Routes(server, sessions, opener_models)
    one = "/v1/sessions/{ident}"
    return [
        SessionRoute(one + "/tools/{name:path}", _ToolCall(sessions), methods=["POST"], name="call_tool"),
        SessionRoute(one + "/answer_calls", own.answer_calls, methods=["POST"]),
        SessionRoute(one + "/reply", own.reply, methods=["POST"]),
        SessionRoute(one + "/verify", own.verify, methods=["POST"]),
        SessionRoute(one, own.close, methods=["DELETE"]),
        Route("/v1/sessions", own.open, methods=["POST"], name="open_session"),
        Route("/v1/score_group", own.score_group, methods=["POST"]),
        Route("/v1/tasks", own.tasks, methods=["GET"]),
        Route("/v1/tools", own.tools, methods=["GET"]),
    ]


def describe_capabilities(server: ResourceServer, models: Container[str] = ()) -> dict[str, Any]:
    """What an environment is capable of, as far as that is known before a session is open.

    `models`: the roles that the server has models for, so that who opens a session need not give them.
    """
    info, session_type = server.describe(), getattr(server, "session_type", None)
    return {
        **info_to_wire(session_info(session_type) if session_type is not None else SessionInfo()),
        **info_to_wire(info),
        "roles": [role for role in info.roles if role not in models],
        "optional_roles": [role for role in info.optional_roles if role not in models],
        "tools": tool_schemas(server),
    }


def tool_schemas(server: ResourceServer) -> list[dict[str, Any]] | None:
    """The tools of all sessions, None where they depend on the task."""
    session_type: type[Session[Any]] | None = getattr(server, "session_type", None)
    if session_type is None or session_info(session_type).lists_tools:
        return None
    return [spec.schema for spec in class_tools(session_type)]


def tool_names(server: ResourceServer) -> list[str] | None:
    """The only functions that a row may name, None where that depends on the task or where any will do."""
    schemas = tool_schemas(server)
    if schemas is None or session_info(server.session_type).open_tools:
        return None
    return [schema["name"] for schema in schemas]


class _Routes:
    def __init__(self, server: ResourceServer, sessions: Sessions, opener_models: OpenerModels) -> None:
        self._server = server
        self._sessions = sessions
        self._opener_models = opener_models
        self._pages = TaskPages(server, sessions.tokens)

    async def open(self, request: Request) -> Response:
        body = await read_as(OpenSession, request)
        task = task_of_body(body["task"])
        repeat = body.get("repeat") or 0
        settings = self._sessions.settings
        seed = body.get("seed")
        if seed is None:
            seed = derive_seed(settings.seed, task.task_id, repeat)
        caller = request.client.host if request.client is not None else None
        gates = await self._opener_models.gates(body.get("models") or {}, caller)
        request.scope[PHASE] = "setup"
        try:
            opening = self._sessions.open(task, seed=seed, repeat=repeat, gates=gates)
            served = await while_connected(request, opening)
        except (InputError, KeyError) as error:
            raise row_refused(error, task, ROW) from error
        tokens, info = self._sessions.tokens, served.session.describe()
        opened: Opened = {
            "id": served.ident,
            "token": tokens.make("owner", served.ident),
            "tool_token": tokens.make("tool", served.ident),
            "opening": None if served.opening is None else list(served.opening),
            "tools": served.schemas,
            "capabilities": session_to_wire(info, self._sessions.lacking(info.roles)),
            "expires_in": settings.session_life,
            "idle_seconds": settings.session_idle,
        }
        if await request.is_disconnected():  # nobody will ever hear of it
            await self._sessions.close(served.ident)
        return json_reply(opened, 201)

    async def answer_calls(self, request: Request) -> Response:
        body = await self._body(ReplyRequest, request, "tool")
        served = self._authorized(request)
        answers = await served.answer_calls(ModelResponse(body["response"]))
        self._sessions.touch(served)
        return json_reply({"answers": answers})

    async def reply(self, request: Request) -> Response:
        body = await self._body(ReplyRequest, request, "reply")
        served = self._authorized(request)
        answer = await served.reply(ModelResponse(body["response"]))
        self._sessions.touch(served)
        if isinstance(answer, Done):
            return json_reply({"items": [], "done": {"reason": answer.reason, "output": answer.output}})
        return json_reply({"items": answer, "done": None})

    async def verify(self, request: Request) -> Response:
        body = await self._body(VerifyRequest, request, "verify", owner=True)
        served = self._authorized(request, owner=True)
        verdict = await served.verify(trajectory_of_body(body["trajectory"]))
        self._sessions.touch(served)
        return json_reply(verdict_to_wire(verdict))

    async def close(self, request: Request) -> Response:
        ident = authorize(self._sessions, request.scope, owner=True)
        await self._sessions.close(ident)
        return Response(status_code=204)

    async def score_group(self, request: Request) -> Response:
        request.scope[PHASE] = "score_group"
        if not self._server.describe().scores_groups:
            raise ServeError(404, "this environment scores no groups", hint="its sessions judge each rollout alone")
        body = await read_as(GroupRequest, request)
        scoring = self._sessions.score_group([Rollout(row) for row in body["rollouts"]])
        verdicts = await while_connected(request, scoring)
        return json_reply({"verdicts": [verdict_to_wire(verdict) for verdict in verdicts]})

    async def tasks(self, request: Request) -> Response:
        return await self._pages.answer(request)

    async def tools(self, request: Request) -> Response:
        return json_reply({"tools": tool_schemas(self._server)})

    async def _body(self, kind: type[Kind], request: Request, phase: str, *, owner: bool = False) -> Kind:
        """The body of a request about a session, read only for those who may ask."""
        request.scope[PHASE] = phase
        authorize(self._sessions, request.scope, owner=owner)
        return await read_as(kind, request)

    def _authorized(self, request: Request, *, owner: bool = False) -> ServedSession:
        return self._sessions.find(authorize(self._sessions, request.scope, owner=owner))


class _ToolCall:
    """`POST /v1/sessions/{id}/tools/{name}`, as ASGI: it is asked more often than all others together."""

    __slots__ = ("_sessions",)

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[PHASE] = "tool"
        sessions = self._sessions
        ident = authorize(sessions, scope)
        body = read(ToolCall, parse_object(await read_body(receive)))
        served = sessions.find(ident)
        answer = await served.tool(scope["path_params"]["name"], body["arguments"], str(body.get("call_id") or ""))
        sessions.touch(served)
        content = encode_json(answer.to_wire())
        length = (b"content-length", str(len(content)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
        await send({"type": "http.response.body", "body": content})


def authorize(sessions: Sessions, scope: Scope, *, owner: bool = False) -> str:
    """The session that a request may touch, by its id. `owner`: the token for tools is not enough.

    Raises `ServeError`: 401 without a token, 404 for a token that is not the session's, 403 for the wrong one of its
    two. Whether there is such a session plays no part.
    """
    ident: str = scope["path_params"]["ident"]
    token = bearer(scope["headers"])
    if not token:
        raise unauthorized("a session wants its own token", "send it as `Authorization: Bearer TOKEN`")
    kind = sessions.tokens.kind(ident, token)
    if kind is None:
        raise unknown_session()
    if owner and kind != "owner":
        raise ServeError(403, "this takes the token of the session's owner, not the one for its tools")
    return ident


def row_refused(error: Exception, task: Mapping[str, Any], prefix: str = "") -> BaseException:
    """How an error of `setup` is answered: 422 with the field's name where the row does not fit the environment."""
    found = blame_row(error, task)
    if isinstance(found, FieldError):
        return WireError(f"{prefix}{found.field}", found.problem)
    if isinstance(found, InputError):
        return ServeError(422, found.message, field=prefix.rstrip(".") or REQUEST_FIELD, hint=found.hint)
    return found
