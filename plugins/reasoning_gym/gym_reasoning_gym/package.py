"""The package reasoning-gym, imported when it is first used, and its data sets by family, settings and seed."""

from __future__ import annotations

import importlib
import json
import threading
import warnings
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from gym_core import UsageError
from gym_core.spi import did_you_mean

CHUNK = 500
"""How many items one data set is made for: the package's own default. Some families draw all of them beforehand."""

_importing = threading.Lock()
_making = threading.Lock()
_OURS = ("seed", "size")


@lru_cache(maxsize=1)
def registry() -> Mapping[str, tuple[Any, Any]]:
    """The package's classes of data sets and of their settings, by family. The first call imports it."""
    with _importing, warnings.catch_warnings():
        # some of what it depends on warns of its own syntax when compiled
        warnings.simplefilter("ignore")
        importlib.import_module("reasoning_gym")
        found: Mapping[str, tuple[Any, Any]] = importlib.import_module("reasoning_gym.factory").DATASETS
    return found


def check_settings(family: str, settings: Mapping[str, Any]) -> None:
    """Import the package and try the settings. Raises `UsageError` that names the setting."""
    try:
        if settings:
            make_dataset(family, settings, seed=0)
        else:
            registry()
    except UsageError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise UsageError(f"the settings of the family {family} ({_shown(settings)}) do not work: {what}") from error


def scorer(family: str, settings: Mapping[str, Any]) -> Any:
    """The data set whose `score_answer` judges answers of a family. Made once; safe to call from many threads."""
    with _making:
        return _scorer(family, json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=256)
def _scorer(family: str, settings: str) -> Any:
    return make_dataset(family, json.loads(settings), seed=0)


def make_dataset(family: str, settings: Mapping[str, Any], seed: int) -> Any:
    """A data set of `CHUNK` items. Raises `UsageError` for settings that do not fit."""
    return registry()[family][0](_make_config(family, settings, seed))


def _make_config(family: str, settings: Mapping[str, Any], seed: int) -> Any:
    config_type = registry()[family][1]
    known = {field.name for field in fields(config_type)}.difference(_OURS)
    for name in settings:
        if name in _OURS:
            raise UsageError(f"the family {family} takes no setting `{name}`", hint=f"give -E {name}=...")
        if name not in known:
            guess, listed = did_you_mean(name, known), ", ".join(sorted(known)) or "none"
            raise UsageError(f"the family {family} has no setting {name!r}{guess}", hint=f"its settings: {listed}")
    default = config_type()
    hints = get_type_hints(config_type)
    fitting = {
        name: _fitting(family, name, value, hints[name], getattr(default, name)) for name, value in settings.items()
    }
    config = config_type(**fitting, seed=seed, size=CHUNK)
    try:
        if hasattr(config, "validate"):
            config.validate()
    except (AssertionError, ValueError, TypeError) as error:
        problem = str(error) or "they do not go together"
        raise UsageError(f"the settings of the family {family} ({_shown(settings)}) are refused: {problem}") from error
    return config


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def _fitting(family: str, name: str, value: Any, annotation: Any, default: Any) -> Any:
    """The value as the setting's type. Some of the package's annotations are wrong: its default counts as well."""
    if isinstance(default, tuple) and isinstance(value, list):
        value = tuple(value)
    if default is not None and type(value) is type(default):
        return value
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]["msg"]
        message = f"the setting `{name}` of the family {family} is not {value!r}: {problem}"
        raise UsageError(message, hint=f"its default is {default!r}") from None
