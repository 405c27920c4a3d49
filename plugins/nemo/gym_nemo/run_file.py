"""A run as the text of a TOML file, for `gym run --config`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gym_nemo.config_import import RunFile

_ORDER = ("env", "agent", "model", "input", "repeats")


def run_file_text(run: RunFile, origin: str) -> str:
    """The file, with what could not be said as comments at its top. `origin`: what it was made from."""
    return "\n".join(_lines(run, origin)) + "\n"


def _lines(run: RunFile, origin: str) -> Iterator[str]:
    yield f"# From {_comment(origin)}, a configuration of NeMo Gym. Run it with `gym run --config` and this file."
    for notice in run.notices:
        yield f"# - {_comment(notice)}"
    yield ""
    for key in _ORDER:
        if key in run.options:
            yield f"{key} = {_value(run.options[key])}"
    for table, values in (("model_options", run.model_options), ("agent_options", run.agent_options)):
        if values:
            yield f"\n[{table}]"
            yield from _entries(values)


def _entries(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        yield f"{key} = {_value(value)}"


def _value(value: str | int) -> str:
    # a JSON string is a basic string of TOML but for DEL, which TOML wants escaped
    return str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return " ".join(text.split())
