"""An agent of an isolated plugin: it works on its episodes in a child process."""

from __future__ import annotations

from gym_core import Agent, Episode, StopReason
from gym_isolated.component import REPLY_MB, STALL_SECONDS, Isolated


class IsolatedAgent(Isolated, Agent):
    """The base of the classes that stand for isolated agents. They reach model and session through a gateway."""

    def connect(self, url: str, token: str) -> Agent:
        """The remote agent at a child's address."""
        from gym_http.remote.agent import RemoteAgent

        settings = {
            "url": url,
            "token": token,
            "api": "episodes",
            "wait": 0,
            "stall": STALL_SECONDS,
            "max_reply_mb": REPLY_MB,
        }
        return RemoteAgent(RemoteAgent.Options.model_validate(settings), self.context)

    async def run(self, episode: Episode) -> StopReason:
        """Work on one episode, in the child that serves when it begins."""
        generation = await self.supervisor.current()
        stop_reason: StopReason = await generation.component.run(episode)
        return stop_reason
