"""What gym finds by the entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core.spi import ExecutorProvider


@hookimpl(contract=1)
def gym_executors() -> Mapping[str, type[ExecutorProvider]]:
    """The executor `workers`: processes of this machine."""
    from gym_workers.processes import ProcessLauncher

    return {"workers": ProcessLauncher}
