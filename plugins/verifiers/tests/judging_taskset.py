"""A small taskset of verifiers 0.4 that asks a model of its own about an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

__all__ = ["JudgeTaskset"]


class Good(vf.Judge[str]):  # type: ignore[misc]
    """Asks whether something is good."""


class JudgedTask(vf.Task[vf.TaskData]):  # type: ignore[misc]
    @vf.reward  # type: ignore[untyped-decorator]
    async def judged(self, trace: Any) -> float:
        return float("yes" in (await Good().complete(trace.last_reply, trace=trace)).text)


class JudgeTaskset(vf.Taskset[JudgedTask, vf.TasksetConfig]):  # type: ignore[misc]
    def load(self) -> Iterator[JudgedTask]:
        for number in range(2):
            yield JudgedTask(vf.TaskData(prompt=f"Say {number}."), self.config.task)
