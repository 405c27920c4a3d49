"""A reward that asks a model of its own, and beside it the judge that comes with verifiers."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf
from say_words import SayData
from talking import TalkingHarness

__all__ = ["MarkedTaskset", "TalkingHarness"]


class MarkJudge(vf.Judge[float]):
    prompt = "How good is {response} as an answer to {question}?"

    def parse(self, response: vf.JudgeResponse[float]) -> float:
        return len(response.text) / 7


class MarkedConfig(vf.TaskConfig):
    judge: vf.JudgeConfig = vf.JudgeConfig(model="judge", sampling={"temperature": 0.0})


class MarkedTask(vf.Task[SayData, vf.State, MarkedConfig]):
    @vf.reward(weight=0.3)
    async def mark(self, trace: vf.Trace) -> float:
        judge = MarkJudge(self.config.judge)
        said = await judge.evaluate(trace=trace, question=self.data.prompt_text, response=trace.last_reply)
        return said.parsed or 0.0


class MarkedTasksetConfig(vf.TasksetConfig):
    task: MarkedConfig = MarkedConfig()


class MarkedTaskset(vf.Taskset[MarkedTask, MarkedTasksetConfig]):
    def load(self) -> Iterator[MarkedTask]:
        for number in range(3):
            yield MarkedTask(SayData(prompt=f"Say {number}.", answer=str(number)), self.config.task)
