"""Workers on other machines: `gym run --executor ssh:HOST --workers 4`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core.spi import ExecutorProvider


@hookimpl(contract=1)
def gym_executors() -> Mapping[str, type[ExecutorProvider]]:
    """The executor `ssh`."""
    from gym_ssh.launcher import SshLauncher

    return {"ssh": SshLauncher}
