"""The end of a process whose work is done."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import NoReturn

from gym_core.engine.standard_streams import say_at_once

EXIT_SECONDS = 5.0
"""How long threads, and what is registered for the exit, may keep the process."""


def leave(status: int, seconds: float = EXIT_SECONDS) -> NoReturn:
    """Exit with a status, within so many seconds: the interpreter would wait for threads that never end."""

    def late() -> None:
        time.sleep(seconds)
        main = threading.main_thread()
        threads = ", ".join(thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main)
        say_at_once(f"warning: the process is ended with threads at work: {threads or 'none'}\n")
        os._exit(status)

    threading.Thread(target=late, name="gym-exit", daemon=True).start()
    sys.exit(status)
