"""What the routes of a served agent take and answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gym_http.protocol.agents import FailedGroup, FailedRollout, GroupResult, GroupRun, Result
from gym_http.protocol.nemo import EpisodeRequest, EpisodeResult, NumberedRow
from gym_http.protocol.openai import ResponseAnswer, ResponsesRequest
from gym_http.serve import metrics
from gym_http.serve.environment.openapi import TASKS
from gym_http.serve.keep_alive import PARAMETER
from gym_http.serve.model.openapi import FAILURES, asking
from gym_http.serve.openapi import answer, error, operation

_FAILURES = {
    "422": "The body is no row, or the row does not fit the environment.",
    "429": "Too many rollouts wait already.",
    "500": "Environment, verifier or agent failed.",
    "502": "The model failed.",
    "503": "The model is too busy, or the server is going down.",
    "504": "A time limit ran out.",
}


def openapi() -> dict[str, Any]:
    """The fragment of a served agent."""
    failed = {status: answer(words, FailedRollout) for status, words in _FAILURES.items()}
    all_failed = {status: answer(words, FailedGroup) for status, words in _FAILURES.items()}
    not_offered = {"501": error("The agent works on whole tasks only.")}
    return {
        "paths": {
            "/run": {
                "post": operation(
                    "Run one rollout of a row, or of an episode.",
                    {"200": answer("The row with its result, or the episode's.", Result | EpisodeResult), **failed},
                    NumberedRow | EpisodeRequest,
                    parameters=[PARAMETER],
                )
            },
            "/run_group": {
                "post": operation(
                    "Run several rollouts of a row, and score them together where the environment does that.",
                    {"200": answer("The rollouts, and what they came to.", GroupResult), **all_failed},
                    GroupRun,
                    parameters=[PARAMETER],
                )
            },
            **TASKS,
            "/v1/responses": asking(
                "Ask the agent as a model; its answer holds all items, tool outputs among them.",
                ResponsesRequest,
                ResponseAnswer,
                {**FAILURES, **not_offered},
            ),
            **metrics.OPENAPI,
        },
    }
