"""Every component of the repository keeps its contract over HTTP, too: the same suites, with a port in between."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from tests.served.suites import suite
from tests.support.reasoning import forked_generator

__all__ = ["forked_generator"]


class OverHTTP:
    """What stands in front of a suite. Fewer tasks than in process: it is the way that is looked at."""

    over_http = True
    task_limit = 6
    sample = 2

    test_entry_point_offers_the_component = None  # of the package, and not of the way to it
    test_import_is_light = None
    test_is_documented = None
    test_options_are_described = None


def over_http(project: str, name: str, **settings: Any) -> type[Any]:
    """A suite of a project, over HTTP."""
    return type(f"{name}OverHTTP", (OverHTTP, getattr(suite(project), name)), settings)


TestCounter = over_http("examples/gym_counter", "TestCounter")
TestHaiku = over_http("examples/gym_haiku", "TestHaiku")
TestWeather = over_http("plugins/simple_weather", "TestSimpleWeather")
TestWorkplace = over_http("plugins/workplace", "TestWorkplace")
TestStatefulCounter = over_http("plugins/stateful_counter", "TestStatefulCounter")
TestReasoning = pytest.mark.slow(
    pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning_gym is not installed")(
        pytest.mark.usefixtures("forked_generator")(over_http("plugins/reasoning_gym", "TestOneFamily", task_limit=3))
    )
)
TestChat = over_http("plugins/openai_model", "TestChat")
TestResponses = over_http("plugins/openai_model", "TestResponses")
TestSimpleAgent = over_http("plugins/simple_agent", "TestSimpleAgent")
