"""Which error a reply means, in the words that servers use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_core import ModelError, errors
from gym_openai_model.errors import classify

REPLIES = [json.loads(line) for line in Path(__file__).with_name("error_replies.jsonl").read_text().splitlines()]
"""One reply a line: what servers send, and the error it means."""

URL = "https://api.test/v1/chat/completions"


def classified(status: int, body: Any, headers: dict[str, str] | None = None, **context: Any) -> ModelError:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return classify(status, headers or {}, data, URL, "some-model", **context)


def openai(message: str = "It failed.", code: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code, **fields}}


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: f"{row['error']}-{row['status']}")
def test_the_table(row: dict[str, Any]) -> None:
    error = classified(row["status"], row["body"])
    assert type(error).__name__ == row["error"], error
    assert error.status == row["status"]
    assert URL in str(error)


def test_a_token_limit_that_alone_fills_the_context_is_a_bad_request() -> None:
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's maximum context length is 4096 "
        "tokens and your request has 30 input tokens (8192 > 4096 - 30)."
    )
    error = classified(400, {"object": "error", "message": message, "code": 400})
    assert type(error) is errors.BadRequestError
    assert "max_output_tokens" in error.hint


def test_a_refused_key_names_its_source_and_shows_nothing_of_it() -> None:
    body = openai(
        "Incorrect API key provided: sk-proj-ab******wxyz. You can find your API key at ...", "invalid_api_key"
    )
    error = classified(401, body, credential="OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in str(error)
    assert "sk-proj" not in str(error)
    assert "wxyz" not in str(error)


def test_no_key_is_told_from_a_wrong_one() -> None:
    error = classified(401, openai("You didn't provide an API key."))
    assert "none was sent" in str(error)
    assert "export OPENAI_API_KEY" in error.hint


@pytest.mark.parametrize("dialect", ["responses", "chat"])
def test_the_other_dialect_is_proposed(dialect: str) -> None:
    path = "responses" if dialect == "responses" else "chat/completions"
    error = classified(404, openai(f"This model is only supported in v1/{path}."))
    assert f"api={dialect}" in error.hint


def test_messages_are_one_line_and_bounded() -> None:
    error = classified(400, openai("a\nb  c" + "x" * 5000))
    assert "a b c" in str(error)
    assert len(str(error)) < 700


def test_fields_that_a_server_rejects_are_named() -> None:
    error = classified(422, {"detail": [{"loc": ["body", "top_k"], "msg": "extra fields not permitted"}]})
    assert "body.top_k: extra fields not permitted" in str(error)


def test_only_errors_that_are_retried_carry_a_wait() -> None:
    assert classified(429, openai(), {"retry-after": "3"}).retry_after == 3
    assert classified(503, openai(), {"retry-after": "3"}).retry_after == 3
    assert classified(400, openai(), {"retry-after": "3"}).retry_after is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "detail", "msg", "loc", "metadata"]), inner
        )
    ),
    max_leaves=9,
)


@given(
    status=st.integers(300, 599), body=anything.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
)
def test_whatever_a_server_sends_is_an_error_that_says_where(status: int, body: bytes) -> None:
    error = classify(status, {}, body, URL, "some-model")
    assert error.status == status
    assert URL in error.message
    assert "\n" not in error.message
