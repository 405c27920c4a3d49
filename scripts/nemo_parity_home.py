"""What NeMo Gym's own agents make of the examples of a server: run by the Python of its home.

Server, agent and model server are NeMo Gym's own classes, each behind a port of 127.0.0.1; the head server, Ray and the
command line, which start them otherwise, are left out. Prints a JSON object: rewards by row. Arguments: the server, the
agent, the endpoint, how many rows, how many steps, and how often all rows are played, so many at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

ident, agent, upstream, most, steps = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
times, at_once = (int(text) for text in sys.argv[6:8] or (1, 1))
NAMES = {"resources_servers": ident, "responses_api_agents": agent, "responses_api_models": "openai_model"}


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration() -> dict[str, Any]:
    model = {"openai_base_url": upstream, "openai_api_key": "none", "openai_model": "m"}
    refers = {
        "resources_server": {"type": "resources_servers", "name": "server"},
        "model_server": {"type": "responses_api_models", "name": "policy_model"},
        "max_steps": steps,
    }
    from gym_nemo_servers.loading import _configured, _folder

    own = _configured(ident, _folder(ident))
    place = {name: {"entrypoint": "app.py", "host": "127.0.0.1", "port": _port()} for name in ("s", "a", "m", "h")}
    return {
        "server": {"resources_servers": {ident: {**own, **place["s"]}}},
        "agent": {"responses_api_agents": {agent: {**refers, **place["a"]}}},
        "policy_model": {"responses_api_models": {"openai_model": {**model, **place["m"]}}},
        "head_server": place["h"],
    }


async def main() -> None:
    """Start the three, and ask the agent for each row."""
    configuration = _configuration()
    os.environ["NEMO_GYM_CONFIG_DICT"] = json.dumps(configuration)
    import importlib
    import inspect

    import aiohttp
    import uvicorn
    from nemo_gym.config_types import BaseServerConfig
    from nemo_gym.server_utils import ServerClient, SimpleServer
    from omegaconf import OmegaConf

    head = BaseServerConfig(**configuration.pop("head_server"))
    client = ServerClient(head_server_config=head, global_config_dict=OmegaConf.create(configuration))
    running = []
    folder = Path(inspect.getfile(importlib.import_module("nemo_gym"))).parent.parent
    for name, content in configuration.items():
        ((kind, implementations),) = content.items()
        ((implementation, settings),) = implementations.items()
        sys.path.insert(0, str(folder / kind / implementation))
        module = importlib.import_module(f"{kind}.{implementation}.app")
        made = [
            one
            for one in vars(module).values()
            if inspect.isclass(one) and issubclass(one, SimpleServer) and one.__module__ == module.__name__
        ][-1]
        config = made.model_fields["config"].annotation.model_validate({**settings, "name": name})
        app_server = made(config=config, server_client=client)
        app = app_server.setup_webserver()
        app_server.setup_exception_middleware(app)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=settings["port"], log_level="error"))
        running.append((server, asyncio.ensure_future(server.serve())))
    while not all(server.started for server, _ in running):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    url = f"http://127.0.0.1:{configuration['agent']['responses_api_agents'][agent]['port']}/run"
    with (folder / "resources_servers" / ident / "data" / "example.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()][:most]
    async with aiohttp.ClientSession() as session:
        limit = asyncio.Semaphore(at_once)

        async def play(index: int, row: Any, repeat: int) -> Any:
            body = {**row, "_ng_task_index": index, "_ng_rollout_index": repeat}
            async with limit, session.post(url, json=body) as answer:
                said = await answer.text()
                return json.loads(said).get("reward") if answer.status == 200 else f"{answer.status} {said:.200}"

        jobs = [play(index, row, repeat) for repeat in range(times) for index, row in enumerate(rows)]
        rewards = await asyncio.gather(*jobs)
    for server, _ in running:
        server.should_exit = True
    sys.__stdout__.write("\n" + json.dumps({"rewards": rewards}) + "\n")
    sys.__stdout__.flush()
    os._exit(0)


asyncio.run(main())
