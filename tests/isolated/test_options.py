"""The options of an isolated component are refused in the same words as those of one that is installed."""

from __future__ import annotations

import enum
import pathlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from gym_core.wiring.annotations import is_path, is_secret, item_annotation, parse_text, wants_json
from gym_isolated.shapes import annotation_of, hidden, shape_of, shown
from gym_testing import IsolatedPlugins
from tests.cli.conftest import Gym
from tests.support.isolation import LIBRARY, PLUGIN

WRONG = [
    ("-E", "mood=glad"),
    ("-E", "tasks=0"),
    ("-E", "size=3m"),
    ("-E", 'weights={"a": "x"}'),
    ("-E", "weights.a=x"),
    ("-E", "wait=soon", "-E", "mood=glad"),
    ("-E", "no_such=1"),
    ("-E", "tasks=13"),
    ("-E", "start=refused"),
    ("-E", "start=raised"),
]


@pytest.mark.parametrize("settings", WRONG, ids=lambda settings: " ".join(settings[1::2]))
def test_a_wrong_option(
    gym: Gym,
    built_home: Path,
    isolated_plugins: IsolatedPlugins,
    monkeypatch: pytest.MonkeyPatch,
    settings: Sequence[str],
) -> None:
    monkeypatch.setenv("GYM_HOME", str(built_home))
    apart = gym("tasks", "--env", "old", *settings)
    monkeypatch.delenv("GYM_HOME")
    (isolated_plugins.path / "quarrel.py").write_text(LIBRARY.format(version="1.0"))
    monkeypatch.setenv("GYM_HOME", str(isolated_plugins.path))
    isolated_plugins.add("gym-old", PLUGIN.format(name="old"), group="gym.resource_servers", name="old")
    here = gym("tasks", "--env", "old", *settings)
    assert apart.status == here.status == 2
    said = [line for line in here.err.splitlines() if not line.startswith("what a plugin prints")]
    if "start=raised" in settings:
        assert "RuntimeError: the talk has failed" in apart.err
    else:
        assert apart.err.splitlines() == said


def test_the_value_of_a_secret_is_not_told(gym: Gym, home: Path) -> None:
    refused = gym("tasks", "--env", "old:14", "-E", "api_key=sk-not-told")
    assert refused.status == 2
    assert "no talk with ***" in refused.err
    assert "sk-not-told" not in refused.err


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Inner(BaseModel):
    a: int = 1


ANNOTATIONS: list[Any] = [
    str,
    int,
    float,
    bool,
    bytes,
    SecretStr,
    pathlib.Path,
    Any,
    Decimal,
    Colour,
    Level,
    Inner,
    int | None,
    str | int | None,
    SecretStr | None,
    Literal["auto", "chat"],
    Literal["auto", 3],
    list[int],
    tuple[str, ...],
    tuple[int, str],
    set[str] | None,
    list[pathlib.Path],
    dict[str, float],
    dict[str, Any],
    dict[str, SecretStr],
    Mapping[str, list[int]],
    list[dict[str, SecretStr]] | str,
    Annotated[int | None, Field(ge=1)],
    dict,
    list,
]
TEXTS = ["1", "1.5", "true", "red", "auto", "3", '{"a": 1}', "[1, 2]", "null", "", '"x"', "a/b"]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_a_shape_reads_text_as_the_annotation_does(annotation: Any) -> None:
    again = annotation_of(shape_of(annotation))
    assert [parse_text(text, again) for text in TEXTS] == [parse_text(text, annotation) for text in TEXTS]
    assert (is_secret(again), is_path(again), wants_json(again)) == (
        is_secret(annotation),
        is_path(annotation),
        wants_json(annotation),
    )
    items, own = item_annotation(again), item_annotation(annotation)
    assert (items is None) == (own is None)
    if own is not None:
        assert [parse_text(text, items) for text in TEXTS] == [parse_text(text, own) for text in TEXTS]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (SecretStr | None, "a"),
        (SecretStr | None, None),
        (dict[str, SecretStr], {"a": "b"}),
        (list[dict[str, SecretStr]] | str, [{"a": "b"}]),
        (int, 3),
    ],
)
def test_secrets_are_hidden_and_shown(annotation: Any, value: Any) -> None:
    covered = hidden(value, shape_of(annotation))
    assert shown(covered) == value
    assert ("'b'" in repr(covered), "'a'" in repr(covered)) == (False, isinstance(value, dict | list))
