"""Prompt templates of NeMo Gym: what makes a row's `input` out of its other fields, as `dataset render` does there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from gym_core import UsageError
from gym_core.spi import REQUEST_FIELD
from gym_nemo.yaml_files import read_yaml

_SHOWN = 10
"""So many lines of rows or fields of a row are named."""


def prompted(dataset: Path, template: Path) -> str:
    """The lines of a dataset with `responses_create_params.input` made by a template.

    Its `system`, which may be missing, and its `user` are filled in from the fields at the top of each row. Raises
    `UsageError`: what was no row with the number of its line, rows with an `input` of their own all at once.
    """
    parts = _parts(template)
    rows = list(_rows(dataset))
    given = [str(number) for number, row in rows if _request(row).get("input")]
    if given:
        lines = ", ".join(given[:_SHOWN]) + (f" and {len(given) - _SHOWN} more" if len(given) > _SHOWN else "")
        raise UsageError(
            f"{dataset}: rows have an `input` of their own, and the dataset has a prompt template, {template}: "
            f"line{'s' * (len(given) > 1)} {lines}",
            hint="take the `input` out of the rows, or `prompt_config` out of the configuration",
        )
    return "".join(_line(_filled(row, parts, f"{dataset}:{number}", template)) for number, row in rows)


def _parts(template: Path) -> Sequence[tuple[str, str]]:
    """The role and the text of each message."""
    content = read_yaml(template, "the texts `user` and, perhaps, `system`")
    texts = {role: content.get(role) for role in ("system", "user") if role == "user" or content.get(role) is not None}
    for role, text in texts.items():
        if not isinstance(text, str):
            what = "is missing" if text is None else "must be a text"
            raise UsageError(f"{template}: `{role}` {what}", hint="a prompt template has `user` and, perhaps, `system`")
        try:
            list(Formatter().parse(text))
        except ValueError as error:
            raise UsageError(f"{template}: `{role}`: {error}", hint="braces that are meant so are doubled") from None
    return [(role, str(text)) for role, text in texts.items()]


def _rows(dataset: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = dataset.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{dataset} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{dataset}: not UTF-8 text") from None
    for number, line in enumerate(text.split("\n"), 1):  # not by splitlines, which splits within strings, too
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{dataset}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get(REQUEST_FIELD) or {}, dict):
            raise UsageError(f"{dataset}:{number}: a row and its `{REQUEST_FIELD}` must be JSON objects")
        yield number, row


def _request(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row.get(REQUEST_FIELD) or {}


def _filled(row: dict[str, Any], parts: Sequence[tuple[str, str]], place: str, template: Path) -> dict[str, Any]:
    try:
        messages = [{"role": role, "content": text.format_map(row)} for role, text in parts]
    except KeyError as error:
        fields = ", ".join(list(row)[:_SHOWN]) or "none"
        raise UsageError(f"{place}: {template} wants the field {error}, and the row has {fields}") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise UsageError(f"{place}: {template} cannot be filled in: {error}") from None
    return {**row, REQUEST_FIELD: {**_request(row), "input": messages}}


def _line(row: Mapping[str, Any]) -> str:
    # escaped, as NeMo Gym writes it, so that half a surrogate pair of a row stays what it is
    return f"{json.dumps(row)}\n"
