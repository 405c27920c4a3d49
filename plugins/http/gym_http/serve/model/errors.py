"""Errors of a model's routes in OpenAI's shape, with the statuses that its clients act upon.

`{"error": {"message", "type", "code", "param"}}` is what every OpenAI client reads. Beside it stand `class` and
`retryable`, as in all error replies of gym, so that gym's own client raises the very class again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from gym_core import errors
from gym_http.protocol.errors import ServeError, add_openai_words, error_to_wire
from gym_http.serve.json_reply import json_reply


@dataclass(frozen=True, slots=True)
class Words:
    """How OpenAI says something: the status, the `type` and the `code`."""

    status: int
    type: str
    code: str


_WORDS: Mapping[type[errors.ModelError], Words] = {
    errors.AuthenticationError: Words(401, "authentication_error", "invalid_api_key"),
    errors.ModelNotFoundError: Words(404, "invalid_request_error", "model_not_found"),
    errors.EndpointError: Words(502, "server_error", "endpoint_error"),
    errors.QuotaError: Words(429, "insufficient_quota", "insufficient_quota"),
    errors.BudgetExceeded: Words(429, "insufficient_quota", "insufficient_quota"),
    errors.RateLimitError: Words(429, "rate_limit_error", "rate_limit_exceeded"),
    errors.OverloadedError: Words(503, "server_error", "overloaded"),
    errors.ServerError: Words(500, "server_error", "server_error"),
    errors.ConnectionFailedError: Words(502, "server_error", "connection_failed"),
    errors.ModelTimeoutError: Words(504, "server_error", "timeout"),
    errors.BrokenReplyError: Words(502, "server_error", "broken_reply"),
    errors.ReplyTooLongError: Words(502, "server_error", "reply_too_long"),
    errors.BadRequestError: Words(400, "invalid_request_error", "invalid_request"),
    errors.ContextLengthError: Words(400, "invalid_request_error", "context_length_exceeded"),
    errors.PolicyError: Words(400, "invalid_request_error", "content_policy_violation"),
    errors.BackendError: Words(500, "server_error", "backend_error"),
    errors.ModelError: Words(500, "server_error", "model_error"),
}


class InvalidRequest(ServeError):
    """A request that cannot be asked of any model. `param`: the field of the body that is wrong, None for the whole."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str = "invalid") -> None:
        super().__init__(status, message, code=code, field=param or "")


def error_reply(error: errors.ModelError | ServeError) -> Response:
    """The reply that says what failed.

    `Retry-After` is passed on. `x-should-retry`, which OpenAI's clients obey, says what gym knows: whether another
    attempt may help.
    """
    status, body = error_to_wire(error)
    headers = add_openai_words(status, body)
    if isinstance(error, ServeError):
        # A class that gym's own client knows, by which it tries again or does not.
        cls = errors.BadRequestError if isinstance(error, InvalidRequest) else errors.class_of_status(error.status)
        body["error"]["class"] = cls.__name__
        return json_reply(body, status, {**headers, **error.headers})
    words = _WORDS[next(cls for cls in type(error).__mro__ if cls in _WORDS)]
    body["error"] |= {"type": words.type, "code": words.code}
    if error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after:g}"
    return json_reply(body, _status(error, words), headers)


def _status(error: errors.ModelError, words: Words) -> int:
    """The status of the class; of a server that failed, and of a request it refused, its own."""
    own = error.status or 0
    if isinstance(error, errors.ServerError) and own and errors.class_of_status(own) is errors.ServerError:
        return own
    if isinstance(error, errors.BadRequestError) and own in (413, 422):
        return own
    return words.status
