"""What `gym export --format csv` and `--format parquet` do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from gym_core import Rollout
from gym_core.spi import Column, Exporter, ExportRequest
from gym_tables.columns import Row, Shape


class Table(Exporter):
    """A row for each rollout, failures among them, whose reward is empty."""

    keeps_failures: ClassVar[bool] = True

    def columns(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Mapping[str, Column]:
        """The columns, which follow from all the rows."""
        shape = Shape()
        for rollout in rollouts:
            shape.row(rollout)
        return shape.columns()

    def rows(self, rollouts: Iterable[Rollout], request: ExportRequest) -> Iterator[Row]:
        """Each rollout as a flat row."""
        return map(Shape().row, rollouts)


class CsvTable(Table):
    """A flat table as CSV: a row for each rollout, failures among them, whose reward is empty."""

    suffix: ClassVar[str] = ".csv"


class ParquetTable(Table):
    """A flat table as Parquet: a row for each rollout, failures among them, whose reward is null."""

    suffix: ClassVar[str] = ".parquet"
