"""The generating process of reasoning-gym, which takes more than a second to import what it needs, as a fork."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from tests.support.forks import forked


@pytest.fixture(scope="session")
def forked_generator() -> Iterator[None]:
    """Tasks come from forks of a process that has imported the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gym_reasoning_gym.generation.PROGRAM", (str(_program()),))
        yield


@functools.cache
def _program() -> object:
    imports = ("reasoning_gym", "gym_reasoning_gym.generator")
    module = "gym_reasoning_gym.generator"
    return forked(module, "generator", imports, PYTHONHASHSEED="0", PYTHONWARNINGS="ignore")
