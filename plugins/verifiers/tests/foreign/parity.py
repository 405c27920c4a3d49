"""Plays environments by verifiers' own runner and by gym against one scripted endpoint: `python parity.py`.

Both have to ask the same and to earn the same, to the bit. The last line is JSON: a row per environment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

import verifiers as vf
from openai import AsyncOpenAI
from stand import WORDS, Case, Earned, compared
from verifiers.clients import OpenAIChatCompletionsClient

import gym_core

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
CLAIMS = (
    "<claim>It is so.</claim><cite>no such words stand in it</cite>",
    "".join(f"<claim>Reason {number}.</claim>" for number in range(9)),
    "<claim>It is so.</claim><claim>Nothing else is.</claim><cite>the</cite>",
    "No.",
)


def kind(name: str, script: tuple[Any, ...] = WORDS, repeats: int = 1) -> Case:
    return Case(name, "many_kinds", {"kind": name}, script, repeats, judge=name == "judge")


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
    Case("sophistry_bench_sprint", "sophistry_bench_sprint", {"n_items": 6}, CLAIMS, repeats=2, examples=12),
)


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


async def main(names: list[str]) -> None:
    logging.disable(logging.ERROR)
    found = [await compared(case, (by_verifiers, by_gym)) for case in CASES if not names or case.name in names]
    print(json.dumps({"package": f"verifiers {vf.__version__}", "environments": found}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
