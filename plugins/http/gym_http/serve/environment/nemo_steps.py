"""`/reset`, `/step` and `/close`: a served environment as the `gymnasium_agent` of NeMo Gym plays it.

That agent alone shows its model what an environment opens with and replies. It is told the outputs of all calls of a
response, or the reply to one without calls, and at the end the reward. A rollout ends where `simple_agent` would end
it, or, since nobody says when that agent gives up, after so many responses as it takes by default: what has not been
judged then would count as a reward of 0 there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_core import Done, Item, StopReason, Trajectory
from gym_core import Response as ModelResponse
from gym_core.responses import item_text
from gym_http.protocol.errors import ServeError
from gym_http.protocol.nemo import Observed, Stepped
from gym_http.serve.environment.session import ServedSession

_CUT = frozenset({StopReason.MAX_TURNS, StopReason.MAX_OUTPUT_TOKENS, StopReason.CONTEXT_LENGTH, StopReason.INCOMPLETE})


@dataclass(slots=True)
class Played:
    """What has been said in a session that is played by steps, and how many responses that took."""

    items: list[Item]
    steps: int = 0
    stop_reason: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)


def opened(served: ServedSession) -> Observed:
    """Begin to play a session. Raises `ServeError` (501) for an opening that is no text."""
    opening = served.opening or ()
    served.played = Played(list(opening))
    return {"observation": _observation(opening), "info": {"supports_explicit_close": True}}


async def step(served: ServedSession, body: dict[str, Any], most: int) -> Stepped:
    """What comes of a response. Raises what the environment raises, and `ServeError`."""
    played = served.played
    assert played is not None
    response = ModelResponse(body)
    played.items += response.output
    played.steps += 1
    played.outputs = []
    observed = await _answer(served, played, response)
    if not played.stop_reason and played.steps >= most:
        played.stop_reason = StopReason.MAX_TURNS
    if not played.stop_reason:
        outputs = {"tool_outputs": played.outputs}
        return {"observation": observed, "reward": 0.0, "terminated": False, "truncated": False, "info": outputs}
    stop_reason = played.stop_reason
    verdict = await served.verify(Trajectory(served.task.input, played.items, stop_reason=stop_reason))
    truncated = stop_reason in _CUT
    info = {**verdict.info, "reward_components": dict(verdict.components), "stop_reason": stop_reason}
    return {
        "observation": None,
        "reward": verdict.reward,
        "terminated": not truncated,
        "truncated": truncated,
        "info": info,
    }


async def _answer(served: ServedSession, played: Played, response: ModelResponse) -> str | None:
    """Run the calls of a response, or have it replied to; what ends the rollout is noted."""
    # the last call of a cut response may be half a call that still parses, and tools have side effects
    if response.stop_reason not in (StopReason.COMPLETED, StopReason.REFUSAL):
        played.stop_reason = response.stop_reason
        return None
    if response.function_calls:
        await _call(served, played, response)
        return None
    reply = await served.reply(response)
    if isinstance(reply, Done):
        played.stop_reason = reply.reason
        return None
    played.items += reply
    if not reply:
        played.stop_reason = response.stop_reason
    return _observation(reply)


async def _call(served: ServedSession, played: Played, response: ModelResponse) -> None:
    answers = await served.answer_calls(response)
    for place, call in enumerate(response.function_calls):
        call_id = str(call.get("call_id") or "")
        if answers is not None:
            output, done = answers[place]["output"], (answers[place]["done"] or {}).get("reason", "")
        else:
            said = await served.tool(str(call.get("name")), call.get("arguments"), call_id)
            output, done = said.output, said.done.reason if said.done is not None else ""
        played.outputs.append({"call_id": call_id, "output": output})
        played.items.append({"type": "function_call_output", "call_id": call_id, "output": output})
        if done:
            played.stop_reason = done
            return


def _observation(items: Iterable[Item]) -> str | None:
    """Items as an observation, which is text; None for nothing. Raises `ServeError` (501) for more than text."""
    texts: list[str] = []
    for item in items:
        if item.get("type", "message") != "message" or not _is_text(item.get("content")):
            raise ServeError(
                501,
                "the environment says more than text, which an observation of NeMo Gym cannot hold",
                code="not_offered",
                hint="POST /v1/sessions gives items as they are",
            )
        texts.append(item_text(item))
    return "\n\n".join(texts) or None


def _is_text(content: Any) -> bool:
    if isinstance(content, str):
        return True
    parts = content if isinstance(content, Sequence) else ()
    return bool(parts) and all(isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in parts)
