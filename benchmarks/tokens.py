"""What exact tokens cost: `python benchmarks/tokens.py`.

First a call's tokens, read from the bytes of a reply and recorded, beside what orjson takes to parse those bytes. Then
conversations of 50 and of 100 turns: the bytes of the row, and the CPU that recording, row and sequences take. Every
prompt repeats the whole conversation, so what the endpoint sends grows with the square of the turns, and has to be
parsed; that is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson

from gym_core import (
    Agent,
    ModelBackend,
    ResourceServer,
    Response,
    Session,
    Stop,
    StopReason,
    Task,
    Tokens,
    user_message,
)
from gym_core.engine.rollout.token_tree import TokenTree
from gym_openai_model.dialects import ChatDialect
from gym_openai_model.endpoint import Endpoint
from gym_openai_model.options import OpenAIOptions


def reply(prompt: int, sampled: int) -> bytes:
    """A chat completion as vLLM sends it with tokens."""
    entry = {"token": " word", "logprob": -0.123456789, "bytes": [32, 119, 111, 114, 100], "top_logprobs": []}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": " word" * sampled},
        "logprobs": {"content": [entry] * sampled},
        "finish_reason": "stop",
        "token_ids": [50_000 + number for number in range(sampled)],
    }
    ids = [100_000 + number for number in range(prompt)]
    return orjson.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "prompt_token_ids": ids})


def seconds(what: Callable[[], Any], times: int) -> float:
    """The median of five rounds, per call."""
    found = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(times):
            what()
        found.append((time.process_time() - started) / times)
    return statistics.median(found)


def capture(prompt: int, sampled: int) -> None:
    data = reply(prompt, sampled)
    options = {"base_url": "http://127.0.0.1/v1", "model": "m"}
    endpoint = Endpoint("http://127.0.0.1/v1")
    on = ChatDialect(OpenAIOptions.model_validate({**options, "tokens": True}), endpoint, "m")
    off = ChatDialect(OpenAIOptions.model_validate(options), endpoint, "m")

    def recorded() -> None:
        tokens = on.decode(data).tokens
        assert tokens is not None
        TokenTree().add(0, tokens, None)

    parsed, plain, whole = (
        seconds(what, 300) for what in (lambda: orjson.loads(data), lambda: off.decode(data), recorded)
    )
    print(f"{prompt:,} prompt and {sampled:,} sampled ids, {len(data):,} bytes")
    print(
        f"  orjson {parsed * 1e6:,.0f} us, the reply without tokens {plain / parsed:.2f} times that, "
        f"with them {whole / parsed:.2f}"
    )


class Asking(Agent):
    """Asks so many times, in one conversation."""

    turns = 0

    async def run(self, episode: Any) -> Stop:
        items = list(episode.request.input)
        for turn in range(self.turns):
            items.append(user_message(f"question {turn}"))
            items += (await episode.respond(items)).output
        return Stop(StopReason.COMPLETED)


class Saying(ModelBackend):
    """Answers with tokens, made before: each prompt is all of the last and what came to it; or without."""

    def __init__(self, turns: int, *, says: bool) -> None:
        super().__init__()
        ids: list[int] = []
        self.said: list[Tokens | None] = []
        for _ in range(turns):
            prompt = orjson.loads(orjson.dumps([*ids, *range(100_000, 100_050)])) if says else []
            sampled = [*range(50_000, 50_200)]
            ids = prompt + sampled
            self.said.append(Tokens(prompt, sampled, [-0.123456] * len(sampled), "17") if says else None)
        # What the endpoint sends is neither freed nor looked through by the collector of garbage here: that, too, goes
        # with its size.
        self.next = iter([*self.said])
        gc.freeze()

    async def respond(self, request: Any, context: Any) -> Response:
        content = [{"type": "output_text", "text": f"answer {id(request)}"}]
        body = {"output": [{"type": "message", "role": "assistant", "content": content}]}
        return Response(body, next(self.next))


class Empty(Session[Any]):
    """Nothing."""

    def verify(self, trajectory: Any) -> float:
        return 1.0


class Plain(ResourceServer):
    """One task."""

    session_type = Empty

    def tasks(self) -> Any:
        return [Task.ask("Begin.", task_id="t")]


async def conversation(turns: int, *, says: bool) -> tuple[int, float]:
    """Bytes of the row, and seconds of CPU."""
    import gym_core

    agent, model = Asking(), Saying(turns, says=says)
    agent.turns = turns
    started = time.process_time()
    async for rollout in gym_core.collect(model=model, env=Plain(), agent=agent):
        size = len(orjson.dumps(rollout.row))
        rollout.sequences()
    return size, time.process_time() - started


def linear(turns: int) -> None:
    found = {}
    for count in (turns // 2, turns):
        for says in (False, True):
            rounds = [asyncio.run(conversation(count, says=says)) for _ in range(7)]
            found[count, says] = rounds[0][0], statistics.median(took for _, took in rounds)
    print("turns      row bytes    CPU ms   without tokens: bytes, ms")
    for count in (turns // 2, turns):
        (size, took), (plain, bare) = found[count, True], found[count, False]
        print(f"{count:>5} {size:>14,} {took * 1e3:>9.2f} {plain:>17,} {bare * 1e3:>9.2f}")
    (small, quick), (large, slow) = found[turns // 2, True], found[turns, True]
    print(f"twice the turns: {large / small:.2f} times the bytes, {slow / quick:.2f} times the CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompt", type=int, default=2000)
    parser.add_argument("--sampled", type=int, default=500)
    parser.add_argument("--turns", type=int, default=100)
    wanted = parser.parse_args()
    capture(wanted.prompt, wanted.sampled)
    linear(wanted.turns)


if __name__ == "__main__":
    main()
