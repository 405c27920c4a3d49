"""Tries every id of the libraries that `gym-textgames` plays and writes the table of its page.

    python scripts/textgames_table.py try LIBRARY RESULTS     # in a venv with the library; one line of JSON per id
    python scripts/textgames_table.py write RESULTS...        # the table in docs/environments/textgames.md

An id `loads` that is made and begun; it reaches a `verdict` where a model that acts at random gets to the end of an
episode, or to its 200th answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docs_markdown import code, replace_part, table

PAGE = Path(__file__).parents[1] / "docs" / "environments" / "textgames.md"
SECONDS = 60
ANSWERS = 200
WRAPPED = re.compile(r"-(train|raw)$")
"""Ids of TextArena that differ in how a player is shown the game, which makes no difference here."""


def attempt(library: str, name: str) -> dict[str, Any]:
    """Play one episode at random."""
    import gym_core
    from gym_core import CallContext, ComponentContext, ModelBackend, Request, Response, UsageError
    from gym_textgames import gym_resource_servers
    from gym_textgames.environment import GameOptions

    server: Any = gym_resource_servers()[library]
    env = server(GameOptions(id=name, tasks=1), ComponentContext())
    drawn = random.Random(0)

    class Guessing(ModelBackend):
        async def respond(self, request: Request, context: CallContext) -> Response:
            text = _guess(request, drawn)
            content = [{"type": "output_text", "text": text}]
            return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})

    async def collect() -> dict[str, Any]:
        try:
            async with env:
                pass
        except UsageError as error:
            return {"state": "refused", "why": error.message}
        settings: dict[str, Any] = {"agent_options": {"max_turns": ANSWERS}}
        async for rollout in gym_core.collect(model=Guessing(), env=env, limit=1, **settings):
            if rollout.error is not None:
                return {"state": "loads", "why": rollout.error["message"]}
            return {"state": "verdict", "reward": rollout.reward, "ended": rollout.stop_reason, "info": rollout.info}
        return {"state": "loads", "why": "no rollout"}

    return asyncio.run(collect())


def _guess(request: Any, drawn: random.Random) -> str:
    """One of the actions that the request lists, else something in brackets that it shows, else a number or a word."""
    text = json.dumps(request.input, ensure_ascii=False, default=str)
    listed = re.search(r"one of these actions: (.*?)\.", text)
    if listed:
        return drawn.choice(listed[1].split(", "))
    bounds = re.search(r"a number from (\d+) to (\d+)", text)
    if bounds:
        return str(drawn.randint(int(bounds[1]), int(bounds[2])))
    if "boxed" in text:
        shown = re.findall(r"boxed\{([^}]*)\}", text)
        return f"\\boxed{{{drawn.choice([*shown, str(drawn.randint(0, 20))])}}}"
    shown = re.findall(r"\[[^\[\]]{1,30}\]", text)
    return drawn.choice([*shown[-20:], f"[{drawn.randint(0, 9)}]", f"[{drawn.randint(0, 9)} {drawn.randint(0, 9)}]"])


def try_all(library: str, results: Path) -> None:
    """Try each id in a process that is ended, and started again, where one hangs or breaks it."""
    from gym_textgames import gym_resource_servers

    server: Any = gym_resource_servers()[library]
    done = {json.loads(line)["id"] for line in results.read_text().splitlines()} if results.exists() else set()
    waiting = [name for name in server.choices() if name not in done and not WRAPPED.search(name)]
    while waiting:
        command = [sys.executable, __file__, "some", library, *waiting]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        alarm = threading.Timer(SECONDS, child.kill)
        alarm.start()
        with results.open("a", encoding="utf-8") as file:
            for line in child.stdout:
                alarm.cancel()
                alarm = threading.Timer(SECONDS, child.kill)
                alarm.start()
                name = waiting.pop(0)
                file.write(json.dumps({"library": library, "id": name, **json.loads(line)}) + "\n")
                file.flush()
            alarm.cancel()
            if child.wait() and waiting:
                why = f"hung for {SECONDS} seconds, or ended the process"
                file.write(
                    json.dumps({"library": library, "id": waiting.pop(0), "state": "refused", "why": why}) + "\n"
                )


def family(name: str) -> str:
    """What an id is a variant of."""
    return re.split(r"-v\d", name)[0]


def write(results: list[Path]) -> None:
    """Replace the table."""
    lines = [json.loads(line) for path in results for line in path.read_text(encoding="utf-8").splitlines()]
    titles = ("library", "ids", "begin", "reach a verdict", "in families", "end within 200 answers")
    rows = []
    for library in dict.fromkeys(line["library"] for line in lines):
        mine = [line for line in lines if line["library"] == library and not WRAPPED.search(line["id"])]
        states = Counter(line["state"] for line in mine)
        judged = [line for line in mine if line["state"] == "verdict"]
        families = len({family(line["id"]) for line in judged})
        ended = sum(line["ended"] != "max_turns" for line in judged)
        begin = states["verdict"] + states["loads"]
        rows.append((code(library), *map(str, (len(mine), begin, states["verdict"], families, ended))))
    replace_part(PAGE, "textgames", f"Tried on {datetime.now(UTC):%Y-%m-%d}:\n\n{table(titles, rows)}")


if __name__ == "__main__":
    if sys.argv[1] == "some":
        for wanted in sys.argv[3:]:
            print(json.dumps(attempt(sys.argv[2], wanted), default=str), flush=True)
    elif sys.argv[1] == "try":
        try_all(sys.argv[2], Path(sys.argv[3]))
    else:
        write([Path(argument) for argument in sys.argv[2:]])
