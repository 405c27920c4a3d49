"""The Model Context Protocol, both ways: an environment's tools for MCP clients, MCP servers as environments.

`MCPSession` is the base of sessions whose tools an MCP server has; `as_blocks`, `listed_tools` and `need_package` are
for whoever serves a session's tools. Names are imported when they are first used, the `mcp` package when a connection
is opened or an application is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.spi import lazy_names

if TYPE_CHECKING:
    from gym_mcp.connection import ToolError as ToolError
    from gym_mcp.content import as_blocks as as_blocks
    from gym_mcp.endpoint import HTTPServer as HTTPServer
    from gym_mcp.endpoint import StdioServer as StdioServer
    from gym_mcp.package import load_package as load_package
    from gym_mcp.package import need_package as need_package
    from gym_mcp.session import MCPResourceServer as MCPResourceServer
    from gym_mcp.session import MCPSession as MCPSession
    from gym_mcp.tools import listed_tools as listed_tools
else:
    __getattr__, __dir__, __all__ = lazy_names(__name__)
