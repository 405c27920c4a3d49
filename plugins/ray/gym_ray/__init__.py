"""Workers as actors of a Ray cluster: `gym run --executor ray[:ADDRESS]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core.spi import ExecutorProvider


@hookimpl(contract=1)
def gym_executors() -> Mapping[str, type[ExecutorProvider]]:
    """The executor `ray`."""
    from gym_ray.launcher import RayLauncher

    return {"ray": RayLauncher}
