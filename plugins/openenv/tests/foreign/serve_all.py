"""Serves every environment of the playground under its name, in one process: `python serve_all.py PACKAGE`.

`GET /heard` gives what was asked of them since the last time: path, kind and data of every reset and step.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from openenv.core.env_server.http_server import create_app
from playground.more import Clock, Judged, Ledger, Shelf, Sorting
from playground.tools import Till
from playground.worlds import Alone, Coin, Corridor, Guess, Hangman, Heavy, Numbers, Seen, Trouble

from gym_openenv.child import _application, load

heard: list[tuple[str, str, Any]] = []
root = FastAPI()


@root.get("/heard")
def said() -> list[tuple[str, str, Any]]:
    told = heard.copy()
    heard.clear()
    return told


for world in (Alone, Clock, Coin, Corridor, Hangman, Heavy, Judged, Ledger, Numbers, Shelf, Sorting, Till, Trouble):
    root.mount(f"/{world.__name__.lower()}", _application(world))
for most in (2, 64):
    root.mount(f"/numbers{most}", create_app(Numbers, Guess, Seen, max_concurrent_envs=most))
root.mount("/template", load(sys.argv[1]))


async def listening(scope: Any, receive: Any, send: Any) -> None:
    """The application, with an ear at its WebSockets."""

    async def hear() -> Any:
        message = await receive()
        if text := message.get("text"):
            asked = json.loads(text)
            if asked["type"] in ("reset", "step"):
                heard.append((scope["path"], asked["type"], asked["data"]))
        return message

    await root(scope, hear if scope["type"] == "websocket" else receive, send)


place = socket.create_server(("127.0.0.1", 0))
print(place.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(listening, log_level="error", ws_ping_interval=0.5, ws_ping_timeout=0.5)).run([place])
