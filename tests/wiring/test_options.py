from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, PositiveInt, SecretStr, field_validator, model_validator

from gym_core import Component, FromEnv, Options, Selector, UsageError
from gym_core.spi import Resolved, option_fields, resolve_options
from gym_core.wiring.fields import OptionField, selector_field


class ServerOptions(Options):
    model: Annotated[str | None, Selector(), FromEnv("SERVER_MODEL")] = Field(None, description="Which\n  model.")
    key: Annotated[SecretStr | None, FromEnv("SERVER_KEY", "COMMON_KEY")] = Field(None, description="The key.")
    turns: PositiveInt = Field(20, description="How many turns.")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="Of sampling.")
    api: Literal["auto", "chat"] = Field("auto", description="The dialect.")
    folder: Path = Field(Path("."), description="Where.")
    stream: bool = Field(False, description="Whether to stream.")
    stop: list[str] = Field(default_factory=list, description="Where to stop.")
    top: int | None = Field(None, ge=1, description="How many.")
    effort: str | int | list[int] = Field("low", description="How hard to think.")
    headers: dict[str, str] = Field(default_factory=dict, description="To send.")
    secrets: dict[str, SecretStr] = Field(default_factory=dict, description="To hide.")
    body: dict[str, Any] = Field(default_factory=dict, description="To merge.")

    @field_validator("key")
    @classmethod
    def _no_spaces(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and " " in key.get_secret_value():
            raise ValueError(f"the key {key.get_secret_value()} has spaces")
        return key

    @model_validator(mode="after")
    def _consistent(self) -> Any:
        if self.turns == 13:
            raise ValueError("13 turns bring bad luck")
        return self


class Server(Component[ServerOptions]):
    """A component with options of all sorts."""


class NeedyOptions(Options):
    url: Annotated[str, FromEnv("NEEDY_URL")] = Field(description="Where.")
    key: Annotated[SecretStr, FromEnv("NEEDY_KEY")] = Field(description="The key.")


class Needy(Component[NeedyOptions]):
    """A component with options that must be given."""


def resolve(given: Mapping[str, Any] | None = None, selector: str | None = None, **environ: str) -> Resolved:
    return resolve_options(Server, "my-server", given or {}, selector, environ=environ)


def refused(given: Mapping[str, Any] | None = None, selector: str | None = None, **environ: str) -> str:
    with pytest.raises(UsageError) as raised:
        resolve(given, selector, **environ)
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_each_source_comes_before_the_next() -> None:
    everything = {"GYM_MY_SERVER_MODEL": "own", "SERVER_MODEL": "marked"}
    assert resolve({"model": "given"}, **everything).options.model == "given"
    assert resolve(None, "selected", **everything).options.model == "selected"
    assert resolve(None, None, **everything).options.model == "own"
    assert resolve(SERVER_MODEL="marked").options.model == "marked"
    assert resolve().options.model is None


def test_marked_variables_count_in_their_order_and_empty_ones_not() -> None:
    assert resolve(SERVER_KEY="first-key", COMMON_KEY="second-key").options.key.get_secret_value() == "first-key"
    assert resolve(SERVER_KEY="", COMMON_KEY="second-key").options.key.get_secret_value() == "second-key"


def test_origins_are_told() -> None:
    origins = resolve({"turns": "3"}, "m", COMMON_KEY="a-long-key").origins
    assert origins["turns"] == "command line"
    assert origins["model"] == "reference"
    assert origins["key"] == "environment COMMON_KEY"
    assert origins["api"] == "default"


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("model", "123", "123"),
        ("model", "null", "null"),
        ("turns", "7", 7),
        ("temperature", "0.5", 0.5),
        ("temperature", "null", None),
        ("api", "chat", "chat"),
        ("folder", "/x", Path("/x")),
        ("stream", "true", True),
        ("stream", "yes", True),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("effort", "high", "high"),
        ("effort", "3", 3),
        ("effort", "[1, 2]", [1, 2]),
        ("effort", "true", "true"),
        ("headers", '{"a": "1"}', {"a": "1"}),
        ("body", '{"a": {"b": 1}}', {"a": {"b": 1}}),
    ],
)
def test_text_becomes_a_value(option: str, text: str, value: Any) -> None:
    assert getattr(resolve({option: text}).options, option) == value


def test_values_of_python_stay_what_they_are() -> None:
    assert resolve({"turns": 3, "stop": ["x"], "temperature": None}).options.stop == ["x"]


def test_a_dot_sets_a_key_of_a_mapping() -> None:
    given = {"headers.X-Foo": "1", "headers.a.b": "2", "body.x.y": "[1]", "body.x.z": "text", "body": '{"w": 0}'}
    options = resolve(given).options
    assert options.headers == {"X-Foo": "1", "a.b": "2"}
    assert options.body == {"w": 0, "x": {"y": [1], "z": "text"}}


