"""NeMo Gym's formats: rows, configuration files, and the shapes of its routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core.spi import Exporter, Importer


@hookimpl(contract=1)
def gym_importers() -> Mapping[str, Importer]:
    """The configurations of NeMo Gym."""
    from gym_nemo.formats import NemoImporter

    return {"nemo": NemoImporter()}


@hookimpl(contract=1)
def gym_exporters() -> Mapping[str, Exporter[Any]]:
    """The rows of NeMo Gym."""
    from gym_nemo.formats import NemoExporter

    return {"nemo": NemoExporter()}
