"""Tries environments that exist and writes the catalogues that `gym search` reads.

    python scripts/catalog.py try HOME RESULTS [ID]...    # in a venv with gym and that home; resumable
    python scripts/catalog.py write RESULTS...            # the catalogues of the adapters

Each id is opened as `--env` takes it and played by scripts. Where two of them earned different rewards for the same
task, its state is `verdict`: a right and a wrong answer where the task's row holds the answer, else two plays that were
found at random, by search, or by a player that the home brings. Where a home has a loop of its own that can be called,
that is given the same answers, and has to earn the same reward to the bit.

In the environment, `CATALOG_SECONDS` says after how long an id is given up (300), and `CATALOG_SEARCHED` for how many
seconds of the process's own work plays of a game that differ are looked for (12).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from catalog_answers import candidates, judge_of, known, script_of

ROOT = Path(__file__).parents[1]
SECONDS = int(os.environ.get("CATALOG_SECONDS", "300"))
"""An id that has taken so long is given up."""
SEARCHED = int(os.environ.get("CATALOG_SEARCHED", "12"))
"""Seconds of this process's own work for which different plays of a game are looked for."""
TASKS = 2
"""So many tasks of an id are tried, and more where it is known what to say, but not to which of them."""
LABELS = (
    ("[[A=B]]", "[[A!=B]]"),
    ("CORRECT", "INCORRECT"),
    ("Judgement: Yes", "Judgement: No"),
    ("A", "B"),
    ("yes", "no"),
    ("correct: yes", "correct: no"),
    ("1", "0"),
)
"""How judges say right and wrong."""
JUDGED = 5
"""So many scripts of a task are tried with each of them."""
STATES = ("verdict", "rollout", "lists", "loads")
HUNG = "hung"
AWAY = re.compile(
    r"nltk|resource .*not found|offline|huggingface|\bhub\b|connect|resolve|service not known|download|fetches"
    r"|no such file"
)
"""What an error says of data that are not here."""
TRAILING = re.compile(r"-(train|raw)$")
"""Ids of TextArena that differ in how a player is shown the game, which makes no difference here."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where ids come from. `prefix`: what stands before an id for `--env`. `module`: what is imported to know them."""

    prefix: str
    adapter: str
    module: str
    packages: Sequence[str]
    game: bool = False


GAMES = "plugins/textgames/gym_textgames"
LISTED = {
    "verifiers 0.3": {
        "stardata.envs.constraint_gym@0.3": (
            "Texts under constraints of form, of the package staros-stardata, whose 0.1.1 judges the Python form of a "
            "message of verifiers 0.3 in place of its text."
        ),
        "stardata.envs.sokoban_gym@0.3": "Sokoban in one answer, of the package staros-stardata.",
        "sophistry_bench_sprint@0.3": "Advocacy for an answer, of the package sophistry-bench-sprint.",
    },
}
"""The ids of homes that list none themselves, each with what it is: no templates, no placeholders."""
HOMES = {
    "reasoning_gym": Home("reasoning_gym:", "plugins/reasoning_gym/gym_reasoning_gym", "", ["reasoning-gym"]),
    "gymnasium": Home("gymnasium:", GAMES, "", ["gymnasium"], game=True),
    "minigrid": Home("gymnasium:minigrid:", GAMES, "minigrid", ["minigrid"], game=True),
    "popgym": Home("gymnasium:popgym:", GAMES, "popgym", ["popgym"], game=True),
    "highway_env": Home("gymnasium:highway_env:", GAMES, "highway_env", ["highway-env"], game=True),
    "textarena": Home("textarena:", GAMES, "", ["textarena"], game=True),
    "gem": Home("gem:", GAMES, "", ["gem-llm"], game=True),
    "nemo": Home("nemo:", "plugins/nemo_servers/gym_nemo_servers", "gym_nemo_servers", ["nemo-gym"]),
    "inspect": Home("inspect:", "plugins/inspect/gym_inspect", "inspect_evals", ["inspect-ai", "inspect-evals"]),
    "verifiers 0.3": Home("verifiers:", "plugins/verifiers/gym_verifiers", "", ["verifiers"]),
}


# One id


def attempt(home: str, name: str) -> dict[str, Any]:
    """What comes of one id, as its entry and what has led to it."""
    about = HOMES[home]
    if about.game:
        return entry_of(home, name) | _try_game(home, name)
    found = asyncio.run(_try_answers(about.prefix + name))
    return entry_of(home, name) | {"summary": _summary(home, name)} | found


