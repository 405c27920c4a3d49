"""Whatever is sent to a served model or agent, it answers as its OpenAPI document says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks

from tests.serve.serving import AgentServer, ModelServer, served_agent, served_model
from tests.support.envs import PlainSession, env
from tests.support.models import ScriptedModel, call

FEW = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
PROMISED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]

LENIENT = {"/v1/chat/completions"}
"""Where more is taken than the document says: parts of messages that only a backend knows."""


class AnyTools(PlainSession):
    """Takes the tools of any row."""

    open_tools = True


@contextmanager
def beside(server: AbstractAsyncContextManager[ModelServer | AgentServer]) -> Iterator[str]:
    """Serve in a thread with an event loop of its own, for a client that blocks. Yields the URL."""
    url: list[str] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with server as serving:
            url.append(serving.url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        yield url[0]
    finally:
        over.set()
        thread.join()


def try_everything(url: str, mode: GenerationMode, paths: set[str]) -> None:
    """Send what fits the document, or what does not, to the operations at these paths."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    chosen = [operation for operation in operations if operation.path in paths]
    assert len(chosen) == len(paths)
    for operation in chosen:
        try_one(operation, mode)


def try_one(operation: Any, mode: GenerationMode) -> None:
    """Send so many requests to one operation."""
    lenient = {checks.negative_data_rejection} if operation.path in LENIENT else set()
    promised = [check for check in PROMISED if check not in lenient]

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        case.call_and_validate(checks=promised)

    attempt()


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_a_served_model_keeps_its_word(mode: GenerationMode) -> None:
    with beside(served_model(ScriptedModel([call("f", {"x": 1}), "hello"]))) as url:
        try_everything(url, mode, {"/v1/responses", "/v1/chat/completions"})


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_a_served_agent_keeps_its_word(mode: GenerationMode) -> None:
    with beside(served_agent(server=env(AnyTools))) as url:
        try_everything(url, mode, {"/run", "/v1/responses", "/aggregate_metrics"})
