"""Every served kind does what its OpenAPI document says, whatever is asked of it."""

from __future__ import annotations

from typing import Any

import pytest

from gym_http.serve.opening import Wanted
from gym_testing import FakeOpenAI, Served
from tests.served.applications import serving
from tests.served.environments import Anything
from tests.served.openapi import problems

pytestmark = pytest.mark.slow
FITTING = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "410", "501"]}}
"""A request that is right may still be about a session that is closed by now."""
ROWS = {
    "positive_data_acceptance": {
        "expected-statuses": [*FITTING["positive_data_acceptance"]["expected-statuses"], "422"]
    }
}
"""And a row that is one may still say nothing that this environment can work with."""

PASSING_ON = {
    "include-path": "/v1/chat/completions",
    "checks": {"negative_data_rejection": {"enabled": False}},
}
"""Parts of messages that only a backend knows pass on to it, so not all that the document leaves out is refused."""


def wanted(fake: FakeOpenAI, **parts: Any) -> Wanted:
    options = {"policy": {"base_url": fake.base_url, "transport": "aiohttp"}}
    return Wanted(models={"policy": "openai:fake-model"}, model_options=options, **parts)


def test_an_environment() -> None:
    with Served(Anything) as server:
        found, answered = problems(server.url, examples=8, checks=FITTING)
    assert not found, "\n".join(found)
    one = "/v1/sessions/{id}"
    for asked in ("POST /v1/sessions", f"POST {one}/reply", f"POST {one}/verify", f"POST {one}/tools/{{name}}"):
        assert sum(answered[asked, status] for status in (200, 201)) > 3, f"{asked} hardly ever came to anything"
    assert answered[f"DELETE {one}", 204]


def test_an_environment_that_wants_a_token() -> None:
    with Served(Anything, token="the-token") as server:
        found, answered = problems(server.url, examples=2, token="the-token", checks=FITTING)
    assert not found, "\n".join(found)
    assert answered["POST /v1/sessions", 201]


def test_an_environment_with_mcp() -> None:
    with serving(Wanted(env="simple_weather", mcp=True)) as (url, _):
        found, answered = problems(url, examples=2, checks=ROWS)
    assert not found, "\n".join(found)
    assert answered["GET /v1/tasks", 200]


def test_a_model() -> None:
    with FakeOpenAI("Hello.") as fake, serving(wanted(fake)) as (url, _):
        found, answered = problems(url, examples=8, operations=[PASSING_ON])
    assert not found, "\n".join(found)
    assert answered["POST /v1/responses", 200]
    assert answered["POST /v1/chat/completions", 200]


def test_an_agent() -> None:
    with (
        FakeOpenAI("Hello.") as fake,
        serving(wanted(fake, agent="simple_agent", env="simple_weather"), max_sessions=4) as (url, _),
    ):
        found, answered = problems(url, examples=8, checks=ROWS)
    assert not found, "\n".join(found)
    assert answered["POST /run", 422]