def entry_of(home: str, name: str) -> dict[str, Any]:
    """What is known of an id before it is tried, and with what it is."""
    packages = {package: importlib.metadata.version(package) for package in HOMES[home].packages}
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    tried = {"on": f"{datetime.now(UTC):%Y-%m-%d}", "python": python, "packages": packages}
    return {"id": HOMES[home].prefix + name, "family": family(home, name), "home": home, "tried": tried}


def _summary(home: str, name: str) -> str:
    """What a home's own docstring says of an id, in a line."""
    from catalog_games import first_sentence

    if home == "reasoning_gym":
        registry = importlib.import_module("gym_reasoning_gym.package").registry()
        return first_sentence(registry[name][0].__doc__ or "")
    if home == "inspect":
        return first_sentence(_inspect_tasks()[name].__doc__ or "")
    return LISTED.get(home, {}).get(name, "")


def _try_game(home: str, name: str) -> dict[str, Any]:
    import catalog_games

    from gym_textgames import gym_resource_servers

    about = HOMES[home]
    scheme = about.prefix.partition(":")[0]
    inner = f"{about.module}:{name}" if about.module else name
    library = gym_resource_servers()[scheme].library
    try:
        summary = catalog_games.described(library, inner)
    except Exception as error:
        return stuck(error)
    plays = catalog_games.find(library, inner, SEARCHED)
    rolled = [asyncio.run(_play(about.prefix + name, play)) for play in plays]
    found = judged(rolled) | {"summary": summary, "by": plays[0].by if plays else ""}
    found["alone"] = [catalog_games.alone(scheme, inner, play) for play in plays]
    found["answers"] = [list(play.answers) for play in plays]
    return found


async def _play(reference: str, play: Any) -> Any:
    script = script_of()
    script.lines = list(play.answers)
    options = {"seed": play.seed, "tasks": 1}
    async with _open(script, reference, options, {"max_turns": max(play.mine, 1)}) as gym:
        (task,) = [task async for task in gym.tasks(limit=1)]
        return await gym.rollout(task)


async def _try_answers(reference: str) -> dict[str, Any]:
    """Try the answers that a task's row holds, and wrong ones; where a judge is asked, with one that is a script."""
    found = await _try_with(reference, None)
    if "judge" not in found["state"]:
        return found
    for labels in LABELS:
        judged_so = await _try_with(reference, labels)
        if judged_so["state"] == "verdict":
            return judged_so | {"by": "judge", "needs": ["second model"]}
    return found


async def _try_with(reference: str, labels: tuple[str, str] | None) -> dict[str, Any]:
    script = script_of()
    first = known(reference)
    model = script if labels is None else {"policy": script, "judge": judge_of(*labels)}
    state: dict[str, Any] = {"state": "loads"}
    try:
        async with _open(model, reference, {}, None) as gym:
            async for task in gym.tasks(limit=max(TASKS, 3 * len(first))):
                state = {"state": "lists"} if state["state"] == "loads" else state
                rolled = []
                best = None
                for by, lines in islice(candidates(task, first), None if labels is None else JUDGED + len(first)):
                    script.lines = lines
                    rolled.append(rollout := await gym.rollout(task))
                    if rollout.reward is not None and (best is None or rollout.reward > best[0]):
                        best = rollout.reward, by
                    found = judged(rolled)
                    if found["state"] == "verdict":
                        return found | {"by": best[1] if best else ""}
                state = found if rolled and found["state"] == "rollout" else state
    except Exception as error:
        return stuck(error) if state["state"] == "loads" else {**state, "why": _words(error)}
    return state


def _open(script: Any, reference: str, options: Mapping[str, Any], agent: Mapping[str, Any] | None) -> Any:
    import gym_core

    given: dict[str, Any] = {} if agent is None else {"agent_options": agent}
    return gym_core.open(model=script, env=reference, env_options=options, **given)


def judged(rolled: Sequence[Any]) -> dict[str, Any]:
    """The state that rollouts of one task show, with the best and the worst of them. A failure is no verdict."""
    ended = sorted((one for one in rolled if one.error is None and one.reward is not None), key=lambda one: one.reward)
    if not ended:
        why = rolled[0].error["message"] if rolled else "nothing could be played"
        return {"state": "loads", "why": _line(why)}
    best, worst = ended[-1], ended[0]
    turns = max(sum(call.get("actor") == "policy" for call in one.model_calls) for one in (best, worst))
    found = {"rewards": [best.reward, worst.reward], "turns": turns, "ended": [best.stop_reason, worst.stop_reason]}
    apart = best.reward > worst.reward and best.stop_reason not in ("max_turns", "max_output_tokens")
    return {"state": "verdict" if apart else "rollout", **found}


