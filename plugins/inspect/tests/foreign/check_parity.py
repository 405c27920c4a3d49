"""Inspect's own evaluation and gym, on one stand-in for an endpoint: the same requests, the same scores.

    python check_parity.py TASK...     # in a venv with inspect_ai, inspect_evals and gym; a line per task

The stand-in answers by what it is asked alone, so that the order in which samples run is no matter.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tempfile
from typing import Any

import gym_core
from gym_testing.endpoint import FakeOpenAI
from gym_testing.http import Received
from gym_testing.replies import answer

LIMIT = 3
"""Samples of a task."""
STANDIN = "openai-api/standin/fake-model"
ROLES = ("judge", "grader", "user", "scorer")
_GRADES = ("C", "I", "P")
"""What the stand-in says where it is a grader; its answers are read as grades, ratings, scores, or yes and no."""
_SETTINGS = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "tool_choice",
    "reasoning_effort",
)


def say(request: Received) -> Any:
    """A call of the first tool where that can be called without arguments, then one of three answers."""
    told = request.body["messages"]
    said = sum(one["role"] == "assistant" for one in told)
    tools = [tool["function"] for tool in request.body.get("tools", ())]
    if tools and said % 2 == 0 and said < 6:
        tool = tools[said // 2 % len(tools)]
        return answer(
            {
                "type": "function_call",
                "call_id": f"call_{said}",
                "name": tool["name"],
                "arguments": json.dumps(_arguments(tool.get("parameters") or {})),
            }
        )
    number = hashlib.sha256(json.dumps([_message(one) for one in told]).encode()).digest()[0] % len(_GRADES)
    rated = json.dumps({"reasoning": "It is so.", "rating": number + 1, "score": number + 1, "reason": "So."})
    return answer(f"ANSWER: A\n<answer>{'yes' if number else 'no'}</answer>\nGRADE: {_GRADES[number]}\n{rated}")


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    fields = schema.get("properties") or {}
    return {name: kinds.get(fields[name].get("type"), "7") for name in schema.get("required") or ()}


def _message(message: dict[str, Any]) -> Any:
    content = message.get("content") or ""
    text = content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)
    calls = [
        (call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    # some prompts hold the name of the model that is asked
    text = text.replace(STANDIN, "gym/policy")
    role = "system" if message["role"] == "developer" else message["role"]
    return [role, text, calls]


def asked(endpoint: FakeOpenAI) -> list[str]:
    """What was asked, in an order of its own: messages, tools and settings."""
    told = []
    for one in endpoint.received:
        body = one.body
        tools = [(tool["function"]["name"], tool["function"].get("parameters")) for tool in body.get("tools") or ()]
        settings = {name: body[name] for name in _SETTINGS if body.get(name) not in (None, "auto")}
        told.append(json.dumps([[_message(each) for each in body["messages"]], tools, settings], sort_keys=True))
    endpoint.received.clear()
    return sorted(told)


async def by_gym(task: str, args: dict[str, Any], endpoint: FakeOpenAI) -> tuple[dict[str, Any], list[str]]:
    """Scores by sample, and what was asked."""
    models = dict.fromkeys(("policy", *ROLES), "openai:fake-model")
    options = {role: {"base_url": endpoint.base_url, "api": "chat"} for role in models}
    found: dict[str, Any] = {}
    async for one in gym_core.collect(
        model=models,
        model_options=options,
        env=f"inspect:{task}",
        env_options={"args": args},
        limit=LIMIT,
        concurrency=LIMIT,
    ):
        scores = (one.info or {}).get("scores") or {}
        found[str(one.row["inspect"]["id"])] = (
            {name: score["value"] for name, score in scores.items()} if one.reward is not None else str(one.error)
        )
    return found, asked(endpoint)


def by_inspect(task: str, args: dict[str, Any], endpoint: FakeOpenAI) -> tuple[dict[str, Any], list[str]]:
    """The same by Inspect's own evaluation."""
    from inspect_ai import eval
    from inspect_ai.model import get_model

    model = get_model(STANDIN)
    with tempfile.TemporaryDirectory() as folder:
        (log,) = eval(
            task.replace("./", ""),
            model=model,
            task_args=args,
            model_roles=dict.fromkeys(ROLES, model),
            limit=LIMIT,
            display="none",
            log_dir=folder,
        )
        found: dict[str, Any] = {}
        for one in log.samples or ():
            scores = {name: score.model_dump(mode="json")["value"] for name, score in (one.scores or {}).items()}
            found[str(one.id)] = scores if one.error is None else one.error.message
        if log.status != "success" and not found:
            raise SystemExit(f"{task}: {log.error.message if log.error else log.status}")
    return found, asked(endpoint)


def check(given: str) -> dict[str, Any]:
    """Both, beside each other. `given`: a task, and behind a space what it is called with, in JSON."""
    task, _, text = given.partition(" ")
    args = json.loads(text) if text else {}
    with FakeOpenAI(say) as endpoint:
        os.environ.update(STANDIN_BASE_URL=endpoint.base_url, STANDIN_API_KEY="none")
        ours, we_asked = asyncio.run(by_gym(task, args, endpoint))
        theirs, they_asked = by_inspect(task, args, endpoint)
    return {
        "task": task,
        "requests": len(we_asked),
        "same_requests": we_asked == they_asked,
        "same_scores": ours == theirs,
        "scores": ours,
        "of_inspect": None if ours == theirs else theirs,
        "only_ours": [] if we_asked == they_asked else [one for one in we_asked if one not in they_asked][:1],
        "only_theirs": [] if we_asked == they_asked else [one for one in they_asked if one not in we_asked][:1],
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(json.dumps(check(name)), flush=True)
