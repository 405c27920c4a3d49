"""Making a resources server from its class, as its own `run_webserver` does, but for Ray, telemetry and a port."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gym_core import UsageError
from gym_core.spi import LoadFailure, loading
from gym_nemo.yaml_files import Configuration, read_configuration
from gym_nemo_servers.models import model_client

_FOLDER = "resources_servers"
_VARIABLE = "NEMO_GYM_CONFIG_DICT"
_PLACE = {"host": "127.0.0.1", "port": 0, "entrypoint": "app.py"}
"""What a configuration has to say, and nobody listens at."""
_MODELS = "responses_api_models"


@dataclass(frozen=True, slots=True)
class Mounted:
    """A server that was made. `app`: its ASGI application. `asks_models`: its configuration names some."""

    app: Any
    folder: Path
    asks_models: bool


def mount(ident: str, given: Mapping[str, Any]) -> Mounted:
    """Make a server; `given` lies over its configuration. Raises `UsageError`, whatever its code raises."""
    if importlib.util.find_spec("nemo_gym") is None:
        raise UsageError("NeMo Gym is not installed here", hint=f"gym install --isolated nemo:{ident}")
    folder = _folder(ident)
    with loading(f"nemo:{ident}", lambda failure: hints(ident, folder, failure)), redirect_stdout(sys.stderr):
        return _mounted(ident, folder, given)


def _folder(ident: str) -> Path:
    import nemo_gym

    servers = Path(inspect.getfile(nemo_gym)).parent.parent / _FOLDER
    folder = servers / ident
    if (folder / "app.py").is_file():
        return folder
    near = get_close_matches(ident, [path.parent.name for path in servers.glob("*/app.py")], n=3)
    guess = f"; did you mean {' or '.join(f'nemo:{one}' for one in near)}?" if near else ""
    raise UsageError(
        f"NeMo Gym has no resources server {ident!r}{guess}", hint=f"its servers are the folders of {servers}"
    )


def _mounted(ident: str, folder: Path, given: Mapping[str, Any]) -> Mounted:
    settings = {**_PLACE, **_configured(ident, folder), **given, "name": ident}
    models = {str(one["name"]) for one in _references(settings)}
    everything = {
        ident: {_FOLDER: {ident: settings}},
        **{name: {_MODELS: {"gym": _PLACE}} for name in models},
        "head_server": {"host": "127.0.0.1", "port": 0},
    }
    os.environ[_VARIABLE] = json.dumps(everything)
    sys.path.insert(0, str(folder))  # NeMo Gym starts `app.py` there
    module = importlib.import_module(f"{_FOLDER}.{ident}.app")
    from fastapi.exceptions import RequestValidationError
    from nemo_gym.server_utils import SimpleServer

    found = [one for one in vars(module).values() if _is_server(one, module.__name__, SimpleServer)]
    if not found:
        raise UsageError(f"nemo:{ident}: its app.py has no class of a server")
    config = found[-1].model_fields["config"].annotation.model_validate(settings)
    server = found[-1](config=config, server_client=model_client(everything))
    app = server.setup_webserver()
    server.setup_exception_middleware(app)
    from nemo_gym.server_utils import _validation_exception_handler

    app.exception_handler(RequestValidationError)(_validation_exception_handler)
    return Mounted(app, folder, bool(models))


def _is_server(value: Any, module: str, base: type) -> bool:
    return inspect.isclass(value) and issubclass(value, base) and value.__module__ == module


def _configured(ident: str, folder: Path) -> dict[str, Any]:
    """The settings of the server in the configuration that is called as it is, or in the first that has it."""
    paths = sorted((folder / "configs").glob("*.yaml"), key=lambda path: (path.stem != ident, path.name))
    for path in paths:
        configuration = read_configuration([path], os.environ)
        for content in configuration.values.values():
            servers = content.get(_FOLDER) if isinstance(content, Mapping) else None
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


def _references(value: Any) -> list[Mapping[str, Any]]:
    """The models that a configuration names."""
    if isinstance(value, Mapping):
        if value.get("type") == _MODELS and "name" in value:
            return [value]
        return [one for inner in value.values() for one in _references(inner)]
    return [one for inner in value for one in _references(inner)] if isinstance(value, list) else []


def hints(ident: str, folder: Path, failure: LoadFailure) -> Iterator[str]:
    """What a server may need that cannot be loaded, the likeliest first."""
    if failure.missing_module:
        command = f"gym install --isolated nemo:{ident} --with nemo-gym --with {failure.missing_module}"
        yield f"{command}; {folder / 'requirements.txt'} lists what it wants"
    elif not failure.fetching:
        yield "the log of the run, or -v, shows where; -E config.NAME=VALUE sets what its configuration lacks"
