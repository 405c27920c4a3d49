"""An environment whose actions are tools of MCP."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP
from fastmcp.utilities.types import Image
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolObservation
from openenv.core.env_server.types import Action, Observation, State


class Till(MCPEnvironment):
    """Ring up what is bought; each right sum is worth a tenth."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        mcp = FastMCP("till")
        self._total = 0

        @mcp.tool
        def ring(price: int, count: int = 1) -> int:
            """Ring up so many of a price."""
            if price < 0:
                raise ValueError("prices are not negative")
            self._total += price * count
            return self._total

        @mcp.tool
        def receipt() -> Image:
            """Show the receipt."""
            return Image(data=b"\x89PNG\r\n\x1a\n" + bytes(40), format="png")

        super().__init__(mcp)
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Observation:
        self._total, self._goal = 0, 10 + (seed or 0)
        return Observation(metadata={"goal": self._goal})

    def _step_impl(self, action: Action, timeout_s: float | None = None, **_: Any) -> Observation:
        return Observation(metadata={"error": "unknown"})

    async def step_async(self, action: Action, timeout_s: float | None = None, **more: Any) -> Observation:
        seen = await super().step_async(action, timeout_s=timeout_s, **more)
        if isinstance(seen, CallToolObservation):
            right = self._total == self._goal
            seen = seen.model_copy(update={"reward": 0.1 if seen.error is None else 0.0, "done": right})
        return seen

    @property
    def state(self) -> State:
        return self._state
