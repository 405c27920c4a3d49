"""Tools of an MCP server of the task's own, with a state that the tools and the rewards share."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf

__all__ = ["TillTaskset"]


class TillState(vf.State):
    paid: int = 0
    calls: int = 0


class TillTools(vf.Toolset[vf.ToolsetConfig, TillState]):
    TOOL_PREFIX = None

    @vf.tool
    async def pay(self, amount: int) -> str:
        """Pay an amount into the till."""
        self.state.calls += 1
        if amount > 4:
            raise ValueError("the till takes no more than 4")
        self.state.paid += amount
        return f"The till holds {self.state.paid}."

    @vf.tool
    async def look(self) -> str:
        """See what the till holds."""
        return f"The till holds {self.state.paid}."


class TillConfig(vf.TaskConfig):
    tools: vf.ToolsetConfig = vf.ToolsetConfig()


class TillData(vf.TaskData):
    goal: int


class TillTask(vf.Task[TillData, TillState, TillConfig]):
    @classmethod
    def toolsets(cls, config: TillConfig) -> list[vf.Toolset]:
        return [TillTools(config.tools)]

    @vf.reward
    async def paid(self, trace: vf.Trace) -> float:
        return trace.state.paid / (3 * self.data.goal)

    @vf.metric
    async def calls(self, trace: vf.Trace) -> float:
        return float(trace.state.calls)


class TillTasksetConfig(vf.TasksetConfig):
    task: TillConfig = TillConfig()


class TillTaskset(vf.Taskset[TillTask, TillTasksetConfig]):
    def load(self) -> Iterator[TillTask]:
        for goal in (2, 4, 7):
            yield TillTask(TillData(prompt=f"Bring the till to {goal}.", goal=goal), self.config.task)


if __name__ == "__main__":
    TillTools.run()
