"""A served agent with its environment and its model: what a trainer calls.

`POST /run` takes a row and answers with the result row of its rollout, `POST /run_group` with those of several and what
they came to together; `GET /v1/tasks` has the rows of the environment, `POST /v1/responses` offers the agent as a
model, `POST /aggregate_metrics` computes over result rows. A rollout that fails is an error status, never a reward of
0; its row stands in the body under `row`. Where failures are to be masked it is a row that says so, since the
collectors of NeMo Gym end at a status. An episode, which NeMo Gym 0.7 asks `/run` for, is answered with an episode's
result or failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gym_core import ModelError, Status, encode_json, parse_json
from gym_core.errors import BadRequestError, InputError, OverloadedError, RateLimitError
from gym_core.spi import DeadlineExceeded, Failure
from gym_http.protocol.agents import GroupRun
from gym_http.protocol.errors import ServeError
from gym_http.protocol.nemo import EpisodeRequest
from gym_http.protocol.openai import ResponsesRequest
from gym_http.protocol.shapes import read
from gym_http.serve import metrics
from gym_http.serve.agent.rollouts import ServedRollouts
from gym_http.serve.disconnects import while_connected, while_receiving
from gym_http.serve.environment.tasks import TaskPages
from gym_http.serve.environment.tokens import Tokens
from gym_http.serve.json_body import parse_object
from gym_http.serve.json_body import read_body as read_bytes
from gym_http.serve.keep_alive import KeptAlive, seconds_of
from gym_http.serve.model.bodies import whole_response
from gym_http.serve.model.replies import responses_reply
from gym_http.serve.model.requests import read_body, request_of
from gym_http.serve.model.routes import answering
from gym_nemo.episodes import failure_of_episode, is_episode, result_of_episode, row_of_episode
from gym_nemo.rows import masked_row


def routes(
    rollouts: ServedRollouts, more: Sequence[BaseRoute] = (), *, masks_failures: bool = False
) -> list[BaseRoute]:
    """The routes of a served agent; `more` come after them. `masks_failures`: answer them with a masked row."""

    async def responses(request: Request) -> Response:
        body = await read_body(ResponsesRequest, request)
        asked = request_of(body)
        answer, failure = await while_connected(request, rollouts.converse(asked.body))
        if failure is not None:
            raise _for_clients_of_models(failure)
        whole = whole_response(answer, body, rollouts.name)
        return responses_reply(whole, body)

    pages = TaskPages(rollouts.stage.server, Tokens())
    return [
        Route("/run", _Run(rollouts, masks_failures), methods=["POST"]),
        Route("/run_group", _RunGroup(rollouts), methods=["POST"]),
        Route("/v1/tasks", pages.answer, methods=["GET"]),
        Route("/v1/responses", answering(responses), methods=["POST"]),
        metrics.ROUTE,
        *more,
    ]


class _Run:
    """`POST /run`. Plain ASGI: it is what a trainer calls thousands of times a second."""

    def __init__(self, rollouts: ServedRollouts, masks_failures: bool) -> None:
        self._rollouts = rollouts
        self._masks = masks_failures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = KeptAlive(send, seconds_of(scope["headers"]))
        body = parse_object(await read_bytes(receive))
        asked = read(EpisodeRequest, body) if is_episode(body) else None
        row = body if asked is None else _row_of(asked)
        encoded, failure = await while_receiving(receive, way.work(self._rollouts.run(row)))
        if asked is not None and (failure is None or _may_mask(failure)):
            await way.answer(200, _episode(asked, encoded, failure))
        elif failure is None:
            await way.answer(200, encoded)
        elif self._masks and _may_mask(failure):
            await way.answer(200, _masked(encoded))
        else:
            described = parse_json(encoded)["rollout"]["error"]  # no secret is left in it
            await _failed(way, failure, described, b"row", encoded)


class _RunGroup:
    """`POST /run_group`."""

    def __init__(self, rollouts: ServedRollouts) -> None:
        self._rollouts = rollouts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = KeptAlive(send, seconds_of(scope["headers"]))
        asked = read(GroupRun, parse_object(await read_bytes(receive)))
        work = self._rollouts.run_group(asked["task"], asked["size"])
        encoded, failure = await while_receiving(receive, way.work(work))
        if failure is None:
            await way.answer(200, encoded)
        else:
            described = parse_json(encoded)["rollouts"][0]["rollout"]["error"]
            await _failed(way, failure, described, b"group", encoded)


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


def _may_mask(failure: Failure) -> bool:
    """Whether a failure is of its rollout alone. A row that does not fit is the asker's, and `cancelled` hits all."""
    return failure.status is not Status.CANCELLED and status_of(failure) != 422


def _row_of(asked: EpisodeRequest) -> dict[str, Any]:
    task = asked["task"]
    return row_of_episode(task["task_id"], asked["episode_id"]["rollout_id"], task["task_input"])


def _episode(asked: EpisodeRequest, encoded: bytes, failure: Failure | None) -> bytes:
    """The answer to an episode, which has words of its own for a failure."""
    row = parse_json(encoded)
    if failure is None:
        return encode_json(result_of_episode(asked, row))
    return encode_json(failure_of_episode(asked, row["rollout"]["error"], failure.status.value))


def _masked(encoded: bytes) -> bytes:
    row = parse_json(encoded)
    return encode_json({**masked_row(row), "rollout": row["rollout"]})


async def _failed(way: KeptAlive, failure: Failure, error: dict[str, Any], name: bytes, whole: bytes) -> None:
    """`{"error": {...}, "row": {...}}`, or `group` for `row`. `error.status` is the status, which may be lost."""
    status, headers = status_of(failure), []
    if isinstance(failure.cause, ModelError) and failure.cause.retry_after is not None:
        headers.append((b"retry-after", f"{failure.cause.retry_after:g}".encode()))
    described = encode_json({**error, "code": failure.status.value, "status": status})
    await way.answer(status, b'{"error":' + described + b',"' + name + b'":' + whole + b"}", headers)


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
