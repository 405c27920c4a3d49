"""Sessions of servers keep the contract of environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gym_core import Task
from gym_testing import ResourceServerConformance, call
from tests.support.openenv_server import SmallServer, serving


@pytest.mark.slow
class TestSessions(ResourceServerConformance):
    options = {"tasks": 3, "unacted": 0}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server(cls) -> Iterator[None]:
        with serving(SmallServer(most=3)) as url:
            cls.reference = f"openenv:{url}"
            yield

    def winning(self, task: Task) -> Sequence[Any]:
        return [call("step", by=4), call("step", by=6)]
