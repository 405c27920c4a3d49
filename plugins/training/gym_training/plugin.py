"""What gym finds of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core.spi import Exporter


@hookimpl(contract=1)
def gym_exporters() -> Mapping[str, Exporter[Any]]:
    """The formats of trainers."""
    from gym_training.formats import FORMATS

    return FORMATS
