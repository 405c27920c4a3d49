"""Serves every environment of the playground under its name, in one process: `python serve_all.py PACKAGE`."""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI
from openenv.core.env_server.http_server import create_app
from playground.tools import Till
from playground.worlds import Alone, Coin, Corridor, Guess, Hangman, Heavy, Numbers, Seen, Trouble

from gym_openenv.child import _application, load

root = FastAPI()
for world in (Alone, Coin, Corridor, Hangman, Heavy, Numbers, Till, Trouble):
    root.mount(f"/{world.__name__.lower()}", _application(world))
for most in (2, 64):
    root.mount(f"/numbers{most}", create_app(Numbers, Guess, Seen, max_concurrent_envs=most))
root.mount("/template", load(sys.argv[1]))
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(root, log_level="error", ws_ping_interval=0.5, ws_ping_timeout=0.5)).run([listening])
