"""One turn: a reward, a metric, a system prompt."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf

__all__ = ["SayTaskset"]


class SayData(vf.TaskData):
    answer: str


class SayTask(vf.Task[SayData]):
    @vf.reward
    async def exact(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.strip() == self.data.answer)

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply))


class SayTaskset(vf.Taskset[SayTask]):
    def load(self) -> Iterator[SayTask]:
        for number in range(3):
            data = SayData(prompt=f"Say {number}.", system_prompt="Be short.", answer=str(number))
            yield SayTask(data, self.config.task)
