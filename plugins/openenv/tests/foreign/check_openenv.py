"""Plays environments of the real OpenEnv: `python check_openenv.py FOLDER`, in a venv that has it and gym.

`FOLDER`: where the environment that OpenEnv itself ships is written to, by its own `openenv init`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
PARITY: dict[str, Script] = {
    "template": [{"message": word} for word in ("Hello", "", "a longer message than ten", "é")],
    "numbers64": [{"number": number} for number in (5, 7, 6, 8, 9, 0, 1)],
    "hangman": [{"message": text} for text in ("e", "open", "gym", "agent")],
    "corridor": [{"way": way} for way in ("left", "right", "right", "right", "left")],
    "coin": [{}] * 6,
    "till": [{"type": "call_tool", "tool_name": "ring", "arguments": {"price": price}} for price in (3, 4, -1, 3, 1)],
}
"""What is played by OpenEnv's own client, and by gym."""
SEEDS = range(4)


def gym_plays(env: str, script: Sequence[Any], *, limit: int = 1, **options: Any) -> list[Rollout]:
    """Rollouts of the first tasks with a model that says these."""

    async def collect() -> list[Rollout]:
        run = gym_core.collect(model=ScriptedModel(*script), env=env, env_options=options, limit=limit, concurrency=8)
        return sorted([rollout async for rollout in run], key=lambda rollout: int(rollout.row["seed"]))

    return asyncio.run(collect())


async def client_plays(url: str, script: Script, seed: int) -> list[float | None]:
    """The rewards of OpenEnv's own client, as its examples take them."""
    async with GenericEnvClient(base_url=url) as client:
        result = await client.reset(seed=seed)
        rewards = []
        for action in script:
            if result.done:
                break
            result = await client.step(action)
            rewards.append(result.reward)
        return rewards


def words_of(script: Script) -> list[Any]:
    """The calls that come to the actions, and a last word."""
    return [*(call(one.get("tool_name", "step"), **one.get("arguments", one)) for one in script), "done"]


def parity(url: str) -> None:
    for name, script in PARITY.items():
        ours = gym_plays(f"openenv:{url}/{name}", words_of(script), limit=len(SEEDS))
        for seed, rollout in zip(SEEDS, ours, strict=True):
            theirs = asyncio.run(client_plays(f"{url}/{name}", script, seed))
            total = 0.0
            for reward in theirs:
                total += reward or 0.0
            assert rollout.info["rewards"] == theirs, (name, seed, rollout.info, theirs, rollout.error)
            assert rollout.reward == total, (name, seed, rollout.reward, total)


def what_is_shown(url: str) -> None:
    (seen,) = gym_plays(f"openenv:{url}/corridor", words_of(PARITY["corridor"]))
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
        rollouts = gym_plays(f"openenv:{url}/{name}", words_of(PARITY["numbers64"]), limit=most)
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
    rollouts = gym_plays(f"openenv:{TEMPLATE}", words_of(PARITY["template"]), limit=8)
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
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(HERE)])
    sys.path[:0] = [str(folder), str(HERE)]
    with served() as url:
        for check in (parity, what_is_shown, capacity, failures):
            began = time.monotonic()
            check(url)
            print(f"{check.__name__}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    started_here()
    not_startable()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
