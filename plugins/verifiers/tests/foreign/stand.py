"""What two ways of playing an environment ask of one scripted endpoint, and what they earn, compared."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_testing import FakeOpenAI, Received, Reply, call

WORDS = ("0", "1", "2", "two 22", "I do not know.")


@dataclass(frozen=True)
class Case:
    """An environment. `script`: what the model may say; which of these, the request decides.

    `args`, `env`: what the environment is loaded with. `judge`: whether it asks a model of its own. `examples`: how
    many of its tasks, all of them below 0.
    """

    name: str
    ident: str
    args: dict[str, Any] = field(default_factory=dict)
    script: tuple[Any, ...] = WORDS
    repeats: int = 1
    examples: int = -1
    env: dict[str, Any] = field(default_factory=dict)
    judge: bool = False


Earned = list[tuple[str, Any, Any]]
"""Prompt, reward, and whatever else was said, of each rollout."""
Play = Callable[[Case, str], Awaitable[Earned]]


class Stand:
    """A model whose answer follows from what it was asked, and from how often it was asked the same."""

    def __init__(self, script: tuple[Any, ...]) -> None:
        self.script = script
        self.asked: list[str] = []
        self._seen: Counter[str] = Counter()

    def answer(self, request: Received) -> Any:
        body = bare(request.body)
        self.asked.append(json.dumps(body, sort_keys=True))
        digest = hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest()
        turn = self.script[(int(digest, 16) + self._seen[digest]) % len(self.script)]
        self._seen[digest] += 1
        if not isinstance(turn, str):
            turn = {**call(turn[0], **turn[1]), "call_id": f"call_{digest[:8]}"}
        return streamed(turn, request.body) if request.body.get("stream") else turn


def streamed(turn: Any, body: dict[str, Any]) -> Reply:
    """An answer as a stream of Chat Completions: all of it in one chunk, and what was used in another."""
    delta: dict[str, Any] = {"role": "assistant", "content": turn}
    if not isinstance(turn, str):
        function = {"name": turn["name"], "arguments": turn["arguments"]}
        one = {"index": 0, "id": turn["call_id"], "type": "function", "function": function}
        delta = {"role": "assistant", "content": None, "tool_calls": [one]}
    end = "stop" if isinstance(turn, str) else "tool_calls"
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    chunks = (
        {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]},
        {**shared, "choices": [], "usage": usage},
    )
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Reply("".join([*lines, "data: [DONE]\n\n"]), headers={"content-type": "text/event-stream"})


NAMES = {"max_completion_tokens": "max_tokens"}
"""Two names of one bound: verifiers writes the newer one, gym that which all endpoints know."""
UNSAID = frozenset({"stream", "stream_options"})
"""How an answer is sent: programs of verifiers want a stream, and get one from gym, whatever its endpoint sends."""


def bare(value: Any) -> Any:
    """A body without the fields that say nothing: those that are null, which verifiers writes."""
    if isinstance(value, dict):
        return {
            NAMES.get(name, name): bare(inner)
            for name, inner in value.items()
            if inner is not None and name not in UNSAID
        }
    return [bare(inner) for inner in value] if isinstance(value, list) else value


async def compared(case: Case, plays: Sequence[Play]) -> dict[str, Any]:
    """One line of the table; what differs is told on standard error."""
    asked, earned = [], []
    for play in plays:
        stand = Stand(case.script)
        async with FakeOpenAI(stand.answer) as endpoint:
            earned.append(await play(case, endpoint.base_url))
        asked.append(sorted(stand.asked))
    for mine, theirs in zip(*asked, strict=False):
        if mine != theirs:
            print(f"{case.name}: asked\n  {mine}\n  {theirs}", file=sys.stderr)
            break
    home, here = ([(prompt, reward) for prompt, reward, _ in one] for one in earned)
    if home != here:
        print(f"{case.name}: earned\n  {home}\n  {here}", file=sys.stderr)
    return {
        "environment": case.name,
        "rollouts": len(home),
        "requests": len(asked[0]),
        "rewards": len({json.dumps(reward) for _, reward in home}),
        "same_requests": asked[0] == asked[1],
        "same_rewards": home == here,
    }
