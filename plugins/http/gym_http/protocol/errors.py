"""Errors as JSON: what a served component answers with when it fails, and what its client makes of the answer.

Every answer of status 400 and above is `{"error": {...}}` with at least `class`, `message`, `code` and `retryable`;
`hint`, `phase`, `field`, `causes`, `http_status` and `retry_after` stand there where they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from gym_core import GymError, ModelError
from gym_core.errors import (
    BadRequestError,
    ContextLengthError,
    EpisodeOver,
    FieldError,
    InputError,
    MissingField,
    ModelTimeoutError,
    OverloadedError,
    PolicyError,
    RateLimitError,
    SessionError,
    model_error_classes,
)
from gym_core.spi import DeadlineExceeded, error_json, unwrapped, writable

CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    410: "gone",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_sessions",
    500: "env_error",
    502: "remote_error",
    503: "draining",
    504: "timeout",
}
"""The `code` of an error by its status, where it says no other."""

_PASSING = frozenset({408, 429, 503})
_ABSENT = frozenset({401, 403, 404, 405, 410, 429, 502, 503})
_MODEL_STATUS = {
    RateLimitError: 429,
    OverloadedError: 503,
    ModelTimeoutError: 504,
    BadRequestError: 400,
    ContextLengthError: 400,
    PolicyError: 400,
}
_MODEL_ERRORS = {cls.__name__: cls for cls in model_error_classes()}
ROW = "task.row."
"""What the path of a field begins with where the task is a part of a body."""
MODEL_ERROR = "model_error"
EPISODE_OVER = "episode_over"
_SHOWN = 300


ErrorFields = TypedDict(
    "ErrorFields",
    {
        "class": str,
        "message": str,
        "code": str,
        "retryable": bool,
        "hint": NotRequired[str],
        "phase": NotRequired[str],
        "field": NotRequired[str],
        "causes": NotRequired[list[str]],
        "http_status": NotRequired[int],
        "retry_after": NotRequired[float],
        "type": NotRequired[str],
        "param": NotRequired[str | None],
    },
)
"""What is said of an error; `type` and `param` are there for clients of OpenAI's API, where they may ask."""


class ErrorBody(TypedDict):
    """Why there is no answer."""

    error: ErrorFields


class WireError(GymError):
    """JSON from the other end is not what it should be. `field`: the dotted path of what is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"`{field}` {problem}" if field else problem)
        self.field = field


class ServeError(GymError):
    """A request that a served component refuses.

    `status`: of the HTTP answer. `code`: the word for programs. `field`: what is wrong in the body, a dotted path.
    `headers`: further ones of the answer, such as `Retry-After`. `retryable`: whether the same may go well later; by
    default the status says so.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        field: str = "",
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code or CODES.get(status, "error")
        self.field = field
        self.headers = headers or {}
        self.retryable = status in _PASSING if retryable is None else retryable


class RemoteError(SessionError):
    """A served component could not be asked, or failed.

    `status`: of its HTTP answer, None where there was none. `code`: the word it gave.
    """

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered, or somebody who knows nothing of the session or takes no more of them."""
        return self.status is None or self.status in _ABSENT


def error_to_wire(error: BaseException, phase: str = "") -> tuple[int, dict[str, Any]]:
    """The HTTP status of an error and its body. `phase`: where it happened, such as `setup` or `verify`."""
    error = unwrapped(error)
    status, code = _status_and_code(error)
    described = error_json(
        error, error.phase if isinstance(error, DeadlineExceeded) else phase, retryable=_retryable(error)
    )
    described |= {"class": _known_class(error).__name__, "code": code}
    if not described["phase"]:
        del described["phase"]
    if isinstance(error, GymError):  # a hint has a place of its own here
        described["message"] = writable(error.message) or type(error).__name__
        if error.hint:
            described["hint"] = error.hint
    if isinstance(error, ServeError | WireError):
        described.pop("causes", None)
        if error.field:
            described["field"] = error.field
    if isinstance(error, ModelError) and error.retry_after is not None:
        described["retry_after"] = error.retry_after
    return status, {"error": described}


def told(value: Any, redact: Callable[[str], str]) -> Any:
    """JSON whose texts, and nothing of its form, went through `redact`."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: inner if name in ("code", "class") else told(inner, redact) for name, inner in value.items()}
    return [told(inner, redact) for inner in value] if isinstance(value, list) else value


