"""A model's arguments, checked before the call."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from gym_core import ToolSpec, tool
from gym_core.spi import ArgumentError, class_tools


class Unit(enum.Enum):
    CELSIUS = "C"


class Place(BaseModel):
    name: str


class Owner:
    @tool
    def it(
        self,
        place: Place,
        unit: Unit = Unit.CELSIUS,
        days: Annotated[int, Field(ge=1)] = 1,
        tags: list[str] = [],  # noqa: B006
    ) -> str:
        """It."""
        return ""


@pytest.fixture
def spec() -> ToolSpec:
    return class_tools(Owner)[0]


def test_arguments_arrive_as_their_types_with_defaults_filled_in(spec: ToolSpec) -> None:
    assert spec.parse('{"place": {"name": "Rome"}, "unit": "C"}') == {
        "place": Place(name="Rome"),
        "unit": Unit.CELSIUS,
        "days": 1,
        "tags": [],
    }


def test_a_default_that_can_change_is_fresh_for_every_call(spec: ToolSpec) -> None:
    spec.parse('{"place": {"name": "Rome"}}')["tags"].append("x")
    assert spec.parse('{"place": {"name": "Rome"}}')["tags"] == []


@pytest.mark.parametrize("text", ["", "{}", " {} "])
def test_no_text_is_no_arguments(text: str) -> None:
    class Bare:
        @tool
        def it(self) -> str:
            """It."""
            return ""

    if text.strip() or text == "":
        assert class_tools(Bare)[0].parse(text) == {}


@pytest.mark.parametrize("text", ["{", "{'a': 1}", "Rome", '{"place": {"name": "Ro', "{}{}"])
def test_text_that_is_no_json_is_bad_json(spec: ToolSpec, text: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        spec.parse(text)
    assert caught.value.kind == "bad_json"
    assert "not valid JSON" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "arguments"),
        ("null", "arguments"),
        ('"Rome"', "arguments"),
        ("{}", "place: Field required"),
        ('{"place": {}}', "place.name"),
        ('{"place": {"name": "Rome"}, "unit": "K"}', "unit"),
        ('{"place": {"name": "Rome"}, "days": 0}', "days"),
        ('{"place": {"name": "Rome"}, "extra": 1}', "extra"),
    ],
)
def test_arguments_that_do_not_fit_name_the_parameter(spec: ToolSpec, text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        spec.parse(text)
    assert caught.value.kind == "bad_arguments"


def test_what_the_model_wrote_is_not_repeated_to_it(spec: ToolSpec) -> None:
    with pytest.raises(ArgumentError) as caught:
        spec.parse('{"place": {"name": "Rome"}, "days": "sk-very-secret"}')
    assert "very-secret" not in str(caught.value)


def test_a_parameter_may_be_called_like_a_method_of_a_pydantic_model() -> None:
    def export(self: Any, schema: str) -> str:
        """Export."""
        return ""

    (spec,) = class_tools(type("Odd", (), {"export": tool(export)}))
    assert spec.parse('{"schema": "x"}') == {"schema": "x"}