# What stands in the way


def stuck(error: BaseException) -> dict[str, Any]:
    """The state of an id that does not open: what stands in the way."""
    return {"state": _words(error)}


def needs(words: str) -> list[str]:
    """What an error says is missing."""
    found = []
    low = words.lower()
    missing = re.findall(
        r"no module named '([\w.]+)'|module `([\w.]+)` is not installed|pip install \"?([\w\[\]-]+)", low
    )
    if missing:  # where more than one is named, the others are what the last one needs
        found.append(f"package {next(filter(None, missing[-1])).partition('.')[0]}")
    if re.search(r"api[ _]key", low):
        found.append("key")
    if AWAY.search(low):
        found.append("data")
    if "judge" in low or "no model of the role" in low:
        found.append("second model")
    if "docker" in low or "container" in low:
        found.append("container")
    return found


def _words(error: BaseException) -> str:
    hint = getattr(error, "hint", "")
    return _line(
        f"{getattr(error, 'message', None) or f'{type(error).__name__}: {error}'}{f' ({hint})' if hint else ''}"
    )


def _line(text: str) -> str:
    plain = re.sub(r"\x1b\[[\d;]*m|\*{3,}", "", text)
    plain = re.sub(r"(?<![\w/:.])(/[\w.+-]+){2,}/", "", plain)  # folders of the machine that has tried it, no addresses
    line = " ".join(plain.split())
    return line if len(line) <= 200 else f"{line[:197]}..."


# All ids of a home


def ids(home: str) -> list[str]:
    """The ids of a home, without those that only differ in how a game is shown."""
    about = HOMES[home]
    if home in LISTED:
        return list(LISTED[home])
    if home == "inspect":
        return sorted(_inspect_tasks())
    if home == "nemo":
        table = Path(importlib.import_module(about.module).__file__ or "").parent / "servers.json"
        servers = json.loads(table.read_text(encoding="utf-8"))["servers"]
        return sorted(servers, key=lambda name: bool(servers[name].get("needs")))
    if not about.game:
        from gym_core.spi import Kind, PluginManager

        found = PluginManager().load(Kind.RESOURCE_SERVER, about.prefix.rstrip(":")).component.choices()
        return [name for name in found if name != "all"]
    if about.prefix.startswith("gymnasium"):
        gymnasium = importlib.import_module("gymnasium")
        before = list(gymnasium.registry)
        if not about.module:
            return [name for name in before if not name.startswith("GymV2")]
        importlib.import_module(about.module)
        return [name for name in gymnasium.registry if name not in before]
    from gym_textgames import gym_resource_servers

    return [name for name in gym_resource_servers()[home].choices() if not TRAILING.search(name)]


def families_first(home: str) -> list[str]:
    """The ids of a home, one of each family before all variants."""
    seen: dict[str, int] = {}
    ranked = []
    for name in ids(home):
        which = family(home, name)
        seen[which] = seen.get(which, -1) + 1
        ranked.append((seen[which] > 0, name))
    return [name for _, name in sorted(ranked, key=lambda one: one[0])]


def family(home: str, name: str) -> str:
    """What an id is a variant of: ids of one class are a family, whatever it is made with."""
    if home == "reasoning_gym" or name.startswith("rg:"):
        return f"reasoning_gym:{name.removeprefix('rg:')}"
    about = HOMES[home]
    if home == "inspect":
        package, folder, *_ = _inspect_tasks()[name].__module__.split(".")
        return f"inspect:{package}/{folder}"  # an evaluation is a folder of tasks
    if not about.game:
        return about.prefix + name
    if about.prefix.startswith("gymnasium"):
        importlib.import_module(about.module or "gymnasium")
        maker = importlib.import_module("gymnasium").registry[name].entry_point
    else:
        module = importlib.import_module(f"{home}.envs.registration")
        maker = module.ENV_REGISTRY[name].entry_point
    kind = maker.rpartition(":")[2].rpartition(".")[2] if isinstance(maker, str) else maker.__name__
    if home == "gem" and not name.startswith("game:"):
        return f"gem:{name.partition('-v')[0]}"  # one class, many data sets
    kind = re.sub(r"(Env|Environment|Easy|Medium|Hard|JaxEnv|_.*)$", "", re.sub(r"(Env|Environment)$", "", kind))
    return f"{home}:{kind}"


