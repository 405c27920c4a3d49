"""A small taskset, written for verifiers 0.4 as its documentation has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

__all__ = ["SayTaskset"]


class SayData(vf.TaskData):  # type: ignore[misc]
    answer: str = ""


class SayConfig(vf.TasksetConfig):  # type: ignore[misc]
    count: int = 2
    broken: bool = False


class SayTask(vf.Task[SayData]):  # type: ignore[misc]
    @vf.reward  # type: ignore[untyped-decorator]
    async def exact(self, trace: Any) -> float:
        if not self.data.answer:
            raise KeyError("no such column")
        return float(trace.last_reply.strip() == self.data.answer)


class SayTaskset(vf.Taskset[SayTask, SayConfig]):  # type: ignore[misc]
    def load(self) -> Iterator[SayTask]:
        for number in range(self.config.count):
            answer = "" if self.config.broken else str(number)
            yield SayTask(SayData(prompt=f"Say {number}.", answer=answer), self.config.task)
