"""The haiku keep the contract of environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_core import Task
from gym_testing import IsolatedPlugins, ResourceServerConformance


class TestHaiku(ResourceServerConformance):
    reference = "haiku"
    other_models = {"judge": ["All there.\ngrade: 9"]}

    @pytest.fixture(autouse=True)
    def _installed(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.install(Path(__file__).parents[1])

    def winning(self, task: Task) -> Sequence[Any]:
        return ["rain on the tin roof\nthe cat counts every drop twice\nthen forgets to sleep"]
