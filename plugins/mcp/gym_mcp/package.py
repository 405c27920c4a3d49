"""The `mcp` package, whose import takes about a second."""

from __future__ import annotations

import asyncio
import importlib
import sys


def need_package() -> None:
    """Import it."""
    importlib.import_module("mcp")


async def load_package() -> None:
    """Import it without holding the event loop."""
    if "mcp.client.client" not in sys.modules:
        await asyncio.to_thread(need_package)
