"""The second public tier, for those who extend gym itself: what executors, servers and further doors are built from.

Authors of models, environments and agents need nothing of it. It is versioned with the contract. Names are imported
when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_core.contract.executor import Head as Head
    from gym_core.contract.executor import Receive as Receive
    from gym_core.contract.executor import WorkerChannel as WorkerChannel
    from gym_core.contract.executor import WorkerLauncher as WorkerLauncher
    from gym_core.engine.child_processes.child import read_message as read_message
    from gym_core.engine.child_processes.child import when_let_go as when_let_go
    from gym_core.engine.child_processes.child import write_message as write_message
    from gym_core.engine.child_processes.parent import ChildProcess as ChildProcess
    from gym_core.engine.child_processes.parent import how_ended as how_ended
    from gym_core.engine.executors.frames import FrameReader as FrameReader
    from gym_core.engine.executors.worker import Worker as Worker

_HOMES = {
    "gym_core.contract.executor": "Head Receive WorkerChannel WorkerLauncher",
    "gym_core.engine.child_processes.child": "read_message when_let_go write_message",
    "gym_core.engine.child_processes.parent": "ChildProcess how_ended",
    "gym_core.engine.executors.frames": "FrameReader",
    "gym_core.engine.executors.worker": "Worker",
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'gym_core.spi' has no attribute {name!r}")
    value: Any = getattr(importlib.import_module(_NAMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
