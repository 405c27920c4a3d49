"""Plays tasksets of verifiers 0.4 by its own `run_eval` and by gym: `python parity_tasksets.py`.

Both have to ask the same and to earn the same, to the bit. The last line is JSON: a row per taskset.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
import verifiers
import verifiers.v1 as vf
from openenv.core.env_server.http_server import create_app
from stand import WORDS, Case, Earned, compared
from verifiers.v1.cli.eval.runner import run_eval
from verifiers.v1.configs.cli.eval import EvalConfig

import gym_core

HERE = Path(__file__).parent
OPENENV = HERE.parents[2] / "openenv" / "tests" / "foreign"
LOCAL = {"runtime": {"type": "subprocess"}}
CHAT = {**LOCAL, "harness": {"id": "null"}}
"""The chat that comes with verifiers, a program, on this machine."""
ANSWERS = (*WORDS, "a longer answer")
PAYS: tuple[Any, ...] = (
    "Done.",
    ("pay", {"amount": 2}),
    ("pay", {"amount": 5}),
    ("pay", {"amount": "x"}),
    ("look", {}),
)
SAID = ("Please.", "A longer request, in many words.", "###DONE###", "1")
MARKS = ("0", "2", "two 22", "No.", "YES", "no")
GUESSES = ('{"number": 3}', '{"number": 6}', '```json\n{"number": 7}\n```', "5", '{"number": 1}')


def alone(name: str, script: tuple[Any, ...] = ANSWERS, repeats: int = 2, **agent: Any) -> Case:
    return Case(name, name, {}, script, repeats, env={"agent": {**LOCAL, **agent}})


MARKED = {"task": {"judge": {"model": "judge", "sampling": {"temperature": 0.0}}}}
REFERENCE = {"task": {"judges": [{"id": "reference", "model": "judge", "name": "right", "weight": 0.5}]}}
OWN_CHAT = {**LOCAL, "harness": {"id": "weighted_words"}}
"""The chat that the package of `weighted_words` brings."""
SAMPLING = {"temperature": 0.25, "max_tokens": 33}
RESETS = {"resets": [{"seed": seed, "tries": 3 + seed} for seed in range(3)]}
CASES = (
    alone("say_words", repeats=1, harness={"id": "null"}),
    alone("weighted_words"),
    alone("long_prompts"),
    Case("sampling", "weighted_words", {}, ANSWERS, env={"agent": {**LOCAL, "sampling": SAMPLING}}),
    Case("guessing", "guessing", {}, WORDS, 3, env={"player": LOCAL}),
    Case("bounded turns", "guessing", {}, ("3", "4", "5"), env={"player": {**LOCAL, "max_turns": 2}, "tries": 6}),
    Case("till", "till", {}, PAYS, env={"agent": CHAT}),
    Case("marked", "marked", MARKED, MARKS, 2, env={"agent": LOCAL}, judge=True),
    Case("reference judge", "weighted_words", REFERENCE, ("yes", "no"), 3, env={"agent": LOCAL}, judge=True),
    Case("debate", "debate", {}, ANSWERS, 3, env={"against": LOCAL, "speaker": LOCAL}),
    Case("best-of-n", "weighted_words", {}, ANSWERS, 2, env={"id": "best-of-n", "n": 3, "agent": LOCAL}),
    Case(
        "user-sim",
        "weighted_words",
        {},
        SAID,
        repeats=2,
        env={"id": "user-sim", "user": {**OWN_CHAT, "max_turns": 3}, "assistant": LOCAL},
    ),
    Case("openenv", "openenv", RESETS, GUESSES, 3, env={"player": OWN_CHAT}),
)


def with_judge(case: Case, url: str) -> dict[str, Any]:
    """The arguments with an endpoint for the judge, which its users give it."""
    task: dict[str, Any] = {**case.args.get("task", {})}
    endpoint = {"base_url": url, "api_key_var": "THE_KEY"}
    if "judges" in task:
        task["judges"] = [{**one, **endpoint} for one in task["judges"]]
    if "judge" in task:
        task["judge"] = {**task["judge"], **endpoint}
    return {**case.args, "task": task} if task else case.args


async def by_verifiers(case: Case, url: str) -> Earned:
    os.environ["THE_KEY"] = "key"
    with tempfile.TemporaryDirectory() as folder:
        config = EvalConfig.model_validate(
            {
                "env": {**case.env, "taskset": {**with_judge(case, url), "id": case.ident}},
                "model": "policy",
                "client": {"type": "eval", "base_url": url, "api_key_var": "THE_KEY"},
                "num_rollouts": case.repeats,
                "max_concurrent": 1,
                "rich": None,
                "push": False,
                "output_dir": folder,
            }
        )
        episodes = await run_eval(config)
    earned: Earned = []
    for one in episodes:
        if not one.ok:
            raise SystemExit(f"{case.name}: {one.errors or [trace.errors for trace in one.traces]}")
        main = next(trace for trace in one.traces if trace.agent.trainable)
        rewards = [main.reward, *(trace.reward for trace in one.traces if len(one.traces) > 1)]
        earned.append((one.task.data.prompt_text, rewards, {name: score.score for name, score in main.rewards.items()}))
    return sorted(earned, key=str)


async def by_gym(case: Case, url: str) -> Earned:
    options = {"base_url": url, "api": "chat", "api_key": "key"}
    models = {"policy": "openai:policy"} | ({"judge": "openai:judge"} if case.judge else {})
    run = gym_core.collect(
        model=models,
        model_options=dict.fromkeys(models, options),
        env=f"verifiers:{case.ident}",
        env_options={"args": case.args, "env": case.env, "judge": case.judge},
        repeats=case.repeats,
        concurrency=1,
    )
    earned: Earned = []
    async for one in run:
        if one.error is not None:
            raise SystemExit(f"{case.name}: {one.error}")
        data = vf.TaskData.model_validate(one.row["verifiers"])
        earned.append((data.prompt_text, [one.reward, *one.rewards.values()], one.row["reward_components"]))
    return sorted(earned, key=str)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The URL of an environment of OpenEnv, for the taskset that plays these."""
    from playground.worlds import Guess, Numbers, Seen

    listening = socket.create_server(("127.0.0.1", 0))
    app = create_app(Numbers, Guess, Seen, max_concurrent_envs=8)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


async def main(names: list[str]) -> None:
    logging.disable(logging.ERROR)
    found = []
    with served() as url:
        for case in CASES:
            if case.ident == "openenv":
                case.args["base_url"] = url
            if not names or case.name in names:
                found.append(await compared(case, (by_verifiers, by_gym)))
    print(json.dumps({"package": f"verifiers {verifiers.__version__}", "environments": found}))


if __name__ == "__main__":
    places = [str(HERE / "tasksets"), str(OPENENV)]
    sys.path[:0] = places
    # servers of tools are processes of their own
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])
    asyncio.run(main(sys.argv[1:]))
