"""Rewards that count differently, and one that gives several; answers by the chat that its package brings."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf
from say_words import SayData
from talking import TalkingHarness

__all__ = ["TalkingHarness", "WeightedTaskset"]


class WeightedTask(vf.Task[SayData]):
    @vf.reward(weight=0.7, priority=1)
    async def exact(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.strip() == self.data.answer)

    @vf.reward(weight=0.1)
    async def parts(self, trace: vf.Trace) -> dict[str, float]:
        said = trace.last_reply
        return {"digits": sum(map(str.isdigit, said)) / 7, "words": len(said.split()) / 3}

    @vf.metric
    async def letters(self, trace: vf.Trace) -> dict[str, float]:
        return {letter: float(trace.last_reply.count(letter)) for letter in "tw"}


class WeightedTaskset(vf.Taskset[WeightedTask]):
    def load(self) -> Iterator[WeightedTask]:
        for number in range(3):
            yield WeightedTask(SayData(prompt=f"Say {number}.", answer=str(number)), self.config.task)
