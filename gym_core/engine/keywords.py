"""The language of errors: they speak of options of the command line; who calls from Python reads keywords instead."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from gym_core.domain.errors import GymError
from gym_core.engine.config import RunSettings
from gym_core.wiring.config_file import PLACES, option_table

_TABLES = {"M": "model_options", **{kind.setter[1:]: option_table(place) for place, kind in PLACES.items()}}
_SWITCHES = {
    "resume": 'mode="resume"',
    "overwrite": 'mode="overwrite"',
    "retry-failed": "retry_failed=True",
    "accept-changes": "accept_changes=True",
    "skip-invalid": "skip_invalid=True",
    "no-config": "config=None",
}
_SETTINGS = {
    **{name.replace("_", "-"): name for name in ("model", "env", "config", *RunSettings.__annotations__)},
    "extension": "extensions",
    "disable-plugin": "disabled_plugins",
}
_OPTION = re.compile(
    r"`(?:gym|pip|uv) [^`]*`"  # a command remains one
    r"|(?<![\w-])--model (?P<role>[\w-]+)=REF\b"
    r"|(?<![\w-])--(?P<option>[a-z]+(?:-[a-z]+)*)\b(?: (?P<value>[A-Z]{2,}\b|\d[\d.]*\b|\S+\.jsonl\b))?"
    r"|(?<![\w-])-(?P<table>[MEASGX])\b"
    r"(?: (?P<key>[\w.]+)(?:=(?P<set>\.\.\.|[^\s`,;)]*?)(?=[:.,;)`]*(?:\s|`|$))|(?=\))))?"
)
_SEVERAL = re.compile(r'(mode="\w+") (?=\w+=)')


def as_keywords(text: str) -> str:
    """A message that speaks of `--output FILE` as one that speaks of `output=FILE`."""

    def keyword(found: re.Match[str]) -> str:
        said = _keyword(found)
        if said is None:
            return found[0]
        quoted = text.count("`", 0, found.start()) % 2 == 1
        return said if quoted else f"`{said}`"

    return _SEVERAL.sub(r"\1, ", _OPTION.sub(keyword, text))


@contextlib.contextmanager
def speaking_keywords() -> Iterator[None]:
    """Have the errors of gym that pass speak of keywords."""
    try:
        yield
    except GymError as error:
        said = error.message
        error.message, error.hint = as_keywords(said), as_keywords(error.hint)
        error.args = tuple(error.message if arg == said else arg for arg in error.args)
        raise


def _keyword(found: re.Match[str]) -> str | None:
    if found["role"]:
        return f'model={{"{found["role"]}": REF}}'
    if found["table"]:
        table = _TABLES[found["table"]]
        return f'{table}={{"{found["key"]}": {_literal(found["set"])}}}' if found["key"] else table
    option, value = found["option"], found["value"]
    if option is None:
        return None
    after = f" {value}" if value else ""
    if option in _SWITCHES:
        return _SWITCHES[option] + after
    if option.endswith("-timeout"):
        return f"deadlines=Deadlines({option.removesuffix('-timeout')}={value or '...'})"
    name = _SETTINGS.get(option)
    if name is None:
        return None
    return f"{name}={value}" if value else name


def _literal(text: str | None) -> str:
    """The value of a setting as Python writes it."""
    if not text or re.fullmatch(r"\.+|[A-Z]", text):
        return "..."
    if text in ("true", "false"):
        return text.capitalize()
    return text if re.fullmatch(r"-?\d+(\.\d+)?", text) else f'"{text}"'
