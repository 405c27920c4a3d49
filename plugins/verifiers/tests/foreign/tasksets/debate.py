"""Two agents speak in turn, and what each is worth depends on both; one of them is not trained."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf
from talking import TalkingHarness, here

__all__ = ["DebateEnv", "DebateTaskset", "TalkingHarness"]


class DebateTask(vf.Task[vf.TaskData]):
    @vf.reward(weight=0.1)
    async def brief(self, trace: vf.Trace) -> float:
        return 1.0 / (1 + len(trace.last_reply))


class DebateTaskset(vf.Taskset[DebateTask]):
    def load(self) -> Iterator[DebateTask]:
        for topic in ("tea", "rain", "chess"):
            yield DebateTask(vf.TaskData(prompt=f"Speak for {topic}."), self.config.task)


class DebateConfig(vf.EnvConfig):
    against: vf.AgentConfig = here()
    speaker: vf.AgentConfig = here()


class DebateEnv(vf.Env[DebateConfig]):
    async def setup(self, agents: vf.Agents) -> None:
        agents.against.trainable = False

    async def run(self, task: DebateTask, agents: vf.Agents) -> None:
        other = vf.Task(vf.TaskData(idx=task.data.idx, prompt=f"Against: {task.data.prompt_text}"))
        trace = await agents.against.run(other)
        await agents.speaker.run(task.with_data(prompt=f"{task.data.prompt_text}\nThey say: {trace.last_reply}"))

    async def finalize(self, task: DebateTask, episode: vf.Episode) -> None:
        lengths = [len(trace.last_reply) for trace in episode.traces]
        for trace, length in zip(episode.traces, lengths, strict=True):
            trace.record_reward("longer", length / sum(lengths), 1.0)
