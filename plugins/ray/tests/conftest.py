"""What these tests need: the executor and components that workers find, and no `.env`."""

from __future__ import annotations

import pytest

from gym_testing.isolation import IsolatedPlugins
from tests.support import spread
from tests.support.spread_fixtures import empty_directory as empty_directory


@pytest.fixture
def spread_plugins(isolated_plugins: IsolatedPlugins) -> IsolatedPlugins:
    """`ray`, and `spread_model`, `spread_env` and `spread_agent` for this process and its workers."""
    spread.install(isolated_plugins)
    isolated_plugins.record("gym-ray", {"gym.executors": {"ray": "gym_ray"}}, "0.1.0", "Workers on Ray")
    return isolated_plugins