def add_openai_words(status: int, body: Mapping[str, Any]) -> dict[str, str]:
    """Add to a body of `error_to_wire` what clients of OpenAI's API read; returns the headers that they read."""
    described = body["error"]
    described["type"] = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    described["param"] = described.get("field")
    return {"x-should-retry": "true" if described["retryable"] else "false"}


_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


def error_from_wire(status: int, body: Any, where: str) -> GymError:
    """The error that an answer of status 400 and above stands for; any body will do. `where`: who answered.

    A failed model call keeps its class, and with it whether to try again; so do `EpisodeOver` and a time limit that
    ran out there. Everything else is a `RemoteError`.
    """
    described = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(described, Mapping):
        return RemoteError(f"{where} answered {status}{_words(body)}", status=status, code=CODES.get(status, "error"))
    name = str(described.get("class") or "")
    message = str(described.get("message") or name or f"status {status}")
    hint = str(described.get("hint") or "")
    code = str(described.get("code") or CODES.get(status, "error"))
    failed_call = _MODEL_ERRORS.get(name)
    if failed_call is not None:
        return failed_call(
            message,
            hint=hint,
            status=_number(described.get("http_status"), int),
            retry_after=_number(described.get("retry_after"), float),
        )
    if code == EPISODE_OVER:
        return EpisodeOver(message)
    phase = str(described.get("phase") or "")
    field = str(described.get("field") or "")
    if field and (field.startswith(ROW) or name in (FieldError.__name__, MissingField.__name__)):
        return FieldError(field.removeprefix(ROW), message.partition("` ")[2] or message, hint=hint)
    if code == "timeout" and name == DeadlineExceeded.__name__ and phase:
        return _deadline(phase, f"{where}: {message}")
    foreign = name not in ("", ServeError.__name__, WireError.__name__, RemoteError.__name__, SessionError.__name__)
    text = f"{where}: {name}: {message}" if foreign else f"{where}: {message}"
    return RemoteError(text, hint=hint, status=status, code=code)


def unusable_proxy(reason: str) -> RemoteError:
    """The error for a proxy that does not pass requests on."""
    return RemoteError(
        f"the proxy cannot be used: {reason}",
        hint="check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; user name and password go into a proxy's URL",
        code="unreachable",
    )


def _status_and_code(error: BaseException) -> tuple[int, str]:
    if isinstance(error, ServeError):
        return error.status, error.code
    if isinstance(error, WireError | InputError):
        return 422, CODES[422]
    if isinstance(error, DeadlineExceeded):
        return 504, CODES[504]
    if isinstance(error, EpisodeOver):
        return 409, EPISODE_OVER
    if isinstance(error, ModelError):
        # What the model's own server said is no statement about this one: a wrong key there is no 401 here.
        return next((status for cls, status in _MODEL_STATUS.items() if isinstance(error, cls)), 502), MODEL_ERROR
    if isinstance(error, RemoteError):
        return 502, error.code or CODES[502]
    return 500, CODES[500]


def _known_class(error: BaseException) -> type[BaseException]:
    """The class as the other end knows it: a backend's own kind of failed model call counts as its parent there."""
    if isinstance(error, ModelError):
        return next((cls for cls in type(error).__mro__ if cls.__name__ in _MODEL_ERRORS), ModelError)
    return ServeError if isinstance(error, ServeError) else type(error)


def _retryable(error: BaseException) -> bool:
    return isinstance(error, DeadlineExceeded) or (isinstance(error, ServeError | ModelError) and error.retryable)


def _deadline(phase: str, message: str) -> DeadlineExceeded:
    error = DeadlineExceeded(phase, 0.0)
    error.message = message
    error.args = (message,)
    return error


def _number(value: Any, kind: type[Any]) -> Any:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _words(body: Any) -> str:
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    text = " ".join(str(body).split()) if body else ""
    return f": {text[:_SHOWN]}" if text else ""
