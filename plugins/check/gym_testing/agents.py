"""The loop that rollouts of tests run with, so that testing an environment takes no agent to be installed."""

from __future__ import annotations

from gym_core import Agent, Episode, Stop, StopReason

TURNS = 100


class LoopAgent(Agent):
    """Calls tools until the model answers and the environment has nothing to reply, for at most `max_turns`."""

    max_turns = TURNS

    async def run(self, episode: Episode) -> Stop:
        """Work on one episode."""
        items = list(episode.request.input)
        for _ in range(self.max_turns):
            response = await episode.respond(items)
            calls = response.function_calls
            answers = await episode.call_tools(calls) if calls else await episode.reply(response)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *answers]
        return Stop(StopReason.MAX_TURNS)
