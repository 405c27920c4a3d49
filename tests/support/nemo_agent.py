"""An agent server as NeMo Gym has it: its own model and environment behind `POST /run`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gym_http.serve.listener import Listener

Run = Callable[[dict[str, Any]], Any]
"""What is made of a row: what the answer has besides it, or a whole answer; it may be `async`."""

USAGE = {"input_tokens": 20, "output_tokens": 4, "total_tokens": 24}


@dataclass
class NemoAgent:
    """The server. `received`: the rows, as they came."""

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)


def result(row: dict[str, Any], reward: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row as such an agent answers it, after one tool call."""
    output = [
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "look",
            "arguments": "{}",
            "id": "fc_1",
            "status": "completed",
        },
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "It is 42.", "annotations": []}],
        },
    ]
    response = {"id": "resp_1", "object": "response", "model": "their-model", "output": output, "usage": USAGE}
    return {**row, "response": response, "reward": reward, **more}


@asynccontextmanager
async def nemo_agent(run: Run = result, *, openapi: bool = True, episodes: bool = False) -> AsyncIterator[NemoAgent]:
    """Serve one. `openapi`: whether it describes itself, as those of FastAPI do. `episodes`: it says it takes those."""
    agent = NemoAgent()

    async def answer(request: Request) -> Response:
        row = await request.json()
        agent.received.append(row)
        made = run(row)
        made = await made if inspect.isawaitable(made) else made
        return made if isinstance(made, Response) else JSONResponse(made)

    async def described(request: Request) -> Response:
        asked = {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}}}}
        paths = {"/run": {"post": asked}, "/v1/responses": {}, "/aggregate_metrics": {}}
        fields: dict[str, Any] = {"episode_id": {}, "task": {}} if episodes else {"responses_create_params": {}}
        return JSONResponse({"paths": paths, "components": {"schemas": {"Asked": {"properties": fields}}}})

    routes = [Route("/run", answer, methods=["POST"])]
    if openapi:
        routes.append(Route("/openapi.json", described))
    async with Listener(Starlette(routes=routes), grace=1.0) as listener:
        agent.url = listener.url
        yield agent
