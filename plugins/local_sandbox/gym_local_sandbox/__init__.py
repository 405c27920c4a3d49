"""The sandbox `local`: a folder and processes of this machine. It protects nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gym_core import hookimpl

if TYPE_CHECKING:
    from gym_core import SandboxProvider

__version__ = "0.1.0"


@hookimpl(contract=1)
def gym_sandboxes() -> Mapping[str, type[SandboxProvider]]:
    """The providers of sandboxes of this package."""
    from gym_local_sandbox.provider import LocalSandboxProvider

    return {"local": LocalSandboxProvider}
