"""Every error gym raises on purpose, with what to do about it and the exit status it means.

A model call fails with a `ModelError`. Its subclasses are the whole taxonomy: each says whether another attempt may
help (`retryable`), whether every other rollout would meet the same (`fatal`), and how to fix it (`remedy`). The
retry policy, the closing table and the troubleshooting page all read these classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar


class GymError(Exception):
    """The root: a message that says what happened and where, and a hint that says what to do."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(GymError):
    """The command, an option or a file that the user named is wrong."""


class InputError(UsageError):
    """A task row cannot be used. The message starts with file name and line number."""


class FieldError(InputError):
    """A field of a task row is not what the environment needs. `field`: its name, a dotted path."""

    def __init__(self, field: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"`{field}` {problem}", hint=hint)
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.field, self.problem)


class MissingField(FieldError, KeyError):
    """A task row lacks a field that the environment reads. Raised by `task["field"]`."""

    def __init__(self, field: str, problem: str = "is missing: the environment reads it", *, hint: str = "") -> None:
        super().__init__(field, problem, hint=hint)


class PluginError(GymError):
    """A plugin's own defect: it cannot be imported, or what it offers breaks the contract."""

    def __init__(self, distribution: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{distribution}: {message}", hint=hint)
        self.distribution = distribution


class RunStopped(GymError):
    """A run ended before all of its rollouts did; what was written can be resumed."""

    exit_code = 3


class StoreError(RunStopped):
    """Results can no longer be written (disk full, pipe closed). What was written is whole."""


class ModelError(GymError):
    """A model call failed.

    `status`: HTTP status, if there was a reply. `retry_after`: seconds the server asked to wait, if it did. `unsent`:
    the request certainly did not reach the server, so that nothing was spent; the backend says so if it knows.
    """

    exit_code = 3
    retryable: ClassVar[bool] = False
    fatal: ClassVar[bool] = False
    remedy: ClassVar[str] = "See the reply of the endpoint."

    def __init__(
        self, message: str, *, hint: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.unsent = False


class AuthenticationError(ModelError):
    """The key is missing, wrong, expired or lacks access (401, 403)."""

    fatal = True
    remedy = "Set the variable the message names to a valid key; check organization and project."


class ModelNotFoundError(ModelError):
    """The endpoint does not serve this model to this key (404 `model_not_found`)."""

    fatal = True
    remedy = "Check the model's name and access; `gym models` lists what the endpoint offers."


class EndpointError(ModelError):
    """The URL is not an OpenAI-compatible endpoint: no such path, an HTML page, an unknown host."""

    fatal = True
    remedy = "Check the base URL; most servers want it to end in `/v1`."


class QuotaError(ModelError):
    """The account has no credit left (429 `insufficient_quota`); waiting cannot help."""

    fatal = True
    remedy = "Add credit or raise the account's limit, then `--resume`."


class RateLimitError(ModelError):
    """Too many requests or tokens per minute (429)."""

    retryable = True
    remedy = "Nothing: gym slows down and tries again. If it persists, lower `-M max_inflight=`."


class OverloadedError(ModelError):
    """The server says it is too busy (503, 529)."""

    retryable = True
    remedy = "Nothing: gym slows down and tries again. If it persists, lower `-M max_inflight=`."


class ServerError(ModelError):
    """The server failed (408, 409, 500, 502, 504)."""

    retryable = True
    remedy = "Nothing at first: gym tries again. If it persists, look at the server's log."


class ConnectionFailedError(ModelError):
    """Nothing answered: refused, reset, dropped, or no connection in time."""

    retryable = True
    remedy = "Check that the server runs and that the base URL and proxy settings are right."


class ModelTimeoutError(ModelError):
    """The reply did not come within the request timeout."""

    retryable = True
    remedy = "Raise `-M request_timeout=`, or lower the concurrency or `max_output_tokens`."


class BrokenReplyError(ModelError):
    """A reply with status 200 that is no valid response: not JSON, or without a list of output items."""

    retryable = True
    remedy = "If it persists the endpoint speaks another dialect: try `-M api=chat` or `-M api=responses`."


class ReplyTooLongError(BrokenReplyError):
    """The reply is longer than what is read of one; memory is not filled with it."""

    retryable = False
    remedy = "Raise `-M max_reply_mb=` if such replies are meant: log probabilities and token ids make them long."


class BadRequestError(ModelError):
    """The endpoint refused this request (400, 413, 422 and the like)."""

    remedy = "Read the endpoint's words in the message; an unsupported sampling option is the usual cause."


class ContextLengthError(ModelError):
    """The conversation no longer fits into the model's context; the rollout ends as `truncated`."""

    remedy = "Fewer turns (`-A max_turns=`), shorter tool outputs, or a model with a longer context."


class PolicyError(ModelError):
    """The endpoint's content policy refused the request; the rollout ends with stop reason `content_filter`."""

    remedy = "Look at the task's wording, or use an endpoint with another policy."


class BackendError(ModelError):
    """The backend plugin itself failed: a defect in its code, not an answer of an endpoint."""

    remedy = "Report it to the plugin's authors; `--debug` shows where."


class BudgetExceeded(ModelError):
    """`--max-tokens` or `--max-cost` is reached: no new call starts."""

    fatal = True
    remedy = "Raise the limit and `--resume`."


class EpisodeOver(GymError):
    """The session has ended the episode: there is nothing more to ask. Raised out of `Episode.respond`."""


class SessionError(GymError):
    """The environment failed outside of a tool: in `setup`, `reply` or `verify`."""

    exit_code = 1

    @property
    def unreachable(self) -> bool:
        """Whether the environment itself is gone, rather than that it failed at what it was asked."""
        return False


class SandboxError(SessionError):
    """A sandbox is gone, cannot be had, or cannot do what is asked of it. It ends the rollout without a reward."""


_CLASS_OF_STATUS: Mapping[type[ModelError], frozenset[int]] = {
    AuthenticationError: frozenset({401, 403}),
    QuotaError: frozenset({402}),
    EndpointError: frozenset({404, 405, 407, 410, 501, 511}),
    RateLimitError: frozenset({420, 429}),
    # 498: Groq's for lack of capacity; 509: the bandwidth is used up; 529: Anthropic's.
    OverloadedError: frozenset({498, 503, 509, 529}),
    # Below 500, and yet another attempt may help: of another connection (421), of what was locked (423), failed behind
    # the server (424, Bedrock and TGI), or was given up by a proxy on the way (444, 499: nginx; 449: Microsoft).
    ServerError: frozenset({408, 409, 421, 423, 424, 425, 444, 449, 499}),
}


def class_of_status(status: int) -> type[ModelError]:
    """The class of the error that an HTTP status of 300 and above means, where no more is known of it."""
    for cls, statuses in _CLASS_OF_STATUS.items():
        if status in statuses:
            return cls
    if status < 400:
        return EndpointError
    return ServerError if status >= 500 else BadRequestError


def error_text(error: BaseException) -> str:
    """What an error says, as text that can be written anywhere; a class may fail to make one."""
    try:
        return writable(str(error))
    except BaseException as broken:
        return f"it cannot say what happened: {type(broken).__name__}"


def writable(text: str) -> str:
    """Text without what is no Unicode, which the name of a file in a message may be."""
    return text.encode("utf-8", "replace").decode()


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error and what is beneath it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def error_chain(error: BaseException) -> list[str]:
    """The causes of an error, outermost first, as `Class: message`."""
    return [f"{type(cause).__name__}: {error_text(cause)}" for cause in islice(causes_of(error), 8)]


def model_error_classes() -> list[type[ModelError]]:
    """The classes of this file that a model call can fail with, in its order; backends may add their own below them."""

    def walk(cls: type[Any]) -> list[type[Any]]:
        return [found for sub in cls.__subclasses__() for found in (sub, *walk(sub))]

    return [cls for cls in walk(ModelError) if cls.__module__ == __name__]
