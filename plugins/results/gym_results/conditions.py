"""Conditions on the fields of a row: what `--where FIELD=VALUE` and `--select FIELD=VALUE` ask for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gym_core import JsonError, UsageError, encode_json, parse_json
from gym_core.spi import field_value

_CONDITION = re.compile(r"(.+?)(!=|<=|>=|==?|<|>|~)(.*)", re.DOTALL)
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": lambda one, other: bool(one < other),
    ">": lambda one, other: bool(one > other),
    "<=": lambda one, other: bool(one <= other),
    ">=": lambda one, other: bool(one >= other),
}


_OTHER = re.compile(r"\{([^{}:\"]+)\}")
"""A value that names another field: its path in braces."""
_TURNED = {">": ">=", "<": "<=", "~": "~", "!": "!="}
"""What is meant by an operator that is written the other way round: by what follows its `=`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the field at a dotted path must be.

    `=` (or `==`) and `!=` compare with the value as JSON and as text, and null is a field that is not there; `<`,
    `>`, `<=` and `>=` compare numbers, and text where the field is text; `~` searches the text of the field, or its
    JSON, for a regular expression, in capitals or not. A value in braces, as in `answer!={rollout.info.given}`, is
    the one at that path in the same row, where two that are not there are not the same; `other` is the path.
    `literal`: `==` was written, for what would be read otherwise.
    """

    field: str
    operator: str
    text: str
    value: Any
    pattern: re.Pattern[str] | None = None
    other: str | None = None
    literal: bool = False

    @classmethod
    def parse(cls, text: str, option: str = "--where") -> Condition:
        """Read `FIELD=VALUE`. Raises `UsageError`, which names the option, where there is one."""
        option = f"{option} " if option else ""
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise UsageError(
                f"{option}{text}: this is no condition",
                hint=f"write {option}FIELD=VALUE, or with !=, <, >, <=, >= or ~, as in rollout.stop_reason=max_turns",
            )
        field, operator, value = found[1].strip(), found[2].replace("==", "="), found[3].strip()
        if found[2] == "=" and (meant := _TURNED.get(found[3][:1])):
            raise UsageError(
                f"{option}{text}: there is no `={found[3][0]}`",
                hint=f"write {field}{meant}{value[1:].strip()}, or {field}=={value} if that is the value itself",
            )
        if operator in _COMPARED and not value:
            raise UsageError(f"{option}{text}: there is nothing to compare with", hint=f"write {field}{operator}VALUE")
        pattern = _pattern(f"{option}{text}", value) if operator == "~" else None
        other = _OTHER.fullmatch(value) if pattern is None and found[2] != "==" else None
        path = other[1].strip() if other else None
        return cls(field, operator, value, _parsed(value), pattern, path, literal=found[2] == "==")

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether it is so in a row."""
        if self.other is not None:
            return self._holds_with(row, field_value(row, self.other))
        found = field_value(row, self.field)
        if self.operator == "=":
            return self._equals(found)
        if self.operator == "!=":
            return not self._equals(found)
        if self.pattern is not None:
            return found is not None and self.pattern.search(_text(found)) is not None
        compare = _COMPARED[self.operator]
        if _is_number(found) and _is_number(self.value):
            return compare(found, self.value)
        return isinstance(found, str) and compare(found, self.text)

    def __str__(self) -> str:
        return f"{self.field}{'==' if self.literal else self.operator}{self.text}"

    def _holds_with(self, row: Mapping[str, Any], other: Any) -> bool:
        """Whether it is so with the value of another field."""
        if other is None:  # where neither is there, both are misspelt, mostly
            return self.operator == "!=" and field_value(row, self.field) is not None
        text = _text(other)
        value = _parsed(other) if isinstance(other, str) else other
        return replace(self, text=text, value=value, other=None).holds(row)

    def _equals(self, found: Any) -> bool:
        if isinstance(found, str):
            return found in (self.text, self.value)
        if isinstance(found, bool) or isinstance(self.value, bool):
            return found is self.value
        return bool(found == self.value)


def _pattern(text: str, value: str) -> re.Pattern[str]:
    try:
        return re.compile(value, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{text}: no regular expression: {error}", hint="a backslash takes a character for itself"
        ) from None


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except JsonError:
        return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return encode_json(value).decode()
    except JsonError:
        return ""
