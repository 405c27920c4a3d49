"""Games keep the contract of environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_core import Task
from gym_testing import IsolatedPlugins, ResourceServerConformance


class TestDuel(ResourceServerConformance):
    reference = "duel"
    other_models = {"opponent": ["none"]}

    @pytest.fixture(autouse=True)
    def _installed(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.install(Path(__file__).parents[1])

    def winning(self, task: Task) -> Sequence[Any]:
        return ["1"]
