"""The class of a component's options is its parameter."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import pytest
from pydantic import Field

from gym_core import Agent, Episode, Options, ResourceServer, Session, Trajectory

OwnOptions = TypeVar("OwnOptions", bound=Options)
Other = TypeVar("Other")


class CounterOptions(Options):
    """Options."""

    limit: int = Field(100, description="The highest value.")


class Counter(ResourceServer[CounterOptions]):
    """Counts."""


def test_the_parameter_is_the_class_of_the_options() -> None:
    assert Counter.Options is CounterOptions
    assert Counter().options == CounterOptions(limit=100)
    assert Counter(CounterOptions(limit=3)).options.limit == 3


def test_without_a_parameter_there_are_no_options() -> None:
    class Plain(ResourceServer):
        pass

    assert Plain.Options is Options
    assert Plain().options == Options()


def test_a_subclass_has_its_parents_options() -> None:
    class Twice(Counter):
        pass

    assert Twice.Options is CounterOptions


def test_a_generic_base_passes_its_parameter_on() -> None:
    class Base(Agent[OwnOptions], Generic[Other, OwnOptions]):
        async def run(self, episode: Episode) -> Any:
            return None

    class Own(Base[int, CounterOptions]):
        pass

    assert Base.Options is Options
    assert Own.Options is CounterOptions


def test_a_session_knows_its_servers_options() -> None:
    class CounterSession(Session[Counter]):
        def verify(self, trajectory: Trajectory) -> float:
            return float(self.server.options.limit)


def test_options_that_a_text_names_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^Late: its options are 'LateOptions', a text; name the class itself"):

        class Late(ResourceServer["LateOptions"]):  # type: ignore[name-defined]
            pass
