"""The Model Context Protocol, both ways: an environment's tools for MCP clients, MCP servers as environments.

`MCPSession` is the base of sessions whose tools an MCP server has; `as_blocks`, `listed_tools` and `need_package` are
for whoever serves a session's tools. Names are imported when they are first used, the `mcp` package when a connection
is opened or an application is built.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gym_mcp.connection import ToolError as ToolError
    from gym_mcp.content import as_blocks as as_blocks
    from gym_mcp.endpoint import HTTPServer as HTTPServer
    from gym_mcp.endpoint import StdioServer as StdioServer
    from gym_mcp.package import need_package as need_package
    from gym_mcp.session import MCPResourceServer as MCPResourceServer
    from gym_mcp.session import MCPSession as MCPSession
    from gym_mcp.tools import listed_tools as listed_tools

_NAMES = {
    "HTTPServer": "endpoint",
    "MCPResourceServer": "session",
    "MCPSession": "session",
    "StdioServer": "endpoint",
    "ToolError": "connection",
    "as_blocks": "content",
    "listed_tools": "tools",
    "need_package": "package",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'gym_mcp' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gym_mcp.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
