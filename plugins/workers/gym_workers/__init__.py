"""Workers for runs of gym: rollouts in several processes, which share a budget and the limits of endpoints.

`gym run --workers N` starts them on this machine. Who starts them elsewhere extends `WorkerLauncher`, and has a
`Worker` there, which is given what a `FrameReader` cuts out of the stream that it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.spi import lazy_names

if TYPE_CHECKING:
    from gym_workers.channel import Head as Head
    from gym_workers.channel import Receive as Receive
    from gym_workers.channel import WorkerChannel as WorkerChannel
    from gym_workers.frames import FrameReader as FrameReader
    from gym_workers.launcher import WorkerLauncher as WorkerLauncher
    from gym_workers.worker import Worker as Worker
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