@cache
def _inspect_tasks() -> dict[str, Any]:
    """The tasks that register with Inspect, by name."""
    importlib.import_module("inspect_evals._registry")
    registry = importlib.import_module("inspect_ai._util.registry")
    found = registry.registry_find(lambda about: about.type == "task")
    return {registry.registry_info(task).name: task for task in found}


def try_all(home: str, results: Path, names: Sequence[str]) -> None:
    """Try each id, or these, in a process that is ended, and started again, where one hangs or breaks it."""
    done = {json.loads(line)["id"] for line in results.read_text().splitlines()} if results.exists() else set()
    waiting = [name for name in names or families_first(home) if HOMES[home].prefix + name not in done]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "SDL_VIDEODRIVER": "dummy"}
    elsewhere = tempfile.mkdtemp()  # some write into the folder that they are started in
    while waiting:
        command = [sys.executable, str(Path(__file__).resolve()), "some", home, *waiting]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=elsewhere,
            env=environment,
        )
        assert child.stdout is not None
        alarm = threading.Timer(SECONDS, child.kill)
        alarm.start()
        with results.open("a", encoding="utf-8") as file:
            for line in child.stdout:
                if not line.startswith('{"id"'):
                    continue
                alarm.cancel()
                alarm = threading.Timer(SECONDS, child.kill)
                alarm.start()
                waiting.pop(0)
                file.write(line)
                file.flush()
            alarm.cancel()
            child.wait()
            if waiting:
                name = waiting.pop(0)
                why = f"{HUNG} for {SECONDS} seconds, or ended the process"
                file.write(json.dumps({**entry_of(home, name), "state": why}) + "\n")


# The files


def write(results: Sequence[Path]) -> None:
    """Write the catalogue of each adapter that the results are of; the last result of an id counts, others stay."""
    found = {one["id"]: one for path in results for one in map(json.loads, path.read_text("utf-8").splitlines())}
    for adapter in dict.fromkeys(HOMES[one["home"]].adapter for one in found.values()):
        mine = [one for one in found.values() if HOMES[one["home"]].adapter == adapter]
        path = ROOT / adapter / "catalog.json"
        stays = json.loads(path.read_text("utf-8")) if path.exists() else {"homes": {}, "entries": []}
        before = {one["id"]: one for one in stays["entries"]}
        entries = [*{**before, **{one["id"]: _entry(one, before.get(one["id"], {})) for one in mine}}.values()]
        homes = {**stays["homes"], **{one["home"]: one["tried"] for one in mine}}
        lines = [f"  {json.dumps(entry, ensure_ascii=False)}" for entry in sorted(entries, key=lambda one: one["id"])]
        text = json.dumps(dict(sorted(homes.items())))
        path.write_text(f'{{"homes": {text},\n "entries": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def _entry(one: Mapping[str, Any], before: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stays of a result, and of what was found `before`.

    A package that an id lacked is needed by it still, now that it was there. Who has hung has shown nothing.
    """
    if one["state"].startswith(HUNG) and before.get("state") in STATES:
        return before
    names = ("id", "family", "home", "summary", "needs", "state", "by", "rewards", "turns", "why")
    lacked = [need for need in before.get("needs", ()) if need.startswith("package ")]
    entry = {"summary": before.get("summary", ""), "needs": lacked, **one}
    if one["state"] not in STATES:
        entry["needs"] = needs(one["state"])
    if "alone" in one and one["state"] == "verdict":
        entry["same_alone"] = one["alone"] == one["rewards"]
        names = (*names, "same_alone")
    return {name: entry[name] for name in names if name in entry}


def main(command: str, *arguments: str) -> None:
    """One of the three."""
    if command == "some":
        out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what a library prints is no result
        logging.disable(logging.CRITICAL)
        home, *names = arguments
        for name in names:
            try:
                found = attempt(home, name)
            except Exception as error:
                found = {**entry_of(home, name), **stuck(error)}
            out.write(json.dumps(found, default=str, ensure_ascii=False) + "\n")
            out.flush()
    elif command == "try":
        try_all(arguments[0], Path(arguments[1]), arguments[2:])
    else:
        write([Path(argument) for argument in arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
