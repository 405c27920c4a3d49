"""The counter keeps the contract of environments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_core import Task
from gym_testing import IsolatedPlugins, ResourceServerConformance, call


class TestCounter(ResourceServerConformance):
    reference = "counter"

    @pytest.fixture(autouse=True)
    def _installed(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.install(Path(__file__).parents[1])

    def winning(self, task: Task) -> Sequence[Any]:
        return [call("increment", by=task["target"] - task["start"]), "Done."]

    def losing(self, task: Task) -> Sequence[Any]:
        return [call("increment", by=1), "Done."]
