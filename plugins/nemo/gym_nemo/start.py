"""gym as a server that NeMo Gym starts: an `app.py` there says `from gym_nemo.start import start`, and `start()`.

NeMo Gym starts the `entrypoint` of each server of its configuration, and says by two variables what that configuration
is and which part of it is meant. In that part stand the references and options of gym, beside the host and the port.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from gym_core import UsageError
from gym_nemo.config_import import AGENTS, MODELS, RESOURCES
from gym_nemo.inheritance import inherited
from gym_nemo.yaml_files import Configuration, parsed

CONFIGURATION = "NEMO_GYM_CONFIG_DICT"
NAME = "NEMO_GYM_CONFIG_PATH"
_OPTIONS = {"env_options": "-E", "agent_options": "-A", "model_options": "-M"}


def start() -> NoReturn:
    """Serve what the configuration says in place of this process."""
    try:
        wanted = arguments(os.environ)
    except UsageError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise SystemExit(f"error: {error.message}{hint}") from None
    os.execv(sys.executable, [sys.executable, "-m", "gym_core", *wanted])


def arguments(environ: Mapping[str, str]) -> list[str]:
    """What `gym` is called with. Raises `UsageError` where NeMo Gym has not started this, or names nothing to serve."""
    text, name = environ.get(CONFIGURATION), environ.get(NAME)
    if not text or not name:
        raise UsageError(
            f"this is started by NeMo Gym, which sets {CONFIGURATION} and {NAME}", hint="`gym serve` needs neither"
        )
    configuration = Configuration(inherited(parsed(text, CONFIGURATION)), environ)
    settings = _settings(configuration, name, (RESOURCES, AGENTS))
    host, port = _value(configuration, settings, "host"), _value(configuration, settings, "port")
    if port is None:
        raise UsageError(f"the configuration of {name} has no port", hint="NeMo Gym gives it one when it starts it")
    env, agent = _value(configuration, settings, "env"), _value(configuration, settings, "agent")
    if not env:
        raise UsageError(f"the configuration of {name} names no environment", hint="env: NAME, as `gym serve --env`")
    made = ["serve", "--env", str(env), "--host", str(host or "127.0.0.1"), "--port", str(port)]
    if agent:
        made += ["--agent", str(agent), *_model(configuration, settings, name)]
    for key, letter in _OPTIONS.items():
        for option, value in (settings.get(key) or {}).items():
            found = configuration.resolved(value)
            made += [letter, f"{option}={found if isinstance(found, str) else json.dumps(found)}"]
    return [*made, *(str(one) for one in settings.get("arguments") or ())]


def _model(configuration: Configuration, settings: Mapping[str, Any], name: str) -> Iterator[str]:
    """The model of an agent: a reference, or a model server of NeMo Gym."""
    if model := _value(configuration, settings, "model"):
        yield from ("--model", str(model))
        return
    reference = settings.get("model_server")
    if not isinstance(reference, Mapping):
        raise UsageError(f"the configuration of {name} names no model", hint="model_server, or model: REF")
    there = _settings(configuration, str(reference.get("name")), (MODELS,))
    host, port = _value(configuration, there, "host"), _value(configuration, there, "port")
    yield from ("--model", f"openai:{reference.get('name')}")
    yield from ("-M", f"base_url=http://{host}:{port}/v1", "-M", "api=responses", "-M", "api_key=none")


def _settings(configuration: Configuration, name: str, kinds: tuple[str, ...]) -> Mapping[str, Any]:
    content = configuration.values.get(name)
    for kind in kinds:
        implementations = content.get(kind) if isinstance(content, Mapping) else None
        for settings in (implementations or {}).values():
            return settings if isinstance(settings, Mapping) else {}
    raise UsageError(f"the configuration has no {' or '.join(kinds)} named {name!r}")


def _value(configuration: Configuration, settings: Mapping[str, Any], key: str) -> Any:
    return configuration.resolved(settings.get(key))
