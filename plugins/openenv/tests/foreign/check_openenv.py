"""Plays environments of the real OpenEnv: `python check_openenv.py FOLDER`, in a venv that has it and gym.

`FOLDER`: where the environment that OpenEnv itself ships is written to, by its own `openenv init`. The last line is
JSON: what both ways of playing have asked and earned, a row per environment.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openenv.core.generic_client import GenericEnvClient

import gym_core
from gym_core import Rollout, UsageError
from gym_openenv.child import load
from gym_openenv.process import StartedServer
from gym_testing import ScriptedModel, call

HERE = Path(__file__).parent
TEMPLATE = "echo_world"

Script = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """An environment. `script`: the actions; `options`: the adapter's, of which `reset` is the client's, too."""

    path: str
    script: Script
    options: dict[str, Any] = field(default_factory=dict)


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    """The action that calls a tool."""
    return {"type": "call_tool", "tool_name": name, "arguments": arguments}


def says(*words: str) -> Script:
    return [{"message": word} for word in words]


NUMBERS = [{"number": number} for number in (5, 7, 6, 8, 9, 0, 1)]
CORRIDOR = [{"way": way} for way in ("left", "right", "right", "right", "left")]
ARRANGED: Script = [
    {"values": [1, 2, 3]},
    {"values": [6, 6, 0], "order": "down", "place": {"column": 4}},
    {"values": [0, 4, 9, 9, 9], "order": "up", "place": {"row": -1, "column": 0}},
    {"values": [7], "order": "down", "place": None},
]
SPENT: Script = [{"amount": amount} for amount in (0.1, 0.2, 1e-9, -3.3, 123456.789)]
PARITY: dict[str, Case] = {
    "template of `openenv init`": Case("template", says("Hello", "", "a longer message than ten", "é")),
    "numbers": Case("numbers64", NUMBERS),
    "numbers, one session at a time": Case("alone", NUMBERS),
    "numbers, arguments of the reset": Case("numbers64", NUMBERS, {"reset": {"tries": 3}}),
    "texts": Case("hangman", says("e", "open", "gym", "agent")),
    "texts by replies": Case("hangman", says("e", "gym open", "agent", "no"), {"actions": "reply"}),
    "pictures": Case("corridor", CORRIDOR),
    "actions without fields": Case("coin", [{}] * 6),
    "nested actions": Case("sorting", ARRANGED, {"reset": {"level": 5}}),
    "a rubric": Case("judged", says("a", "abcdefgh", "the quick brown fox", "")),
    "asynchronous, a transform": Case("clock", says("a", "b", "c", "d")),
    "uneven amounts": Case("ledger", [*SPENT, {"amount": 1e6, "note": "all"}]),
    "tools": Case("till", [tool("ring", price=price) for price in (3, 4, -1, 3, 1)]),
    "tools, a reward at the end": Case(
        "shelf",
        [
            tool("put", titles=["a", "b"]),
            tool("put", titles=[]),
            tool("put", titles=["c"], at={"place": 1}),
            tool("lock"),
        ],
    ),
}
"""What is played by OpenEnv's own client, and by gym."""
SEEDS = range(4)


def gym_plays(env: str, script: Sequence[Any], *, limit: int = 1, at_once: int = 8, **options: Any) -> list[Rollout]:
    """Rollouts of the first tasks with a model that says these."""

    async def collect() -> list[Rollout]:
        model = ScriptedModel(*script)
        run = gym_core.collect(model=model, env=env, env_options=options, limit=limit, concurrency=at_once)
        return sorted([rollout async for rollout in run], key=lambda rollout: int(rollout.row["seed"]))

    return asyncio.run(collect())


async def client_plays(url: str, case: Case, seed: int) -> list[float | None]:
    """The rewards of OpenEnv's own client, as its examples take them."""
    async with GenericEnvClient(base_url=url) as client:
        result = await client.reset(seed=seed, **case.options.get("reset", {}))
        rewards = []
        for action in case.script:
            if result.done:
                break
            result = await client.step(action)
            rewards.append(result.reward)
        return rewards


def words_of(script: Script, *, reply: bool = False) -> list[Any]:
    """The answers that come to the actions, and a last word."""
    if reply:
        return [*(one["message"] for one in script)]
    return [*(call(one.get("tool_name", "step"), **one.get("arguments", one)) for one in script), "done"]


def summed(rewards: list[float | None]) -> float:
    total = 0.0
    for reward in rewards:
        total += reward or 0.0
    return total


def parity(url: str) -> list[dict[str, Any]]:
    """What both ways of playing ask of the servers, and what they earn."""
    rows = []
    for name, case in PARITY.items():
        place = f"{url}/{case.path}"
        words = words_of(case.script, reply=case.options.get("actions") == "reply")
        heard(url)
        theirs = [asyncio.run(client_plays(place, case, seed)) for seed in SEEDS]
        asked = heard(url)
        ours = gym_plays(f"openenv:{place}", words, limit=len(SEEDS), at_once=1, **case.options)
        asked_here = heard(url)
        failed = [rollout.error for rollout in ours if rollout.error]
        assert not failed, (name, failed)
        earned = [rollout.info["rewards"] for rollout in ours]
        totals = [rollout.reward for rollout in ours]
        row = {
            "environment": name,
            "rollouts": len(ours),
            "requests": len(asked),
            "rewards": len({str(one) for one in theirs}),
            "same_requests": asked == asked_here,
            "same_rewards": earned == theirs and totals == [summed(one) for one in theirs],
        }
        if not (row["same_requests"] and row["same_rewards"]):
            print(name, asked, asked_here, theirs, earned, totals, sep="\n  ", file=sys.stderr)
        rows.append(row)
    return rows


