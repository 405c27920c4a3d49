"""Errors keep their meaning over a connection."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gym_core.engine.rollout.failure import failure_of
from gym_core.errors import EpisodeOver, InputError, MissingField, RateLimitError, SessionError, model_error_classes
from gym_core.spi import DeadlineExceeded, as_exception
from gym_http.protocol.errors import RemoteError, ServeError, WireError, error_from_wire, error_to_wire

WHERE = "the environment at http://x"


def crossed(error: BaseException, phase: str = "") -> tuple[int, Any]:
    status, body = error_to_wire(error, phase)
    return status, error_from_wire(status, orjson.loads(orjson.dumps(body)), WHERE)


@pytest.mark.parametrize("cls", model_error_classes())
def test_a_failed_model_call_keeps_its_class(cls: type[Any]) -> None:
    status, got = crossed(cls("it failed", hint="fix it", status=418, retry_after=2.5))
    assert type(got) is cls
    assert (got.message, got.hint, got.status, got.retry_after) == ("it failed", "fix it", 418, 2.5)
    assert 400 <= status < 600
    assert status not in (401, 403)


def test_a_class_of_a_backend_is_known_by_its_parent() -> None:
    class Throttled(RateLimitError):
        """A backend's own."""

    status, got = crossed(Throttled("slow down", status=429))
    assert (status, type(got)) == (429, RateLimitError)


def test_the_end_of_an_episode_stays_what_it_is() -> None:
    assert isinstance(crossed(EpisodeOver("done"))[1], EpisodeOver)


def test_a_time_limit_keeps_its_phase() -> None:
    status, got = crossed(DeadlineExceeded("tool", 3))
    assert status == 504
    assert isinstance(got, DeadlineExceeded)
    assert got.phase == "tool"
    assert str(got) == f"{WHERE}: tool did not end within 3 s"


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (ValueError("no"), 500, "env_error", f"{WHERE}: ValueError: no"),
        (SessionError("no", hint="do"), 500, "env_error", f"{WHERE}: no (do)"),
        (InputError("no"), 422, "invalid", f"{WHERE}: InputError: no"),
        (WireError("a.b", "is missing"), 422, "invalid", f"{WHERE}: `a.b` is missing"),
        (ServeError(410, "gone"), 410, "gone", f"{WHERE}: gone"),
        (ServeError(429, "full", code="too_many_rollouts"), 429, "too_many_rollouts", f"{WHERE}: full"),
        (RemoteError("x", status=500, code="unreachable"), 502, "unreachable", f"{WHERE}: x"),
        (KeyError(), 500, "env_error", f"{WHERE}: KeyError: KeyError"),
    ],
)
def test_other_failures_are_the_environments(error: BaseException, status: int, code: str, words: str) -> None:
    got_status, got = crossed(error, "verify")
    assert got_status == status
    assert isinstance(got, RemoteError)
    assert (got.status, got.code, str(got)) == (status, code, words)


def test_causes_are_told_and_tracebacks_are_not() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        described = error_to_wire(error)[1]["error"]
    assert described["causes"] == ["KeyError: 'inner'"]
    assert "Traceback" not in str(described)


@pytest.mark.parametrize("body", [None, b"", "<html>Bad gateway</html>", [], {}, {"error": "x"}, {"error": {}}])
def test_an_answer_of_somebody_else_is_shown(body: Any) -> None:
    got = error_from_wire(502, body, WHERE)
    assert isinstance(got, RemoteError)
    assert got.status == 502
    assert WHERE in str(got)
    assert "502" in str(got)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_error_that_is_no_exception_has_its_own_name(kind: type[BaseException]) -> None:
    described = error_to_wire(as_exception(kind("over")))[1]["error"]
    assert (described["class"], described["message"]) == (kind.__name__, "over")


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), MissingField("city"), DeadlineExceeded("verify", 2), RateLimitError("slower", status=429)],
)
def test_an_answer_says_of_an_error_what_a_row_says(error: Exception) -> None:
    told, described = failure_of(error, "verify").error, error_to_wire(error, "verify")[1]["error"]
    shared = ("class", "message", "phase", "field", "http_status", "causes")
    assert [told.get(name) for name in shared] == [described.get(name) for name in shared]
