"""What the child process does that a server is started in: import it, say where it listens, serve until let go.

OpenEnv and the environment are imported here alone.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import socket
import sys
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import IO, Any

from gym_core import UsageError, encode_json, parse_json
from gym_core.spi import LoadFailure, did_you_mean, loading, read_message, when_let_go, write_message

APP = "app"
"""What an application is called in the module that makes it, as `openenv init` has it."""
_USUAL = "server.app"
"""Where it is in a package."""


def serve(requests: IO[bytes], replies: IO[bytes], grace: float) -> None:
    """Serve what the one request names on a free port of loopback, which the one answer tells."""
    wanted = parse_json(read_message(requests))
    try:
        with loading(f"openenv:{wanted['app']}", lambda failure: _hints(wanted["app"], failure)):
            made = _noting_capacity(wanted["sessions"])
            app = load(wanted["app"])
            import uvicorn

            listening = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(
                app, log_level="warning", access_log=False, timeout_graceful_shutdown=int(grace) or 1
            )
            server = uvicorn.Server(config)
    except UsageError as error:
        write_message(replies, encode_json({"error": error.message, "hint": error.hint}))
        sys.exit(1)

    def ended() -> None:
        server.should_exit = True

    when_let_go(requests.fileno(), grace, ended)
    write_message(replies, encode_json({"port": listening.getsockname()[1], "most": max(made, default=0)}))
    asyncio.run(server.serve(sockets=[listening]))


def load(path: str) -> Any:
    """The application that an import path names: one, or the class of an environment, of which one is made.

    Raises `UsageError` for what is neither, and whatever the author's code raises.
    """
    name, _, attribute = path.partition(":")
    module = importlib.import_module(name)
    if not attribute and not hasattr(module, APP):
        module = _usual(name)
    found = getattr(module, attribute or APP, None)
    if found is None:
        guess = did_you_mean(attribute or APP, dir(module), most=3, shown=f"{module.__name__}:{{}}".format)
        raise UsageError(f"{module.__name__} has no `{attribute or APP}`{guess}")
    if inspect.isclass(found):
        return _application(found)
    if not callable(found):
        raise UsageError(f"{module.__name__}:{attribute or APP} is no application and no class of an environment")
    return found


def _usual(name: str) -> ModuleType:
    place = f"{name}.{_USUAL}"
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        raise UsageError(
            f"neither {name} nor {place} has an application", hint=f"name it: openenv:{name}.MODULE:APP"
        ) from None


def _application(environment: type[Any]) -> Any:
    from openenv.core.env_server.http_server import create_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.mcp_environment import MCPEnvironment
    from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
    from openenv.core.env_server.types import Action, Observation

    if not issubclass(environment, Environment):
        raise UsageError(f"{environment.__module__}:{environment.__name__} is no environment of OpenEnv")
    hints = typing.get_type_hints(environment.step)
    action, observation = hints.get("action"), hints.get("return")
    if issubclass(environment, MCPEnvironment) and (not inspect.isclass(action) or action is Action):
        action, observation = CallToolAction, CallToolObservation
    for kind, base in ((action, Action), (observation, Observation)):
        if not inspect.isclass(kind) or not issubclass(kind, base):
            raise UsageError(
                f"the `step` of {environment.__name__} does not say which {base.__name__} it is for",
                hint="name the application that its `create_app` gives: openenv:MODULE:APP",
            )
    return create_app(environment, action, observation, env_name=environment.__name__)


def _noting_capacity(wanted: int) -> list[int]:
    """Have servers that are made take `wanted` sessions where their environments can have several; how many they take.

    How many is a matter of who deploys: the number that stands in most packages is the one of the template, 1.
    """
    from openenv.core.env_server.http_server import HTTPEnvServer

    made: list[int] = []
    make, check = HTTPEnvServer.__init__, HTTPEnvServer._validate_concurrency_safety

    def making(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        given = self._max_concurrent_envs
        try:
            self._max_concurrent_envs = max(given, wanted)
            check(self)
        except Exception:  # it can have one at a time
            self._max_concurrent_envs = given
        made.append(self._max_concurrent_envs)

    HTTPEnvServer.__init__ = making
    return made


def _hints(path: str, failure: LoadFailure) -> Iterator[str]:
    if missing := failure.missing_module:
        if f"{path.partition(':')[0]}.".startswith(f"{missing}."):
            yield "what stands after `openenv:` is PACKAGE, or MODULE:APP"
        yield f"install {missing} beside it: `--with {missing}` in its venv"
    if failure.wants_key:
        yield "it asks a model of its own: -E see_keys=true lets it see keys, and what it asks passes by gym"
