"""Tools in both languages: those of an MCP server as a session's, those of a session as MCP lists them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gym_core import ToolSpec
from gym_core.errors import SessionError
from gym_core.spi import BoundTool, parse_arguments
from gym_mcp.notices import notice
from gym_mcp.schemas import object_schema

if TYPE_CHECKING:
    from mcp.types import Tool

_LENGTH = 64
_NONE: Mapping[str, str] = {}
_ALIEN = re.compile(r"[^A-Za-z0-9_-]")

Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Calls a tool of the server by its name there."""


def session_tools(
    tools: Sequence[Tool],
    call: Call,
    *,
    names: Collection[str] | None,
    prefix: str,
    left_out: Mapping[str, str] = _NONE,
) -> list[BoundTool]:
    """The tools of a server as a session offers them.

    `names`: which, by their names there; None for all. `prefix`: put before each. `left_out`: why others cannot be
    offered. Raises `SessionError` for a name that the server lacks, and for two chosen tools that the model would know
    by one name; where all are offered, the first of them is.
    """
    if names is not None:
        offered = {tool.name for tool in tools}
        lacking = sorted(set(names) - offered)
        for name in lacking:
            if name in left_out:
                raise SessionError(f"the tool `{name}` of the MCP server cannot be offered: {left_out[name]}")
        if lacking:
            there = ", ".join(sorted(offered)) or "none"
            raise SessionError(f"the MCP server has no tool `{lacking[0]}`; its tools: {there}")
    bound: dict[str, BoundTool] = {}
    for tool in tools:
        if names is not None and tool.name not in names:
            continue
        # What the endpoints of models take is narrower than what MCP does.
        name = _name(prefix + tool.name)
        if name in bound:
            if names is not None:
                raise SessionError(f"two tools of the MCP server would both be `{name}`; choose by `tool_names`")
            notice(f"the tool `{tool.name}` of an MCP server is left out: another one is `{name}`, too")
            continue
        bound[name] = _bound(tool, name, call)
    return list(bound.values())


def _name(name: str) -> str:
    """A tool's name as models call it. Long ones that begin alike stay apart."""
    made = _ALIEN.sub("_", name)
    if len(made) <= _LENGTH:
        return made
    return f"{made[: _LENGTH - 9]}_{hashlib.blake2b(name.encode(errors='replace'), digest_size=4).hexdigest()}"


def _bound(tool: Tool, name: str, call: Call) -> BoundTool:
    async def run(call: Call, /, arguments: str) -> Any:
        # What the server is to check: all that is checked here is that it is an object.
        return await call(tool.name, parse_arguments(arguments))

    return ToolSpec.listed(name, tool.description or tool.title, tool.input_schema, run).bind(call)


def listed_tools(schemas: Iterable[Mapping[str, Any]]) -> list[Tool]:
    """The functions among a session's tools as MCP lists them. One whose schema MCP has no form for is left out."""
    from mcp.types import Tool

    listed: list[Tool] = []
    for schema in schemas:
        if schema.get("type", "function") != "function":
            continue
        try:
            parameters = object_schema(schema.get("parameters"))
        except ValueError as error:
            notice(f"the tool `{schema.get('name')}` is not offered over MCP: {error}")
            continue
        listed.append(
            Tool(name=str(schema.get("name")), description=schema.get("description") or None, input_schema=parameters)
        )
    return listed
