"""What clients of a served model are told when something fails."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gym_core import CallContext, Request
from gym_core.domain import errors
from gym_http.protocol.errors import ServeError, error_from_wire
from gym_http.remote.model import RemoteModel
from gym_http.serve.model.errors import InvalidRequest, error_reply
from gym_testing.clock import FakeClock
from tests.serve.serving import served_model
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]

STATUSES: dict[type[errors.ModelError], tuple[int, str, str]] = {
    errors.AuthenticationError: (401, "AuthenticationError", "invalid_api_key"),
    errors.ModelNotFoundError: (404, "NotFoundError", "model_not_found"),
    errors.EndpointError: (502, "InternalServerError", "endpoint_error"),
    errors.QuotaError: (429, "RateLimitError", "insufficient_quota"),
    errors.RateLimitError: (429, "RateLimitError", "rate_limit_exceeded"),
    errors.OverloadedError: (503, "InternalServerError", "overloaded"),
    errors.ServerError: (500, "InternalServerError", "server_error"),
    errors.ConnectionFailedError: (502, "InternalServerError", "connection_failed"),
    errors.ModelTimeoutError: (504, "InternalServerError", "timeout"),
    errors.BrokenReplyError: (502, "InternalServerError", "broken_reply"),
    errors.ReplyTooLongError: (502, "InternalServerError", "reply_too_long"),
    errors.BadRequestError: (400, "BadRequestError", "invalid_request"),
    errors.ContextLengthError: (400, "BadRequestError", "context_length_exceeded"),
    errors.PolicyError: (400, "BadRequestError", "content_policy_violation"),
    errors.BackendError: (500, "InternalServerError", "backend_error"),
    errors.BudgetExceeded: (429, "RateLimitError", "insufficient_quota"),
}


def failing(*turns: Any) -> ScriptedModel:
    """A backend without patience: nothing is tried again."""
    backend = ScriptedModel(*turns)
    backend.retries = 0
    return backend


def test_every_class_is_in_the_table() -> None:
    assert set(STATUSES) == set(errors.model_error_classes())


@asynchronous
async def test_a_failure_keeps_its_class_and_becomes_the_clients() -> None:
    import openai

    backend = failing("the endpoint is there")
    async with (
        served_model(backend) as server,
        RemoteModel(RemoteModel.Options.model_validate({"url": server.url})) as remote,
    ):
        await server.client.responses.create(model="any", input="hello")
        for cls, (status, name, code) in STATUSES.items():
            backend.script = [cls("it broke", hint="fix it", retry_after=2.5)]
            with pytest.raises(openai.APIStatusError) as caught:
                await server.client.responses.create(model="any", input="hello")
            raised = caught.value
            assert (type(raised).__name__, raised.status_code, raised.code) == (name, status, code)
            assert isinstance(raised.body, dict)
            assert raised.body["message"] == "it broke"
            assert raised.response.headers["retry-after"] == "2.5"
            with pytest.raises(cls) as rebuilt:
                await remote.respond(Request.ask("hello"), CallContext())
            assert type(rebuilt.value) is cls
            assert (rebuilt.value.message, rebuilt.value.hint) == ("it broke", "fix it")
            assert rebuilt.value.retry_after == 2.5


@asynchronous
async def test_a_defect_of_the_backend_is_named() -> None:
    import openai

    async with served_model(failing(ZeroDivisionError("oh"))) as server:
        with pytest.raises(openai.InternalServerError, match="ZeroDivisionError: oh"):
            await server.client.chat.completions.create(model="any", messages=MESSAGES)


@asynchronous
async def test_statuses_of_the_endpoint_are_passed_on_where_they_say_more() -> None:
    backend = failing()
    async with served_model(backend) as server:
        for error, status in (
            (errors.ServerError("no", status=504), 504),
            (errors.ServerError("no", status=409), 409),
            (errors.BadRequestError("no", status=422), 422),
            (errors.BadRequestError("no", status=405), 400),
            (errors.AuthenticationError("no", status=403), 401),
        ):
            backend.script = [error]
            found, body = await server.post("/v1/responses", {"input": "hello"})
            assert (found, body["error"]["http_status"]) == (status, error.status)


@asynchronous
async def test_the_gate_stands_before_the_backend() -> None:
    backend = ScriptedModel()
    backend.script = [lambda request, context: next(turns)]
    turns = iter([errors.RateLimitError("slow down", retry_after=3), errors.ServerError("oops"), "done"])
    clock = FakeClock()
    async with served_model(backend, clock=clock.clock) as server:
        found = await server.client.responses.create(model="any", input="hello")
        assert found.output_text == "done"
        assert len(backend.requests) == 3
        assert clock.slept[0] > 3


@asynchronous
async def test_clients_try_again_what_may_help() -> None:
    import openai

    backend = failing()
    async with served_model(backend, retries=1) as server:
        for error, attempts in ((errors.ServerError("no", retry_after=0.001), 2), (errors.EndpointError("no"), 1)):
            backend.script, backend.requests = [error], []
            with pytest.raises(openai.InternalServerError):
                await server.client.responses.create(model="any", input="hello")
            assert len(backend.requests) == attempts


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/responses", {}, "input"),
        ("/v1/responses", {"input": 3}, "input"),
        ("/v1/responses", {"input": [3]}, "input"),
        ("/v1/responses", {"input": None}, "input"),
        ("/v1/responses", {"input": "hello", "tools": 3}, "tools"),
        ("/v1/responses", {"input": "hello", "background": True}, "background"),
        ("/v1/responses", {"input": "hello", "stream": "yes"}, "stream"),
        ("/v1/responses", [], None),
        ("/v1/chat/completions", {}, "messages"),
        ("/v1/chat/completions", {"messages": "hello"}, "messages"),
        ("/v1/chat/completions", {"messages": ["hello"]}, "messages.0"),
        ("/v1/chat/completions", {"messages": [{"content": "hello"}]}, "messages.0.role"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 3}]}, "messages.0.content"),
        ("/v1/chat/completions", {"messages": MESSAGES, "stream_options": 3}, "stream_options"),
        ("/v1/chat/completions", {"messages": MESSAGES, "tools": [{"type": "function"}]}, None),
        ("/v1/chat/completions", {"messages": MESSAGES, "text": "plain"}, None),
        ("/v1/chat/completions", {"messages": [{"role": "function", "content": "4"}]}, None),
    ],
)
@asynchronous
async def test_what_is_no_request_is_refused(path: str, body: Any, param: str | None) -> None:
    backend = ScriptedModel()
    async with served_model(backend) as server:
        status, reply = await server.post(path, body)
        assert status == 400
        assert reply["error"]["param"] == param
        assert reply["error"]["type"] == "invalid_request_error"
        assert reply["error"]["retryable"] is False
        assert not backend.requests


@asynchronous
async def test_no_secret_is_shown() -> None:
    async with served_model(
        failing(errors.AuthenticationError("wrong key sk-12345678")), secrets=("sk-12345678",)
    ) as server:
        _, body = await server.post("/v1/responses", {"input": "hello"})
        assert body["error"]["message"] == "wrong key ***"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
@asynchronous
async def test_a_client_that_leaves_takes_its_call_along(path: str) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def think_forever(request: Any, context: Any) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with served_model(ScriptedModel(think_forever)) as server:
        body = {"input": "hello", "messages": MESSAGES}
        waiting = asyncio.create_task(server.post(path, body))
        await asked.wait()
        waiting.cancel()
        await ended.wait()
        assert server.served.gate.limiters[0].inflight <= 1


@pytest.mark.parametrize(
    ("refused", "cls"),
    [
        (InvalidRequest("no"), errors.BadRequestError),
        (InvalidRequest("no such model", "model", status=404), errors.BadRequestError),
        (ServeError(413, "the body is too long"), errors.BadRequestError),
        (ServeError(429, "too many"), errors.RateLimitError),
        (ServeError(503, "going down"), errors.OverloadedError),
        (ServeError(500, "the verifier failed"), errors.ServerError),
    ],
)
def test_what_a_server_refuses_has_a_class_that_its_client_goes_by(
    refused: ServeError, cls: type[errors.ModelError]
) -> None:
    reply = error_reply(refused)
    error = error_from_wire(reply.status_code, orjson.loads(reply.body), "the model")
    assert type(error) is cls
    assert error.message == refused.message
