"""A model behind a URL: what its answers and its failures stand for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gym_core import GymError, ModelError, Response, Tokens
from gym_core.errors import (
    BrokenReplyError,
    ConnectionFailedError,
    ModelTimeoutError,
    ReplyTooLongError,
    class_of_status,
)
from gym_core.spi import TOKEN_FIELDS
from gym_http.protocol.client import BROKEN, TIMEOUT, TOO_LONG, UNREACHABLE, Reply
from gym_http.protocol.errors import RemoteError

_UNANSWERED: Mapping[str, type[ModelError]] = {
    TIMEOUT: ModelTimeoutError,
    BROKEN: BrokenReplyError,
    TOO_LONG: ReplyTooLongError,
}


async def called(
    asking: Awaitable[Reply],
    failure: Callable[[Reply], GymError],
    refused: Callable[[int], type[ModelError]] = class_of_status,
) -> Response:
    """The response of a model call that is under way. Raises the `ModelError` that was raised there; see `answered`."""
    reply, answer = await _asked(asking, failure, refused)
    output = answer.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise BrokenReplyError(f"{reply.where} answered without a list of items `output`", status=reply.status)
    return Response(answer, _tokens(answer))


def _tokens(answer: dict[str, Any]) -> Tokens | None:
    """Take the tokens of a call out of a body, where `gym serve --model` says them: at its top."""
    problem, version = answer.pop("tokens_problem", None), answer.pop("weight_version", None)
    said: list[Any] = [answer.get(name) for name in TOKEN_FIELDS]
    prompt, sampled, logprobs = said
    if not all(isinstance(numbers, list) for numbers in said) or len(sampled) != len(logprobs):
        return Tokens(problem=str(problem)) if problem else None
    for name in TOKEN_FIELDS:
        del answer[name]
    return Tokens(prompt, sampled, logprobs, str(version) if version is not None else None)


async def answered(
    asking: Awaitable[Reply],
    failure: Callable[[Reply], GymError],
    refused: Callable[[int], type[ModelError]] = class_of_status,
) -> dict[str, Any]:
    """The answer to what is asked of a model. Raises the `ModelError` that was raised there.

    `failure`: what an answer that is none stands for. Where that is no failed model call, such as the answer of a proxy
    in between, `refused` gives the class that its status means.
    """
    return (await _asked(asking, failure, refused))[1]


async def _asked(
    asking: Awaitable[Reply], failure: Callable[[Reply], GymError], refused: Callable[[int], type[ModelError]]
) -> tuple[Reply, dict[str, Any]]:
    try:
        reply = await asking
        answer = reply.object() if reply.ok else None
    except RemoteError as error:
        raise unanswered(error) from None
    if answer is None:
        raise _failed(reply, failure(reply), refused(reply.status))
    return reply, answer


def _failed(reply: Reply, error: GymError, cls: type[ModelError]) -> ModelError:
    if isinstance(error, ModelError):
        return error
    after = reply.retry_after if cls.retryable else None
    return cls(error.message, hint=error.hint, status=reply.status, retry_after=after)


def unanswered(error: RemoteError) -> ModelError:
    """A call that nobody answered, in the words of model calls."""
    failed = _UNANSWERED.get(error.code, ConnectionFailedError)(error.message, hint=error.hint, status=error.status)
    failed.unsent = error.code == UNREACHABLE
    return failed
