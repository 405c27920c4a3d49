"""What is worth saying of an MCP server, said once: each rollout may connect anew and find the same."""

from __future__ import annotations

import logging

logger = logging.getLogger("gym")
_MOST = 1000
_said: set[str] = set()

# The package writes a traceback for each line of a server's output that is no message. Where nobody has set up logging
# they would end up on the terminal; here they are said once, as notices.
logging.getLogger("mcp").addHandler(logging.NullHandler())


def notice(message: str) -> None:
    """Warn, unless the same has been said before in this process."""
    if message not in _said:
        if len(_said) < _MOST:
            _said.add(message)
        logger.warning("%s", message)
