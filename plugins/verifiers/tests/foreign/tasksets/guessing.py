"""Several turns: the environment is the user, and says what comes of each answer."""

from __future__ import annotations

from collections.abc import Iterator

import verifiers.v1 as vf
from talking import TalkingHarness, here

__all__ = ["GuessEnv", "GuessTaskset", "TalkingHarness"]


class GuessData(vf.TaskData):
    number: int


class GuessState(vf.State):
    tries: int = 0


class GuessTask(vf.Task[GuessData, GuessState]):
    @vf.reward(weight=0.3)
    async def quick(self, trace: vf.Trace) -> float:
        return 1.0 / (1 + trace.num_turns)

    @vf.stop
    async def gave_up(self, response: vf.Response) -> bool:
        return "do not know" in str(response.message.content)


class GuessTaskset(vf.Taskset[GuessTask]):
    def load(self) -> Iterator[GuessTask]:
        for number in range(3):
            yield GuessTask(GuessData(prompt=f"Guess number {number}.", number=number), self.config.task)


class GuessConfig(vf.EnvConfig):
    player: vf.AgentConfig = here()
    tries: int = 4


class GuessEnv(vf.Env[GuessConfig]):
    async def run(self, task: GuessTask, agents: vf.Agents) -> None:
        found = False
        async with agents.player.interaction(task) as talk:
            said = await talk.turn()
            for _ in range(self.config.tries):
                found = said.last_reply.strip() == str(task.data.number)
                if said.terminated or found:
                    break
                higher = said.last_reply < str(task.data.number)
                said = await talk.turn("Higher." if higher else "Lower.")
        talk.trace.record_reward("found", float(found), 1.0)
        talk.trace.record_metric("turns", float(talk.trace.num_turns))
