"""The loop between a model and a session."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from gym_core import Agent, Episode, Options, Stop, StopReason


class SimpleAgentOptions(Options):
    """Options of the agent."""

    max_turns: PositiveInt = Field(20, description="The most model responses per rollout.")
    run_tools: bool = Field(
        True, description="Whether tool calls are run; where not, the first response that has some is the answer."
    )


class SimpleAgent(Agent[SimpleAgentOptions]):
    """Calls tools until the model answers.

    Each turn sends the whole conversation. The calls of a response are run and answered, a response without calls goes
    to the environment, and where that has nothing to reply the rollout is done. A response that is empty, holds nothing
    but reasoning, or was cut ends it too, with a stop reason that says so.
    """

    async def run(self, episode: Episode) -> Stop:
        """Work on one episode; the stop reason is that of the last response, or `max_turns`."""
        items = list(episode.request.input)
        for _ in range(self.options.max_turns):
            response = await episode.respond(items)
            stop_reason = response.stop_reason
            # The last call of a cut response may be half a call that still parses, and tools have side effects.
            if stop_reason not in (StopReason.COMPLETED, StopReason.REFUSAL):
                return Stop(stop_reason)
            calls = response.function_calls
            if calls and not self.options.run_tools:
                return Stop(stop_reason, f"{len(calls)} tool calls were left unexecuted")
            answers = await episode.call_tools(calls) if calls else await episode.reply(response)
            if not answers:
                return Stop(stop_reason)
            items += [*response.output, *answers]
        return Stop(StopReason.MAX_TURNS)
