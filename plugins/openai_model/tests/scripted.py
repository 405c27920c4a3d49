"""A scripted endpoint on loopback, and the backend over any dialect and transport."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gym_core import CallContext, Request, Response
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.options import OpenAIOptions

DIALECTS = ("responses", "chat")
TRANSPORTS = ("httptools", "aiohttp", "sdk")


@dataclass
class Reply:
    """One scripted reply: `body` is sent as JSON unless it is bytes."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """What the endpoint received; headers by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Endpoint:
    """Gives its replies in order, the last one again and again; `GET /models` has one of its own."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.models = Reply({"object": "list", "data": [{"id": "some-model"}]})
        self.seen: list[Seen] = []
        self.hang = threading.Event()
        self.hanging = False
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(endpoint.models)

            def do_POST(self) -> None:
                reply = endpoint.replies.pop(0) if len(endpoint.replies) > 1 else endpoint.replies[0]
                self.answer(reply)

            def answer(self, reply: Reply) -> None:
                length = int(self.headers.get("content-length") or 0)
                data = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = json.loads(data) if data else None
                endpoint.seen.append(Seen(self.command, self.path, headers, body))
                if endpoint.hanging:
                    endpoint.hang.wait(30)
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                pass  # a client that leaves early is what some tests are about

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def script(self, *replies: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Set the next replies: bodies, or whole `Reply` objects."""
        self.replies = [reply if isinstance(reply, Reply) else Reply(reply, status, headers or {}) for reply in replies]

    @property
    def sent(self) -> Any:
        """The body of the last request."""
        return self.seen[-1].body

    def close(self) -> None:
        """Let hanging requests go and stop."""
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass
class Caller:
    """The backend over one dialect and transport, as a function call; without a name over the usual transport."""

    endpoint: Endpoint
    dialect: str
    transport: str = TRANSPORTS[0]

    def options(self, **options: Any) -> OpenAIOptions:
        """Options that lead to the scripted endpoint."""
        defaults = {
            "base_url": self.endpoint.url,
            "model": "some-model",
            "api": self.dialect,
            "transport": self.transport,
        }
        return OpenAIOptions.model_validate({**defaults, **options})

    def __call__(self, *requests: Request | str, context: CallContext | None = None, **options: Any) -> Response:
        """Make model calls one after the other; returns the last response."""

        async def call() -> Response:
            async with OpenAIModel(self.options(**options)) as model:
                for request in requests or ("Hi",):
                    asked = Request.ask(request) if isinstance(request, str) else request
                    response = await model.respond(asked, context or CallContext())
                return response

        return asyncio.run(call())


def text_reply(dialect: str, text: str = "Sunny.", **fields: Any) -> dict[str, Any]:
    """A reply with one message, in a dialect."""
    if dialect == "chat":
        message = {"role": "assistant", "content": text, **fields}
        return completion(message)
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": None}
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part], **fields}
    return response(item)


def completion(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "some-model",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None, **fields}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def response(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A Responses body."""
    return {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": "some-model",
        "status": "completed",
        "error": None,
        "output": list(items),
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
        **fields,
    }
