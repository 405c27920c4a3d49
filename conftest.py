"""What holds for every test of the repository."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

# The same examples everywhere and every time, however busy the machine is. Hypothesis would add constants of the
# modules that are loaded by then: which these are depends on the tests that a worker ran before.
assert callable(providers._get_local_constants)
providers._get_local_constants = lambda: providers._local_constants
settings.register_profile("gym", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gym")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and keep it off what was collected: thousands of tests stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs packages of others, from an index, is run only where the mark is asked for."""
    if "foreign" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("foreign") is not None]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item.get_closest_marker("foreign") is None]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: twice the cores and two, since many tests wait, for processes and for deadlines."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * cores + 2
