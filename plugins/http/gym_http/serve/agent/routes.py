"""A served agent with its environment and its model: what a trainer calls.

`POST /run` takes a row and answers with the result row of its rollout, `POST /v1/responses` offers the agent as a
model, `POST /aggregate_metrics` computes over result rows. A rollout that fails is an error status, never a reward of
0; its row stands in the body under `row`.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gym_core import ModelError, encode_json, parse_json
from gym_core.errors import BadRequestError, InputError, OverloadedError, RateLimitError
from gym_core.spi import DeadlineExceeded, Failure
from gym_http.protocol.errors import ServeError
from gym_http.protocol.openai import ResponsesRequest
from gym_http.serve import metrics
from gym_http.serve.agent.rollouts import ServedRollouts
from gym_http.serve.disconnects import while_connected, while_receiving
from gym_http.serve.json_body import parse_object
from gym_http.serve.json_body import read_body as read_bytes
from gym_http.serve.model.bodies import whole_response
from gym_http.serve.model.replies import responses_reply
from gym_http.serve.model.requests import read_body, request_of
from gym_http.serve.model.routes import answering

_JSON = (b"content-type", b"application/json")


def routes(rollouts: ServedRollouts, more: Sequence[BaseRoute] = ()) -> list[BaseRoute]:
    """The routes of a served agent; `more` come after them."""

    async def responses(request: Request) -> Response:
        body = await read_body(ResponsesRequest, request)
        asked = request_of(body)
        answer, failure = await while_connected(request, rollouts.converse(asked.body))
        if failure is not None:
            raise _for_clients_of_models(failure)
        whole = whole_response(answer, body, rollouts.name)
        return responses_reply(whole, body)

    return [
        Route("/run", _Run(rollouts), methods=["POST"]),
        Route("/v1/responses", answering(responses), methods=["POST"]),
        metrics.ROUTE,
        *more,
    ]


class _Run:
    """`POST /run`. Plain ASGI: it is what a trainer calls thousands of times a second."""

    def __init__(self, rollouts: ServedRollouts) -> None:
        self._rollouts = rollouts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        row = parse_object(await read_bytes(receive))
        encoded, failure = await while_receiving(receive, self._rollouts.run(row))
        if failure is not None:
            await _failed(encoded, failure)(scope, receive, send)
            return
        headers = [_JSON, (b"content-length", b"%d" % len(encoded))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": encoded})


def status_of(failure: Failure) -> int:
    """The HTTP status of a rollout that failed.

    422: the row does not fit the environment, or its request cannot be said to the model. 503: the model's endpoint is
    too busy. 502: another failure of the model. 504: a time limit ran out. 500: a defect of environment, verifier or
    agent.
    """
    cause = failure.cause
    unsaid = isinstance(cause, BadRequestError) and cause.status is None
    if unsaid or isinstance(cause, InputError):
        return 422
    if isinstance(cause, DeadlineExceeded):
        return 504
    if isinstance(cause, RateLimitError | OverloadedError):
        return 503
    return 502 if isinstance(cause, ModelError) else 500


def _failed(row: bytes, failure: Failure) -> Response:
    """`{"error": {...}, "row": {...}}`. The error is the one in the row, which no secret is left in."""
    error = parse_json(row)["rollout"]["error"]
    headers = {}
    if isinstance(failure.cause, ModelError) and failure.cause.retry_after is not None:
        headers["Retry-After"] = f"{failure.cause.retry_after:g}"
    described = encode_json({**error, "code": failure.status.value})
    body = b'{"error":' + described + b',"row":' + row + b"}"
    return Response(body, status_of(failure), headers, "application/json")


def _for_clients_of_models(failure: Failure) -> Exception:
    if isinstance(failure.cause, ModelError):
        return failure.cause
    error = failure.error
    return ServeError(
        status_of(failure),
        str(error.get("message")),
        code=failure.status.value,
        retryable=bool(error.get("retryable")),
    )
