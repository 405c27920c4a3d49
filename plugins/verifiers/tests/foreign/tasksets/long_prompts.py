"""Prompts of several messages, of several roles, and rows with fields of their own."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf
from talking import TalkingHarness

__all__ = ["LongTaskset", "TalkingHarness"]


class LongData(vf.TaskData):
    weights: list[float]
    info: dict[str, float | None]


class LongTask(vf.Task[LongData]):
    @vf.reward
    async def weighed(self, trace: vf.Trace) -> float:
        return self.data.weights[len(trace.last_reply) % len(self.data.weights)] * (self.data.info["factor"] or 0.0)


class LongTaskset(vf.Taskset[LongTask]):
    def load(self) -> Iterator[LongTask]:
        for number in range(4):
            prompt: vf.Messages = [
                vf.SystemMessage(content="Count."),
                vf.UserMessage(content="How many: x?"),
                vf.AssistantMessage(content="1"),
                vf.UserMessage(content=[vf.TextContentPart(text=f"How many: {'x' * number}?")]),
            ]
            yield LongTask(
                LongData(
                    id=f"count-{number}", prompt=prompt, weights=[0.1, 0.7, 1 / 3], info={"factor": 3.3, "no": None}
                ),
                self.config.task,
            )