def heard(url: str) -> Any:
    """What was asked of the servers since the last time."""
    with urllib.request.urlopen(f"{url}/heard") as answer:
        return json.load(answer)


def what_is_shown(url: str) -> None:
    (seen,) = gym_plays(f"openenv:{url}/corridor", words_of(CORRIDOR))
    assert [part["type"] for part in seen.response.output[0]["content"]] == ["input_text", *["input_image"] * 3]
    (rung,) = gym_plays(f"openenv:{url}/till", [call("ring", price="x"), call("receipt"), call("nothing"), "done"])
    outputs = [item["output"] for item in rung.response.output if item["type"] == "function_call_output"]
    assert "valid integer" in str(outputs[0]), outputs
    assert outputs[1][0]["type"] == "input_image", outputs
    (misfit,) = gym_plays(f"openenv:{url}/numbers", [call("step", number=12), call("step", number=6), "done"])
    assert "number: Input should be less than or equal to 9" in str(misfit.response.output), misfit.response.output
    (told,) = gym_plays(f"openenv:{url}/hangman", ["g", "open", "gym agent"], actions="reply")
    assert (told.reward, told.stop_reason) == (1.0, "environment_done")


def capacity(url: str) -> None:
    for name, most in (("numbers2", 12), ("alone", 5)):
        rollouts = gym_plays(f"openenv:{url}/{name}", words_of(NUMBERS), limit=most)
        assert [rollout.error for rollout in rollouts] == [None] * most, rollouts


def failures(url: str) -> None:
    for order, words in {"raise": "the kitchen is closed", "none": "no reward in 1 steps", "nan": "reward"}.items():
        (one,) = gym_plays(f"openenv:{url}/trouble", [call("step", kind=order), "done"])
        assert one.reward is None, (order, one.reward)
        assert words in str(one.error), (order, one.error)
    (reset,) = gym_plays(f"openenv:{url}/trouble", ["done"], reset={"broken": "true"})
    assert "the reset is broken" in str(reset.error), reset.error
    (heavy,) = gym_plays(f"openenv:{url}/heavy", ["done"], prompt="Go.")
    assert "FACTORY_ERROR" in str(heavy.error), heavy.error
    # the model thinks for longer than the server waits for an answer to its ping
    (slow,) = gym_plays(f"openenv:{url}/trouble", [call("step", kind="ok"), lambda *_: _think(), "done"])
    assert slow.reward == 0.5, slow.error


async def _think() -> Any:
    await asyncio.sleep(2)
    return call("step", kind="ok")


def started_here() -> None:
    rollouts = gym_plays(f"openenv:{TEMPLATE}", words_of(PARITY["template of `openenv init`"].script), limit=8)
    assert [rollout.reward for rollout in rollouts] == [0.5 + 0.0 + 1.0 + 0.1] * 8, rollouts
    rollouts = gym_plays("openenv:playground.worlds:Alone", [call("step", number=6), "done"], limit=6, servers=2)
    assert all(rollout.error is None for rollout in rollouts)
    rollouts = gym_plays("openenv:playground.worlds:Trouble", [call("step", kind="die"), "done"], limit=2)
    assert any("the server ended (exit code 7): I am dying" in str(rollout.error) for rollout in rollouts), rollouts
    assert all(rollout.reward is None for rollout in rollouts)


AT_IMPORT = {
    "exit": "it left with sys.exit(3)",
    "fetch": "it fetches something from localhost when it is loaded",
    "key": "-E see_keys=true",
    "gone": "ended (exit code 9): This is printed at import.",
    "missing": "--with no_such_module",
}
PATHS = {
    "playground.faults:ap": "did you mean playground.faults:app",
    "playground.faults:number": "is no application and no class of an environment",
    "playground.worlds:Guess": "is no environment of OpenEnv",
    "playground.tools": "neither playground.tools nor playground.tools.server.app has an application",
}


def not_startable() -> None:
    os.environ["OPENAI_API_KEY"] = "sk-mine"
    for fault, words in AT_IMPORT.items():
        os.environ["FAULT"] = fault
        assert words in refused("playground.faults"), fault
    said = refused("playground.nothing")
    assert "No module named 'playground.nothing' (what stands after" in said, said
    os.environ["FAULT"] = ""
    for path, words in PATHS.items():
        assert words in line(load, path), path


def refused(path: str) -> str:
    """The one line for what cannot be started."""
    server = StartedServer(path)
    try:
        return line(server.begin, 1)
    finally:
        server.close()


def line(function: Callable[[Any], object], argument: Any) -> str:
    """What a function is refused with, which is one line."""
    try:
        function(argument)
    except UsageError as error:
        said = f"{error.message} ({error.hint})"
    assert "\n" not in said, said
    return said


@contextmanager
def served() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(HERE / "serve_all.py"), TEMPLATE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def main(folder: Path) -> None:
    init = [sys.executable, "-m", "openenv.cli", "init", TEMPLATE, "--output-dir", str(folder)]
    if not (folder / TEMPLATE).exists():
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(HERE), os.environ.get("PYTHONPATH", "")])
    sys.path[:0] = [str(folder), str(HERE)]
    with served() as url:
        rows = parity(url)
        for check in (what_is_shown, capacity, failures):
            began = time.monotonic()
            check(url)
            print(f"{check.__name__}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    started_here()
    not_startable()
    print(json.dumps({"package": f"openenv {importlib.metadata.version('openenv')}", "environments": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