# Refusals


def test_an_unknown_option_is_answered_with_the_nearest() -> None:
    message = refused({"temprature": "1"})
    assert "my-server has no option 'temprature' (-M temprature); did you mean 'temperature'?" in message
    assert "`gym plugins show my-server`" in message


def test_an_invalid_value_is_shown_as_typed() -> None:
    assert refused({"temperature": "abc"}).startswith("-M temperature=abc: input should be a valid number")
    assert refused({"api": "x"}).startswith("-M api=x: input should be 'auto' or 'chat'")
    assert refused(GYM_MY_SERVER_TURNS="x").startswith("GYM_MY_SERVER_TURNS=x: input should be a valid integer")
    assert refused({"stop": "a"}).startswith("-M stop=a: input should be a valid list (write it as JSON")


def test_the_option_of_a_role_is_shown_as_typed() -> None:
    with pytest.raises(UsageError, match=r"^-M judge\.turns=x: "):
        resolve_options(Server, "my-server", {"turns": "x"}, environ={}, what="-M judge.")


def test_several_problems_are_one_line() -> None:
    assert "(and 1 more)" in refused({"turns": "x", "temperature": "y"})


def test_a_rule_over_several_options_is_told() -> None:
    assert refused({"turns": "13"}).startswith("the options of my-server: 13 turns bring bad luck")


def test_keys_of_an_option_without_keys_are_refused() -> None:
    assert refused({"turns.x": "1"}).startswith("-M turns.x=1: the option `turns` has no keys")


def test_a_selector_and_the_same_option_must_agree() -> None:
    assert "`my-server:a` and `-M model=b` contradict each other" in refused({"model": "b"}, "a")
    assert resolve({"model": "a"}, "a").options.model == "a"


def test_a_selector_needs_an_option_that_takes_it() -> None:
    with pytest.raises(UsageError, match="needy takes nothing after a colon"):
        resolve_options(Needy, "needy", {}, "x", environ={})


def test_a_missing_option_is_named_with_all_ways_to_give_it() -> None:
    with pytest.raises(UsageError, match=r"needy needs the option `url`.*-E url=.*GYM_NEEDY_URL or NEEDY_URL"):
        resolve_options(Needy, "needy", {}, environ={}, what="-E")
    with pytest.raises(UsageError, match=r"needs the option `key` \(set NEEDY_KEY or GYM_NEEDY_KEY\)"):
        resolve_options(Needy, "needy", {"url": "x"}, environ={}, what="-E")


# Secrets


def test_secrets_are_handed_over_to_be_hidden() -> None:
    resolved = resolve({"secrets.a": "hidden-too"}, SERVER_KEY="a-long-key")
    assert set(resolved.secrets) == {"a-long-key", "hidden-too"}
    assert "a-long-key" not in repr(resolved)


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        ({"key": "s3cret value"}, {}),
        ({}, {"SERVER_KEY": "s3cret value"}),
        ({"secrets": "s3cret value"}, {}),
        ({"secrets.a": "s3cret value", "key": "s3cret value"}, {}),
    ],
)
def test_no_refusal_shows_a_secret(given: dict[str, str], environ: dict[str, str]) -> None:
    message = refused(given, **environ)
    assert "s3cret value" not in message
    assert "***" in message


def test_a_refusal_of_one_option_hides_the_secret_of_another() -> None:
    assert "a-long-key" not in refused({"turns": "a-long-key"}, SERVER_KEY="a-long-key")


# The table


def test_options_are_a_table() -> None:
    rows = {row.name: row for row in option_fields(Server, "my-server")}
    assert rows["model"] == OptionField(
        "model", "str | none", "", ("GYM_MY_SERVER_MODEL", "SERVER_MODEL"), "Which model."
    )
    assert rows["key"] == OptionField(
        "key", "secret | none", "", ("GYM_MY_SERVER_KEY", "SERVER_KEY", "COMMON_KEY"), "The key.", secret=True
    )
    types = {name: (row.type, row.default) for name, row in rows.items()}
    assert types["turns"] == ("int > 0", "20")
    assert types["temperature"] == ("float >= 0 <= 2 | none", "")
    assert types["top"] == ("int >= 1 | none", "")
    assert types["api"] == ("auto | chat", "auto")
    assert types["folder"] == ("path", ".")
    assert types["stream"] == ("bool", "false")
    assert types["stop"] == ("list[str]", "[]")
    assert types["effort"] == ("str | int | list[int]", "low")
    assert types["secrets"][0] == "dict[str, secret]"


def test_required_options_and_selectors_are_known() -> None:
    assert [row.required for row in option_fields(Needy)] == [True, True]
    assert option_fields(Needy)[0].environment == ("NEEDY_URL",)
    assert (selector_field(Server), selector_field(Needy)) == ("model", None)
