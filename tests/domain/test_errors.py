"""The taxonomy of errors, which retry policy, closing table and docs all read."""

from __future__ import annotations

import pytest

import gym_core
from gym_core import GymError, ModelError
from gym_core.domain import errors
from gym_core.errors import error_chain, model_error_classes


@pytest.mark.parametrize("kind", model_error_classes(), ids=lambda kind: kind.__name__)
def test_every_class_of_a_failed_model_call_says_what_it_is_and_what_to_do(kind: type[ModelError]) -> None:
    assert kind.__doc__
    assert kind.remedy != ModelError.remedy
    assert not (kind.retryable and kind.fatal)
    assert kind.exit_code == 3
    error = kind("it failed", hint="do this", status=418, retry_after=2.0)
    assert str(error) == "it failed (do this)"
    assert (error.status, error.retry_after) == (418, 2.0)


def test_all_classes_can_be_reached_by_plugins() -> None:
    for kind in [*model_error_classes(), errors.UsageError, errors.PluginError, errors.EpisodeOver]:
        assert getattr(gym_core.errors, kind.__name__) is kind


def test_a_chain_of_causes_is_outermost_first_and_ends() -> None:
    try:
        try:
            raise ValueError("root")
        except ValueError as root:
            raise KeyError("middle") from root
    except KeyError as middle:
        error = GymError("top")
        error.__cause__ = middle
    assert error_chain(error) == ["GymError: top", "KeyError: 'middle'", "ValueError: root"]
    loop = GymError("loop")
    loop.__context__ = GymError("back")
    loop.__context__.__context__ = loop
    assert error_chain(loop) == ["GymError: loop", "GymError: back"]


def test_a_cause_that_was_suppressed_is_not_told() -> None:
    error = KeyError("shown")
    error.__context__ = ValueError("hidden")
    assert error_chain(error) == ["KeyError: 'shown'", "ValueError: hidden"]
    error.__suppress_context__ = True
    assert error_chain(error) == ["KeyError: 'shown'"]
