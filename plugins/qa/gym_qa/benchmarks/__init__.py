"""Ready benchmarks: where the data lies, which columns, which grader. No data is shipped."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any

from gym_core.spi import did_you_mean

NAMES = ("gsm8k", "ifeval", "mmlu")


@lru_cache(maxsize=8)
def read_benchmark(name: str) -> dict[str, Any]:
    """The options of a benchmark. Raises `ValueError` for one that is not there."""
    if name not in NAMES:
        guess = did_you_mean(name, NAMES, shown="`{}`".format) or "."
        ready = ", ".join(NAMES)
        raise ValueError(f"there is no benchmark `{name}`{guess} There are {ready}; a file is given as --input")
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))
