"""How many files, connections among them, this process may have open."""

from __future__ import annotations

import sys

BESIDES_CONNECTIONS = 100
"""Files that a run needs beside its connections."""
MOST_ON_MACOS = 10_240
"""What macOS lets a process ask for, whatever it says its hard limit is."""
UNLIMITED = sys.maxsize


def open_files_limit() -> int | None:
    """How many files this process may have open once it has asked for as many as it can get; None without limit."""
    limits = _limits()
    return None if limits is None or UNLIMITED in limits else max(limits)


def allow_open_files(concurrency: int) -> str | None:
    """Raise the limit as far as may be; returns a warning where it is too low for so many rollouts at once."""
    limits = _limits()
    if limits is None:
        return None
    import resource

    allowed, reachable = limits
    if allowed < reachable:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard if reachable == UNLIMITED else reachable, hard))
            allowed = reachable
        except (OSError, ValueError):  # it stays as it is
            pass
    needed = concurrency + BESIDES_CONNECTIONS
    if allowed >= needed:
        return None
    return (
        f"{concurrency} rollouts at once may need more than the {allowed} files that this process may open: "
        f"`ulimit -n {needed}`"
    )


def _limits() -> tuple[int, int] | None:
    """How many files may be open now, and how many could be; None where there is no such limit."""
    try:
        import resource
    except ImportError:
        return None
    asked = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (UNLIMITED if limit == resource.RLIM_INFINITY else limit for limit in asked)
    return soft, min(hard, MOST_ON_MACOS) if sys.platform == "darwin" else hard
