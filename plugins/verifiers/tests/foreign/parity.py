"""Plays environments by verifiers' own runner and by gym against one scripted endpoint: `python parity.py`.

Both have to ask the same and to earn the same, to the bit. The last line is JSON: a row per environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import verifiers as vf
from openai import AsyncOpenAI
from verifiers.clients import OpenAIChatCompletionsClient

import gym_core
from gym_testing import FakeOpenAI, Received, call

WORDS = ("0", "1", "2", "two 22", "I do not know.")
MARKED = ("<think>so</think>\\boxed{1}", "<think>so</think><answer>2</answer>", "<answer>1</answer>", "0", "none")
TOOLS: tuple[Any, ...] = (
    *WORDS,
    ("add", {"a": 0, "b": 1}),
    ("add", {"a": 1, "b": 1}),
    ("divide", {"a": 1, "b": 0}),
    ("add", {"a": "one"}),
    ("nothing", {}),
)
PAYS: tuple[Any, ...] = ("1", "22", ("pay", {"amount": 2}), ("pay", {"amount": 5}))
POEMS = (
    "Frost on the old gate\nno wind moves in that pale light\nand still a crow calls",
    "Roses, old,\nOf all that told,\nSo cold,\nTo hold a long and quiet line of thought for you.",
    "never odd or even",
    "I\nam\nhere now\nunder open skies today",
)


@dataclass(frozen=True)
class Case:
    """An environment. `script`: what the model may say; which of these, the request decides."""

    name: str
    ident: str
    args: dict[str, Any]
    script: tuple[Any, ...] = WORDS
    repeats: int = 1
    examples: int = -1

    @property
    def judge(self) -> bool:
        return self.name == "judge"


def kind(name: str, script: tuple[Any, ...] = WORDS, repeats: int = 1) -> Case:
    return Case(name, "many_kinds", {"kind": name}, script, repeats)


CASES = (
    kind("single", repeats=2),
    kind("few_shot", repeats=3),
    kind("sampling"),
    kind("xml", MARKED),
    kind("think", MARKED, repeats=2),
    kind("rubrics"),
    kind("messages"),
    kind("multi", repeats=3),
    kind("tools", TOOLS, repeats=4),
    kind("stateful", PAYS, repeats=3),
    kind("environments", TOOLS, repeats=2),
    kind("group", repeats=4),
    kind("group_of_turns", repeats=3),
    kind("judge", repeats=3),
    kind("reasoning", MARKED, repeats=3),
    Case("stardata's constraint_gym", "stardata.envs.constraint_gym", {}, POEMS, examples=12),
)


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
        if isinstance(turn, str):
            return turn
        return {**call(turn[0], **turn[1]), "call_id": f"call_{digest[:8]}"}


NAMES = {"max_completion_tokens": "max_tokens"}
"""Two names of one bound: verifiers writes the newer one, gym that which all endpoints know."""


def bare(value: Any) -> Any:
    """A body without the fields that are null: verifiers writes them, and they say nothing."""
    if isinstance(value, dict):
        return {NAMES.get(name, name): bare(inner) for name, inner in value.items() if inner is not None}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


Earned = list[tuple[str, float, list[tuple[str, float]]]]
"""Prompt, reward, and numbers by name, of each rollout."""


async def by_verifiers(case: Case, url: str) -> Earned:
    os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="key")  # as its users give its judges a model
    env = vf.load_environment(case.ident, **case.args)
    client = OpenAIChatCompletionsClient(AsyncOpenAI(base_url=url, api_key="key", max_retries=0))
    played = await env.evaluate(
        client,
        "policy",
        num_examples=case.examples,
        rollouts_per_example=case.repeats,
        max_concurrent=1,
        sampling_args=env.sampling_args,
        on_start=lambda *args: None,
        on_progress=lambda *args: None,
    )
    return sorted(
        (_text(one["prompt"]), one["reward"], sorted((one.get("metrics") or {}).items())) for one in played["outputs"]
    )


async def by_gym(case: Case, url: str) -> Earned:
    options = {"base_url": url, "api": "chat", "api_key": "key"}
    models: dict[str, Any] = {"policy": "openai:policy"}
    model_options: dict[str, Any] = {"policy": options}
    if case.judge:
        models["judge"], model_options["judge"] = "openai:judge", options
    groups = gym_core.collect_groups(
        model=models,
        model_options=model_options,
        env=f"verifiers:{case.ident}",
        env_options={"args": case.args, "split": "eval", "judge": case.judge},
        repeats=case.repeats,
        limit=case.examples if case.examples > 0 else None,
        concurrency=1,
    )
    earned: Earned = []
    async for group in groups:
        for one in group.judged:
            if one.error is not None or group.error is not None:
                raise SystemExit(f"{case.name}: {one.error or group.error}")
            numbers = {**one.row["reward_components"], **one.row["rollout"].get("metrics", {})}
            earned.append((_text(one.row["verifiers"]["prompt"]), one.reward or 0.0, sorted(numbers.items())))
    return sorted(earned)


def _text(prompt: Any) -> str:
    """What a prompt says, by whomever it is said: verifiers has a plain text in two ways."""
    return prompt if isinstance(prompt, str) else "\n".join(str(message["content"]) for message in prompt)


async def compare(case: Case) -> dict[str, Any]:
    stands, earned = [], []
    for play in (by_verifiers, by_gym):
        stand = Stand(case.script)
        async with FakeOpenAI(stand.answer) as endpoint:
            earned.append(await play(case, endpoint.base_url))
        stands.append(sorted(stand.asked))
    same = stands[0] == stands[1]
    if not same:
        for mine, theirs in zip(*map(sorted, stands), strict=False):
            if mine != theirs:
                print(f"{case.name}: asked\n  {mine}\n  {theirs}", file=sys.stderr)
                break
    home, here = ([(prompt, reward) for prompt, reward, _ in one] for one in earned)
    if home != here:
        print(f"{case.name}: earned\n  {home}\n  {here}", file=sys.stderr)
    return {
        "environment": case.name,
        "rollouts": len(home),
        "requests": len(stands[0]),
        "rewards": len({reward for _, reward in home}),
        "same_requests": same,
        "same_rewards": home == here,
    }


async def main(names: list[str]) -> None:
    logging.disable(logging.ERROR)
    sys.path.insert(0, str(Path(__file__).parent))
    found = [await compare(case) for case in CASES if not names or case.name in names]
    print(json.dumps({"package": f"verifiers {vf.__version__}", "environments": found}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
