"""What goes wrong at the endpoint, seen through the backend."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from gym_core import CallContext, Request, errors
from gym_openai_model.backend import OpenAIModel

from .scripted import Caller, Endpoint, Reply, completion, response

KEY = "sk-very-secret-0123456789"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply({"error": {"message": "bad key", "code": "invalid_api_key"}}, 401), errors.AuthenticationError),
        (Reply({"error": {"message": "no", "code": "model_not_found"}}, 404), errors.ModelNotFoundError),
        (Reply({"detail": "Not Found"}, 404), errors.EndpointError),
        (Reply(b"<!doctype html><title>Hi</title>", 200, {"Content-Type": "text/html"}), errors.EndpointError),
        (Reply(b"", 302, {"Location": "https://elsewhere.test/"}), errors.EndpointError),
        (Reply({"error": {"message": "no", "code": "insufficient_quota"}}, 429), errors.QuotaError),
        (Reply({"error": {"message": "slow"}}, 429), errors.RateLimitError),
        (Reply({"error": {"message": "x", "code": "context_length_exceeded"}}, 400), errors.ContextLengthError),
        (Reply({"error": {"message": "x", "code": "content_filter"}}, 400), errors.PolicyError),
        (Reply({"error": {"message": "bad temperature"}}, 400), errors.BadRequestError),
        (Reply({"error": {"message": "busy"}}, 503), errors.OverloadedError),
        (Reply(b"<html><title>502</title></html>", 502), errors.ServerError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value.status),
)
def test_refusals(call: Caller, reply: Reply, expected: type[errors.ModelError]) -> None:
    call.endpoint.script(reply)
    with pytest.raises(errors.ModelError) as caught:
        call("Hi")
    assert type(caught.value) is expected
    assert call.endpoint.url in str(caught.value)
    assert len(call.endpoint.seen) == 1, "the engine retries, not the backend"


def test_the_wait_that_a_server_asks_for(carried: Caller) -> None:
    carried.endpoint.script({"error": {"message": "slow"}}, status=429, headers={"Retry-After-Ms": "250"})
    with pytest.raises(errors.RateLimitError) as caught:
        carried("Hi")
    assert caught.value.retry_after == 0.25
    assert caught.value.status == 429


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"data: {}\n\n", b'{"object": "x"}', b'{"output": [1], "choices": 1}']
)
def test_broken_replies(call: Caller, body: bytes) -> None:
    call.endpoint.script(body)
    with pytest.raises(errors.BrokenReplyError, match="broken reply"):
        call("Hi")


@pytest.mark.parametrize(
    "choice", [1, {}, {"message": 3}, {"message": {"tool_calls": [1]}}, {"message": {"tool_calls": 1}}]
)
def test_broken_completions(call: Caller, choice: Any) -> None:
    call.endpoint.script({"choices": [choice]})
    with pytest.raises(errors.BrokenReplyError):
        call("Hi")


def test_the_reply_of_the_other_dialect_is_recognised(call: Caller) -> None:
    other = completion({"content": "Hi"}) if call.dialect == "responses" else response()
    call.endpoint.script(other)
    with pytest.raises(errors.BrokenReplyError) as caught:
        call("Hi")
    assert f"api={'chat' if call.dialect == 'responses' else 'responses'}" in caught.value.hint


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 502, "message": "upstream"}, errors.ServerError),
        ({"code": 429, "message": "slow"}, errors.RateLimitError),
        ({"code": "server_error", "message": "x"}, errors.ServerError),
        ({"code": "rate_limit_exceeded", "message": "x"}, errors.RateLimitError),
        ({"code": "invalid_prompt", "message": "x"}, errors.PolicyError),
        ({"code": "invalid_image", "message": "x"}, errors.BadRequestError),
        ({"message": "x"}, errors.ServerError),
    ],
)
def test_an_error_within_a_reply(call: Caller, error: dict[str, Any], expected: type[errors.ModelError]) -> None:
    call.endpoint.script({"error": error})
    with pytest.raises(expected):
        call("Hi")
    if call.dialect == "responses":
        call.endpoint.script(response(status="failed", error=error))
    else:
        call.endpoint.script(completion({"content": ""}, "error", error=error))
    with pytest.raises(expected):
        call("Hi")


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled"])
def test_a_response_that_is_not_finished(endpoint: Endpoint, status: str) -> None:
    call = Caller(endpoint, "responses")
    call.endpoint.script(response(status=status))
    with pytest.raises(errors.BrokenReplyError, match=status):
        call("Hi")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"object": "error", "message": "slow down", "type": "rate_limit_error"}, errors.RateLimitError),
        ({"type": "error", "message": "busy", "code": "overloaded_error"}, errors.OverloadedError),
        ([{"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}], errors.OverloadedError),
        ({"error_code": 336100, "error_msg": "try again later"}, errors.ServerError),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None}, errors.ServerError),
        ({"message": "invalid key", "code": "invalid_api_key"}, errors.AuthenticationError),
        ({"detail": "the model is still loading"}, errors.ServerError),
        ({"error": {"message": "x", "status_code": 529}}, errors.OverloadedError),
    ],
)
def test_an_error_of_any_shape_with_a_good_status(call: Caller, body: Any, expected: type[errors.ModelError]) -> None:
    call.endpoint.script(body)
    with pytest.raises(expected) as caught:
        call("Hi")
    assert type(caught.value) is expected


def test_a_reply_that_is_too_long_is_told_once(carried: Caller) -> None:
    carried.endpoint.script(b" " * (1 << 20) + b"{}")
    with pytest.raises(errors.ReplyTooLongError, match=r"longer than 1 MB .*max_reply_mb") as caught:
        carried("Hi", max_reply_mb=1)
    assert not caught.value.retryable


def test_a_server_that_does_not_answer(carried: Caller) -> None:
    carried.endpoint.script({})
    carried.endpoint.hanging = True
    with pytest.raises(errors.ModelTimeoutError, match=r"0\.2 s"):
        carried("Hi", request_timeout=0.2)


def test_nothing_listens(carried: Caller) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(errors.ConnectionFailedError, match="connection refused") as caught:
            carried("Hi", base_url=url)
    assert url in str(caught.value)


def test_a_host_that_does_not_exist(carried: Caller) -> None:
    with pytest.raises(errors.EndpointError, match="cannot be resolved"):
        carried("Hi", base_url="http://no-such-host.invalid/v1")


def test_what_chat_cannot_say_is_not_sent(endpoint: Endpoint) -> None:
    call = Caller(endpoint, "chat")
    with pytest.raises(errors.BadRequestError, match="item_reference") as caught:
        call(Request({"input": [{"type": "item_reference", "id": "x"}]}))
    assert "api=responses" in caught.value.hint
    encrypted = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    with pytest.raises(errors.BadRequestError) as caught:
        call(Request({"input": [encrypted]}))
    assert "drop_reasoning" in caught.value.hint
    assert call.endpoint.seen == []


@pytest.mark.parametrize("body", [{"input": 3}, {"input": "Hi", "tools": ["x"]}, {"input": [{"type": "message"}, 3]}])
def test_a_malformed_request_is_not_sent(endpoint: Endpoint, body: dict[str, Any]) -> None:
    with pytest.raises(errors.BadRequestError, match="cannot be sent"):
        Caller(endpoint, "chat")(Request(body))
    assert endpoint.seen == []


def test_what_json_cannot_say_is_not_sent(call: Caller) -> None:
    with pytest.raises(errors.BadRequestError):
        call(Request({"input": "Hi", "metadata": {"x": object()}}))
    assert call.endpoint.seen == []


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_a_secret_is_never_shown(call: Caller, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = {"error": {"message": f"the key {KEY} and header-secret-value are bad", "code": KEY}}
    call.endpoint.script(said, status=status)
    options = call.options(api_key=KEY, extra_headers={"X-Secret": "header-secret-value"})

    async def main() -> str:
        async with OpenAIModel(options) as model:
            try:
                await model.respond(Request.ask("Hi"), CallContext())
            except errors.ModelError as error:
                return " ".join([*errors.error_chain(error), repr(error), error.hint, repr(model), repr(model.options)])
        raise AssertionError("the reply was taken for a response")

    shown = asyncio.run(main())
    sent = json.dumps(call.endpoint.seen[-1].headers)
    assert KEY in sent
    assert "header-secret-value" in sent
    assert "***" in shown
    for secret in (KEY, "header-secret-value"):
        assert secret not in shown
    if status == 401:
        assert "OPENAI_API_KEY" in shown
