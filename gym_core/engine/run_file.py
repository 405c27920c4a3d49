"""A run file or a manifest laid under the settings that a Python caller gives."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.errors import UsageError
from gym_core.engine.bounds.deadlines import Deadlines
from gym_core.engine.config import Invocation, RunConfig, RunSettings, check_setting, run_config
from gym_core.engine.storage.repeating import read_manifest
from gym_core.wiring.config_file import ENV, MANIFEST, PLACES, TIMEOUTS, ConfigFile, read_config

_CALLED = {"extension": "extensions", "disable_plugin": "disabled_plugins"}
_SHOWN_ONLY = ("fail_under", "verbose", "quiet")
"""What a command shows of a run; it means nothing to who calls from Python."""


def config_from_file(
    path: str | Path,
    *,
    models: Mapping[str, str | ModelBackend],
    env: str | ResourceServer | None,
    **settings: Unpack[RunSettings],
) -> RunConfig:
    """The run of a file, with what is given laid over it. What the file has for other components is left out.

    Raises `UsageError` for a file that is none, and for what is wrong in it, by its place.
    """
    if not isinstance(path, str | Path):
        raise UsageError(f"`config` must be a path, not {path!r:.80}")
    path = Path(path)
    file = read_manifest(path) if path.name.endswith(MANIFEST) else read_config(path)
    below = _settings(file)
    named = below.pop(ENV, None)
    env = env if env is not None else named
    if settings.get("tasks") is not None:
        below.pop("input", None)
    laid: dict[str, Any] = {**below, **settings}
    models = {**file.models, **models}
    others = {**{place: laid.get(place) for place in PLACES}, ENV: env}
    configured, left_out = file.configured(models, others)
    for notice in (*file.notices, *left_out):
        logging.getLogger("gym").warning("%s", notice)
    made_from = {"the configuration": file.path} if file.path is not None else {}
    return run_config(models=models, env=env, configured=configured, invocation=Invocation(made_from=made_from), **laid)


def _settings(file: ConfigFile) -> dict[str, Any]:
    """What a file says besides its models and tables, by setting."""
    found = {key: file.value(key) for key in file.options}
    for key, value in found.items():
        check_setting(key, value, file.place(key))
    bounds = {key.removesuffix("_timeout"): found.pop(key) for key in TIMEOUTS if key in found}
    settings = {_CALLED.get(key, key): value for key, value in found.items() if key not in _SHOWN_ONLY}
    return {**settings, **({"deadlines": Deadlines(**bounds)} if bounds else {})}
