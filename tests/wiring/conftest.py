"""Plugins as they lie on disk once installed, made for a test."""

from __future__ import annotations

import pytest

from gym_testing import IsolatedPlugins
from gym_testing.site import Site

__all__ = ["Site", "site"]


@pytest.fixture
def site(isolated_plugins: IsolatedPlugins) -> Site:
    """An installation in which nothing but what the test adds offers plugins."""
    return isolated_plugins.alone()
