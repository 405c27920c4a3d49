"""Runs as tables: formats for `gym export`, and `gym query`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import hookimpl

if TYPE_CHECKING:
    import click

    from gym_core.spi import Exporter


@hookimpl(contract=1)
def gym_exporters() -> Mapping[str, Exporter[Any]]:
    """Flat tables of rollouts."""
    from gym_tables.formats import CsvTable, ParquetTable

    return {"csv": CsvTable(), "parquet": ParquetTable()}


@hookimpl(contract=1)
def gym_commands() -> Mapping[str, click.Command]:
    """`gym query`."""
    from gym_tables.query import query

    return {"query": query}
