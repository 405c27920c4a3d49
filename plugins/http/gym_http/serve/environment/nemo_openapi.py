"""What the routes for NeMo Gym take and answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gym_http.protocol.nemo import AnsweredRow, AnsweredTask, CloseRequest, JudgedRow, NumberedRow, Observed, Stepped
from gym_http.protocol.shapes import Objects
from gym_http.serve import metrics
from gym_http.serve.environment.openapi import ASKED, OPENING
from gym_http.serve.environment.tokens import COOKIE
from gym_http.serve.openapi import answer, content, error, operation, text

_FAILURES = {**ASKED, **OPENING}
_COOKIE: list[dict[str, list[str]]] = [{"cookie": []}]
_SEEDED = {**answer("The session is open.", dict), "headers": {"Set-Cookie": {"schema": {"type": "string"}}}}
_UNSAID = {"501": error("The environment says more than text.")}
_OUTPUT = {"description": "The output for the model.", "content": {**content(str, "text/plain"), **content(Objects)}}


def openapi(*, judges_rows: bool) -> dict[str, Any]:
    """The fragment. `judges_rows`: `/verify` needs no session, since row and response are all that a verdict needs."""
    tool = operation(
        "Call a tool; the body is its arguments. A bad call is answered to the model.",
        {"200": _OUTPUT, **_FAILURES},
        security=_COOKIE,
        parameters=[text("path", "tool", pattern="^[A-Za-z0-9_-]{1,64}$")],
        requestBody={"required": False, "content": content({})},
    )
    return {
        "paths": {
            "/seed_session": {
                "post": operation(
                    f"Open a session for a row. The cookie {COOKIE} names it.",
                    {"200": _SEEDED, **_FAILURES},
                    NumberedRow,
                )
            },
            "/close_session": {
                "post": operation(
                    "Close the session of an id that its caller has made; without one, that of the cookie.",
                    {"200": answer("It is closed.", dict), **_FAILURES},
                    CloseRequest,
                    security=[*_COOKIE, {}],
                )
            },
            "/verify": {
                "post": operation(
                    "Judge the `response` of a row.",
                    {"200": answer("The row with its reward.", JudgedRow), **_FAILURES},
                    AnsweredTask if judges_rows else AnsweredRow,
                    security=[*_COOKIE, {}] if judges_rows else _COOKIE,
                )
            },
            **metrics.OPENAPI,
            "/reset": {
                "post": operation(
                    f"Begin a rollout that goes by `/step`. The cookie {COOKIE} names its session.",
                    {"200": {**_SEEDED, **answer("How it begins.", Observed)}, **_FAILURES, **_UNSAID},
                    NumberedRow,
                )
            },
            "/step": {
                "post": operation(
                    "Answer a response: run its calls, reply to it, or judge what there is.",
                    {"200": answer("What came of it.", Stepped), **_FAILURES, **_UNSAID},
                    AnsweredRow,
                    security=_COOKIE,
                )
            },
            "/close": {
                "post": operation(
                    "End a rollout that goes by `/step`.",
                    {"200": answer("It is over.", dict), **_FAILURES},
                    security=_COOKIE,
                )
            },
            "/{tool}": {"post": tool},
        }
    }
