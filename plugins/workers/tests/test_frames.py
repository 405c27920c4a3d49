"""Frames arrive whole, whatever pieces the stream comes in."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core.domain import errors
from gym_workers import FrameReader
from gym_workers.error_wire import cause_from_wire, cause_to_wire
from gym_workers.frames import encode_frame

HEADS = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(-9, 9), st.text(max_size=20), st.none()), max_size=3)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(HEADS, st.lists(st.binary(max_size=200), max_size=3)), max_size=6), st.integers(1, 70))
def test_frames_are_those_that_were_sent(frames: list[tuple[dict[str, Any], list[bytes]]], size: int) -> None:
    found: list[tuple[dict[str, Any], bytes]] = []
    reader = FrameReader(lambda head, body: found.append((head, body)))
    stream = b"".join(encode_frame(head, body) for head, body in frames)
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    assert found == [(head, b"".join(body)) for head, body in frames]


def test_whoever_looks_at_the_stack_meanwhile_holds_up_nothing() -> None:
    """As the watchdog does in its thread, when the event loop is late."""
    found: list[dict[str, Any]] = []
    reader = FrameReader(lambda head, body: found.append(head))
    seen: list[FrameType] = []
    sys.setprofile(lambda frame, event, argument: seen.append(frame))
    try:
        for number in range(3):
            reader.feed(encode_frame({"number": number}, [b"body"]))
    finally:
        sys.setprofile(None)
    assert found == [{"number": number} for number in range(3)]


class OwnError(errors.BadRequestError):
    """A plugin's own class."""

    fatal = True


def test_an_error_is_judged_alike_on_the_other_side() -> None:
    for error in (errors.RateLimitError("slow down"), errors.BudgetExceeded("spent", hint="more"), OwnError("no")):
        wire = cause_to_wire(error)
        assert wire is not None
        again = cause_from_wire(wire)
        assert isinstance(again, errors.ModelError)
        assert type(again).__name__ == type(error).__name__
        assert (again.message, again.hint) == (error.message, error.hint)
        assert (again.retryable, again.fatal) == (error.retryable, error.fatal)
    assert isinstance(cause_from_wire(cause_to_wire(errors.BudgetExceeded("")) or {}), errors.BudgetExceeded)
    assert cause_to_wire(ValueError("its own business")) is None
    assert cause_to_wire(None) is None
