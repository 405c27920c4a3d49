"""A resource server that speaks NeMo Gym's protocol, written from what is known of it: counters that reach a target.

It is strict where a lax one would hide a client's mistakes: each answer of a session brings a new cookie, and only the
latest is good; a response has to be as whole as the `openai` package wants it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import itsdangerous
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

COOKIE = "CounterResourcesServer___counter"
TOKEN = "x-nemo-gym-session-token"
SCHEMA: dict[str, Any] = {
    "type": "function",
    "name": "increment",
    "description": "Add `by` to the counter and return its value.",
    "parameters": {"type": "object", "properties": {"by": {"type": "integer"}}, "required": ["by"]},
    "strict": True,
}
_RESPONSE = ("id", "created_at", "model", "object", "output", "parallel_tool_calls", "tool_choice", "tools")
_ITEMS = {
    "message": ("id", "status", "role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": ("id", "summary"),
}


@dataclass
class CounterServer:
    """The server. `seen`: the path and the body of each request. `sessions`: the state of each.

    `closing`: what it says of the body of `/close_session`; None for a server without. `mcp`: whether it lists its
    tools over MCP, to whoever has the token of a session.
    """

    described: bool = True
    mcp: bool = False
    closing: dict[str, Any] | None = None
    seen: list[tuple[str, Any]] = field(default_factory=list)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._signer = itsdangerous.URLSafeSerializer("a secret of this process")
        self._count = 0

    def app(self) -> Starlette:
        """Its ASGI application."""
        routes = [
            Route("/seed_session", self.seed_session, methods=["POST"]),
            Route("/verify", self.verify, methods=["POST"]),
            Route("/aggregate_metrics", self.aggregate_metrics, methods=["POST"]),
            Route("/increment", self.increment, methods=["POST"]),
            Route("/close_session", self.close_session, methods=["POST"]),
            Route("/forget", self.forget, methods=["POST"]),
            Route("/mcp", self.listed, methods=["POST"]),
            Route("/", self.root),
        ]
        if self.described:
            routes.append(Route("/openapi.json", self.openapi))
        return Starlette(routes=routes)

    async def root(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def openapi(self, request: Request) -> Response:
        paths: dict[str, Any] = {
            path: {"post": {}} for path in ("/seed_session", "/verify", "/aggregate_metrics", "/increment")
        }
        if self.closing is not None:
            paths["/close_session"] = {"post": self.closing}
        return JSONResponse({"openapi": "3.1.0", "paths": paths})

    async def seed_session(self, request: Request) -> Response:
        row = await self._body(request)
        self._count += 1
        name = f"s{self._count}"
        self.sessions[name] = {"count": row["start"], "version": 0}
        place = {"server_name": "counter", "url_path": "/mcp", "transport": "http", "headers": {TOKEN: name}}
        return self._answer(name, JSONResponse({"mcp": place} if self.mcp else {}))

    async def listed(self, request: Request) -> Response:
        body = await self._body(request)
        if "text/event-stream" not in request.headers["accept"] or body["method"] != "tools/list":
            return PlainTextResponse("Not Acceptable", 406)
        if request.headers.get(TOKEN) not in self.sessions:
            return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32600, "message": "whose?"}})
        tool = {"name": SCHEMA["name"], "description": SCHEMA["description"], "inputSchema": SCHEMA["parameters"]}
        return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": {"tools": [tool]}})

    async def increment(self, request: Request) -> Response:
        body = await self._body(request)
        name = self._session(request)
        if name is None:
            return PlainTextResponse("Session not initialized. Please call seed_session first.", 400)
        by = body.get("by") if isinstance(body, dict) else None
        if type(by) is not int:
            wrong = {"type": "int_type", "loc": ["body", "by"], "msg": "Input should be a valid integer", "input": by}
            return self._answer(name, JSONResponse({"detail": [wrong]}, 422))
        self.sessions[name]["count"] += by
        return self._answer(name, JSONResponse({"count": self.sessions[name]["count"]}))

    async def forget(self, request: Request) -> Response:
        await self._body(request)
        self.sessions.clear()
        return PlainTextResponse("gone")

    async def close_session(self, request: Request) -> Response:
        body = await self._body(request)
        name = self._session(request)
        if body or name is None:
            return JSONResponse({"detail": "no such session"}, 422)
        del self.sessions[name]
        return JSONResponse({"closed": True})

    async def verify(self, request: Request) -> Response:
        row = await self._body(request)
        name = self._session(request)
        if name is None:
            return JSONResponse({"detail": "no such session"}, 500)
        wrong = _incomplete(row["response"])
        if wrong:
            return JSONResponse({"detail": wrong}, 422)
        count, target = self.sessions[name]["count"], row["target"]
        answer = {
            **row,
            "reward": float(count == target),
            "reward_components": {"exact": float(count == target), "close": 1 / (1 + abs(count - target))},
            "final_count": count,
            "mask_sample": bool(row.get("broken")),
            "failure_reason": "the sandbox was lost" if row.get("broken") else None,
            **row.get("said", {}),
        }
        return self._answer(name, JSONResponse(answer))

    async def aggregate_metrics(self, request: Request) -> Response:
        return JSONResponse({"group_level_metrics": [], "agent_metrics": {}, "key_metrics": {}})

    async def _body(self, request: Request) -> Any:
        body = await request.json()
        self.seen.append((request.url.path, body))
        return body

    def _session(self, request: Request) -> str | None:
        try:
            name, version = self._signer.loads(request.cookies.get(COOKIE, ""))
        except itsdangerous.BadSignature:
            return None
        session = self.sessions.get(name)
        return name if session is not None and session["version"] == version else None

    def _answer(self, name: str, response: Response) -> Response:
        session = self.sessions[name]
        session["version"] += 1
        response.set_cookie(COOKIE, self._signer.dumps([name, session["version"]]), httponly=True, samesite="lax")
        return response


def _incomplete(response: Any) -> str:
    for name in _RESPONSE:
        if name not in response:
            return f"response.{name} is missing"
    for place, item in enumerate(response["output"]):
        for name in _ITEMS.get(item.get("type"), ("type",)):
            if name not in item:
                return f"response.output.{place}.{name} is missing"
        for part in item.get("content") or () if item.get("role") == "assistant" else ():
            if part["type"] == "output_text" and "annotations" not in part:
                return f"response.output.{place}.content.annotations is missing"
    return ""


def row(number: int = 0, start: int = 3, target: int = 10, **fields: Any) -> dict[str, Any]:
    """A row as its datasets have them: the tools in the request, the agent's name, no id."""
    return {
        "responses_create_params": {
            "input": [{"role": "user", "content": f"Counter {number} is at {start}. Make it {target}."}],
            "tools": [SCHEMA],
            "parallel_tool_calls": False,
        },
        "start": start,
        "target": target,
        "agent_ref": {"type": "responses_api_agents", "name": "counter_simple_agent"},
        **fields,
    }
