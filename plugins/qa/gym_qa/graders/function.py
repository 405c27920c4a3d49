"""`python:FILE:FUNCTION`: a function of one's own."""

from __future__ import annotations

import ast
import importlib.util
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from gym_core import Verdict
from gym_qa.graders.grade import Expected, Grade

PREFIX = "python:"
DEFAULT = "grade"


def parse_reference(match: str) -> tuple[Path, str]:
    """The file and the function that `python:FILE[:FUNCTION]` names. Raises `ValueError`; nothing of it is run."""
    name = match.removeprefix(PREFIX)
    file, colon, function = name.rpartition(":")
    if not colon or not function.isidentifier():
        file, function = name, DEFAULT
    path = Path(file)
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; the form is python:FILE:FUNCTION") from None
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: it is no Python: {error}") from None
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    if function not in named:
        raise ValueError(f"{path}: there is no function `{function}`, only {', '.join(named) or 'none at all'}")
    if any(isinstance(node, ast.AsyncFunctionDef) and node.name == function for node in tree.body):
        raise ValueError(f"{path}: the function `{function}` must not be async")
    return path.absolute(), function


def call_function(match: str, reply: str, expected: Expected) -> Grade:
    """What `function(reply, row)` says: a number, a bool, a `Verdict`, or a mapping with `reward`.

    Raises what it raises, and `TypeError` for what is no grade.
    """
    path, function = parse_reference(match)
    said: Any = _load(path, path.stat().st_mtime_ns, function)(reply, dict(expected.row))
    info: Mapping[str, Any] = {}
    components: Mapping[str, float] = {}
    if isinstance(said, Verdict):
        components, info, said = said.components, said.info, said.reward
    elif isinstance(said, Mapping):
        info = {name: value for name, value in said.items() if name != "reward"}
        said = said.get("reward")
    if not isinstance(said, int | float) or not math.isfinite(said):
        raise TypeError(
            f"{path}: `{function}` must return a number, a bool or a mapping with `reward`, not {said!r:.60}"
        )
    return Grade(float(said), None, components, info)


@lru_cache(maxsize=8)
def _load(path: Path, changed: int, function: str) -> Callable[[str, dict[str, Any]], object]:
    spec = importlib.util.spec_from_file_location(f"gym_qa_grader_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[str, dict[str, Any]], object] = getattr(module, function)
    return found
