"""Options that several of the commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

COUNT = click.IntRange(min=1)


def condition_option(name: str) -> Callable[[Any], Any]:
    """An option that takes conditions on rows, which `Condition.parse` reads."""
    return click.option(
        name,
        metavar="FIELD=VALUE",
        multiple=True,
        help="Those whose field, a dotted path into the row, is so; also with !=, <, >, <=, >= and ~, which searches. "
        "Repeatable.",
    )
