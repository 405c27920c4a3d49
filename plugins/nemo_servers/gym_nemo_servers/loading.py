"""Making a resources server from its class, as its own `run_webserver` does, but for Ray, telemetry and a port."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_core.spi import LoadFailure, loading
from gym_nemo.yaml_files import Configuration, read_configuration
from gym_nemo_servers.models import model_client
from gym_nemo_servers.names import FOLDER, unknown

_VARIABLE = "NEMO_GYM_CONFIG_DICT"
_PLACE = {"host": "127.0.0.1", "port": 0, "entrypoint": "app.py"}
"""What a configuration has to say, and nobody listens at."""
_MODELS = "responses_api_models"
_PATH = re.compile(r"(?!/)[^\n\0]{1,255}[/.][^\n\0]{1,255}")
"""What may name a file below a folder: it has a slash or a suffix."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A server that was made. `app`: its ASGI application. `asks_models`: its configuration names some.

    `lists_tools`: those of a session over MCP.
    """

    app: Any
    folder: Path
    asks_models: bool
    lists_tools: bool = False


def mount(ident: str, given: Mapping[str, Any]) -> Mounted:
    """Make a server; `given` lies over its configuration. Raises `UsageError`, whatever its code raises."""
    if importlib.util.find_spec("nemo_gym") is None:
        raise UsageError("NeMo Gym is not installed here", hint=f"gym install --isolated nemo:{ident}")
    folder = server_folder(ident)
    with loading(f"nemo:{ident}", lambda failure: hints(ident, folder, failure)), redirect_stdout(sys.stderr):
        return _mounted(ident, folder, given)


def server_folder(ident: str) -> Path:
    """Where a server lies. Raises `UsageError` for one that NeMo Gym does not have."""
    import nemo_gym

    servers = Path(inspect.getfile(nemo_gym)).parent.parent / FOLDER
    folder = servers / ident
    if (folder / "app.py").is_file():
        return folder
    raise unknown(ident, [path.parent.name for path in servers.glob("*/app.py")])


def _mounted(ident: str, folder: Path, given: Mapping[str, Any]) -> Mounted:
    settings = {
        **_PLACE,
        **_placed(configured(ident, folder), folder),
        **_placed(given, folder, Path()),
        "name": ident,
    }
    models = model_names(settings)
    everything = {
        ident: {FOLDER: {ident: settings}},
        **{name: {_MODELS: {"gym": _PLACE}} for name in models},
        "head_server": {"host": "127.0.0.1", "port": 0},
    }
    os.environ[_VARIABLE] = json.dumps(everything)
    sys.path.insert(0, str(folder))  # NeMo Gym starts `app.py` there
    module = importlib.import_module(f"{FOLDER}.{ident}.app")
    from fastapi.exceptions import RequestValidationError
    from nemo_gym.server_utils import SimpleServer

    found = [one for one in vars(module).values() if _is_server(one, module.__name__, SimpleServer)]
    if not found:
        raise UsageError(f"nemo:{ident}: its app.py has no class of a server")
    kind = found[-1].model_fields["config"].annotation
    defaults = {name: field.default for name, field in kind.model_fields.items() if isinstance(field.default, str)}
    config = kind.model_validate({**_placed(defaults, folder), **settings})
    server = found[-1](config=config, server_client=model_client(everything))
    app = server.setup_webserver()
    lists_tools = getattr(config, "expose_tools_over_mcp", False) is True
    if lists_tools:
        from nemo_gym.mcp_auto_exposure import maybe_auto_expose

        maybe_auto_expose(server, app)
    server.setup_exception_middleware(app)
    from nemo_gym.server_utils import _validation_exception_handler

    app.exception_handler(RequestValidationError)(_validation_exception_handler)
    return Mounted(app, folder, bool(models), lists_tools)


def _is_server(value: Any, module: str, base: type) -> bool:
    return inspect.isclass(value) and issubclass(value, base) and value.__module__ == module


def configured(ident: str, folder: Path) -> dict[str, Any]:
    """The settings of the server in the configuration that is called as it is, or in the first that has it."""
    paths = sorted((folder / "configs").glob("*.yaml"), key=lambda path: (path.stem != ident, path.name))
    for path in paths:
        configuration = read_configuration([path], os.environ)
        for content in configuration.values.values():
            servers = content.get(FOLDER) if isinstance(content, Mapping) else None
            if isinstance(servers, Mapping) and isinstance(servers.get(ident), Mapping):
                return {str(name): _resolved(value, configuration) for name, value in servers[ident].items()}
    return {}


def _resolved(value: Any, configuration: Configuration) -> Any:
    if isinstance(value, Mapping):
        return {name: _resolved(inner, configuration) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, configuration) for inner in value]
    found = configuration.resolved(value)
    return found if found is value or not isinstance(found, Mapping | list) else _resolved(found, configuration)


def _placed(value: Any, folder: Path, first: Path | None = None) -> Any:
    """Settings in which each file or folder of the server is named by where it lies.

    NeMo Gym starts a server in its own folder, and this process has another one, which is not the server's to change.
    `first`: a folder whose own files stay as they are named.
    """
    if isinstance(value, Mapping):
        return {name: inner if name == "entrypoint" else _placed(inner, folder, first) for name, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, folder, first) for inner in value]
    if not isinstance(value, str) or not _PATH.fullmatch(value) or (first is not None and _exists(first / value)):
        return value
    return str(folder / value) if _exists(folder / value) else value


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # no error for a text that is too long to be a name, as `Path.exists` has


def model_names(value: Any) -> set[str]:
    """The names of the models that a configuration, or a part of one, refers to."""
    if isinstance(value, Mapping):
        if value.get("type") == _MODELS and "name" in value:
            return {str(value["name"])}
        value = [*value.values()]
    return {name for inner in value for name in model_names(inner)} if isinstance(value, list) else set()


def hints(ident: str, folder: Path, failure: LoadFailure) -> Iterator[str]:
    """What a server may need that cannot be loaded, the likeliest first."""
    if failure.missing_module:
        command = f"gym install --isolated nemo:{ident} --with nemo-gym --with {failure.missing_module}"
        yield f"{command}; {folder / 'requirements.txt'} lists what it wants"
    elif not failure.fetching:
        yield "the log of the run, or -v, shows where; -E config.NAME=VALUE sets what its configuration lacks"
