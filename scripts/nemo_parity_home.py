"""What NeMo Gym's own agents make of the examples of a server: run by the Python of its venv.

Server, agent and model servers are NeMo Gym's own classes, each behind a port of 127.0.0.1; the head server, Ray and
the command line, which start them otherwise, are left out. Arguments: the server, the agent, the endpoint, how many
rows, how many steps, how often all rows are played, and so many at once. Prints a JSON object: rewards by row.

With a file as the last argument it serves: it prints `url`, where the server is, and plays once more for each line
`play` that it reads, until there are none; each line begins the random numbers of the process anew. What the server was
asked and has answered goes to the file, an object a line.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import inspect
import json
import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ident, agent, upstream, most, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
times, at_once = (int(text) for text in sys.argv[6:8] or (1, 1))
log = sys.argv[8] if len(sys.argv) > 8 else ""
NAMES = {"resources_servers": ident, "responses_api_agents": agent, "responses_api_models": "openai_model"}


def _place() -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return {"entrypoint": "app.py", "host": "127.0.0.1", "port": int(probe.getsockname()[1])}


def _configuration() -> tuple[dict[str, Any], bool]:
    """The server with its own settings, the agent, and the model servers that it names; whether it names some."""
    from gym_nemo_servers.loading import configured, model_names, server_folder

    own = configured(ident, server_folder(ident))
    refers = {
        "resources_server": {"type": "resources_servers", "name": "server"},
        "model_server": {"type": "responses_api_models", "name": "policy_model"},
        "max_steps": steps,
    }
    model = {"openai_base_url": upstream, "openai_api_key": "none", "openai_model": "m"}
    named = model_names(own)
    configuration = {
        "server": {"resources_servers": {ident: {**own, **_place()}}},
        "agent": {"responses_api_agents": {agent: {**refers, **_place()}}},
        **{
            name: {"responses_api_models": {"openai_model": {**model, **_place()}}} for name in {"policy_model", *named}
        },
        "head_server": _place(),
    }
    return configuration, bool(named)


class Logged:
    """An application, with what it is asked and answers written down. `cookie`: the one that holds its session."""

    def __init__(self, app: Any, cookie: str) -> None:
        self._app, self._cookie = app, cookie
        self._file = open(log, "a", encoding="utf-8")  # noqa: SIM115

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, or the lifespan."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        asked, answered = bytearray(), bytearray()
        status, cookies = 0, [value for name, value in scope["headers"] if name == b"cookie"]

        async def heard() -> Any:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def said(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                cookies.extend(value for name, value in message["headers"] if name.lower() == b"set-cookie")
            answered.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, heard, said)
        session = next((one for cookie in cookies for one in _session(cookie.decode(), self._cookie)), "")
        line = {"path": scope["path"], "session": session, "asked": _read(asked), "status": status}
        self._file.write(json.dumps({**line, "answered": _read(answered)}) + "\n")
        self._file.flush()


def _read(body: bytearray) -> Any:
    try:
        return json.loads(bytes(body))
    except ValueError:
        return bytes(body).decode(errors="replace")


def _session(cookies: str, wanted: str) -> Iterator[str]:
    """The id of the session that the cookie of Starlette with that name holds."""
    for part in cookies.split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            yield str(json.loads(base64.b64decode(value.partition(".")[0]))["session_id"])


class Seeded(random.Random):
    """A generator that draws the same for whoever asks."""

    def __init__(self, seed: Any = None) -> None:
        super().__init__(0 if seed is None else seed)


async def _start(configuration: dict[str, Any]) -> list[Any]:
    """Start all of them, each within its folder's reach, and wait until they listen."""
    import uvicorn
    from nemo_gym.config_types import BaseServerConfig
    from nemo_gym.server_utils import ServerClient, SimpleServer
    from omegaconf import OmegaConf

    head = BaseServerConfig(**configuration.pop("head_server"))
    client = ServerClient(head_server_config=head, global_config_dict=OmegaConf.create(configuration))
    running = []
    for name, content in configuration.items():
        ((kind, implementations),) = content.items()
        ((implementation, settings),) = implementations.items()
        sys.path.insert(0, str(_installed() / kind / implementation))
        if name == "server" and log:
            os.chdir(_installed() / kind / implementation)  # where NeMo Gym starts it
        module = importlib.import_module(f"{kind}.{implementation}.app")
        made = [
            one
            for one in vars(module).values()
            if inspect.isclass(one) and issubclass(one, SimpleServer) and one.__module__ == module.__name__
        ][-1]
        config = made.model_fields["config"].annotation.model_validate({**settings, "name": name})
        app_server = made(config=config, server_client=client)
        app = app_server.setup_webserver()
        if getattr(config, "expose_tools_over_mcp", False) is True:
            from nemo_gym.mcp_auto_exposure import maybe_auto_expose

            maybe_auto_expose(app_server, app)
        app_server.setup_exception_middleware(app)
        asked = Logged(app, app_server.get_session_middleware_key()) if name == "server" and log else app
        server = uvicorn.Server(uvicorn.Config(asked, host="127.0.0.1", port=settings["port"], log_level="error"))
        running.append((server, asyncio.ensure_future(server.serve())))
    while not all(server.started for server, _ in running):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return running


def _installed() -> Path:
    return Path(inspect.getfile(importlib.import_module("nemo_gym"))).parent.parent


async def _rewards(url: str) -> list[Any]:
    """Play all rows by the agent. What failed is its status and text; what the verifier masked is None."""
    import aiohttp

    path = _installed() / "resources_servers" / ident / "data" / "example.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:most]
    async with aiohttp.ClientSession() as session:
        limit = asyncio.Semaphore(at_once)

        async def play(index: int, row: Any, repeat: int) -> Any:
            body = {**row, "_ng_task_index": index, "_ng_rollout_index": repeat}
            async with limit, session.post(url, json=body) as answer:
                said = await answer.text()
                if answer.status != 200:
                    return f"{answer.status} {said:.1000}"
                verdict = json.loads(said)
                return None if verdict.get("mask_sample") or verdict.get("_ng_failure_class") else verdict.get("reward")

        jobs = [play(index, row, repeat) for repeat in range(times) for index, row in enumerate(rows)]
        return await asyncio.gather(*jobs)


def _say(**content: Any) -> None:
    assert sys.__stdout__ is not None
    sys.__stdout__.write("\n" + json.dumps(content) + "\n")
    sys.__stdout__.flush()


async def main() -> None:
    """Start them, and ask the agent for each row."""
    configuration, judges = _configuration()
    if log:
        random.Random = Seeded  # type: ignore[misc]
    os.environ["NEMO_GYM_CONFIG_DICT"] = json.dumps(configuration)
    running = await _start(configuration)
    url = f"http://127.0.0.1:{configuration['agent']['responses_api_agents'][agent]['port']}/run"
    if log:
        place = configuration["server"]["resources_servers"][ident]["port"]
        _say(url=f"http://127.0.0.1:{place}", judges=judges)
        while line := await asyncio.to_thread(sys.stdin.readline):
            random.seed(0)
            _say(rewards=await _rewards(url) if line == "play\n" else [])
    else:
        _say(rewards=await _rewards(url))
    for server, _ in running:
        server.should_exit = True
    os._exit(0)


asyncio.run(main())
