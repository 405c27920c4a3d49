"""Runs resources servers of NeMo Gym behind URLs, by its own agents and by gym, and writes what came of it.

`python scripts/nemo_urls.py [--write] [ID...]`, with gym's own interpreter, for all servers where none is named: those
with results in `.foreign/nemo-urls.jsonl` only where they are named. Each server listens at loopback in a process of
its own, in the venv of `nemo_parity.py`, with what its `requirements.txt` lists of a package index; its models are NeMo
Gym's own, before the scripted stand-in of `nemo_parity.py`, which judges, too. The same server is asked by NeMo Gym's
agent and then by `gym run --env URL`, with the same rows. Compared are the requests to the model, the requests to the
server in each session with what it answered, the verdicts whole, and the rewards to the bit.
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nemo_parity
from catalog import LABELS
from docs_markdown import code, replace_part, table
from nemo_parity import GYM, PAGE, ROOT, ROWS, TURNS, StandIn, environment, plain, python_of_venv, said, stand_in

RESULTS = ROOT / ".foreign" / "nemo-urls.jsonl"
TABLE = json.loads((ROOT / "plugins/nemo_servers/gym_nemo_servers/servers.json").read_text("utf-8"))["servers"]
SECONDS = 90.0
"""So long a server may take to start, and to play."""
INSTALLING = 240.0
HEAVY = ("torch",)
"""What is not installed for the sake of one server."""
_OF_ONE_RUN = ("id", "call_id", "created_at", "response_id", "_ng_task_index", "_ng_rollout_index")
"""Fields that differ from run to run."""
_TAKEN_FOR_GRANTED = {"parallel_tool_calls": True, "tool_choice": "auto"}
"""What a request says that leaves it out, and NeMo Gym's agents write into it."""


class NotRun(Exception):
    """Why a server cannot be compared here, in a line."""


class Served:
    """A server that listens, with NeMo Gym's agent beside it."""

    def __init__(self, ident: str, python: str, model: StandIn, log: Path) -> None:
        agent = "gymnasium_agent" if TABLE[ident].get("steps") else "simple_agent"
        script = ROOT / "scripts" / "nemo_parity_home.py"
        command = [python, str(script), ident, agent, model.url, str(ROWS), str(TURNS), "1", "1", str(log)]
        self._process = subprocess.Popen(
            command,
            env={**environment(), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        for target in (self._read, self._read_errors):
            threading.Thread(target=target, daemon=True).start()
        try:
            found = self._next()
        except NotRun:
            self.close()
            raise
        self.url, self.judges = found["url"], found["judges"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(('{"url"', '{"rewards"')):
                self._lines.put(line)
        self._lines.put("")

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.extend(self._process.stderr)

    def _next(self) -> Any:
        try:
            line = self._lines.get(timeout=SECONDS)
        except queue.Empty:
            raise NotRun(f"hung for {SECONDS:.0f} seconds") from None
        if not line:
            self._process.wait()
            raise NotRun(next((one.strip() for one in reversed(self._errors) if one.strip()), "ended")[:160])
        return json.loads(line)

    def rewards(self) -> list[Any]:
        """What its own agent earns."""
        return self._told("play")

    def begin(self) -> None:
        """Draw what is random as when its own agent played."""
        self._told("begin")

    def _told(self, word: str) -> list[Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        found: list[Any] = self._next()["rewards"]
        return found

    def close(self) -> None:
        """End it, and what it has started."""
        self._process.kill()
        self._process.wait()


def install(ident: str, python: str) -> None:
    """Give the venv what a server's requirements list. Raises `NotRun`."""
    needs = TABLE[ident].get("needs", [])
    far = [need for need in needs if "://" in need or need.startswith(HEAVY)]
    if far:
        raise NotRun(f"needs {far[0].partition(' ')[0].partition('==')[0]}, which was not installed")
    if not needs:
        return
    uv = Path(GYM).with_name("uv")
    command = [str(uv), "pip", "install", "--quiet", "--python", python, *needs]
    try:
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False, timeout=INSTALLING
        )
    except subprocess.TimeoutExpired:
        raise NotRun("its requirements were not installed in time") from None
    if done.returncode:
        raise NotRun(f"its requirements cannot be installed: {' '.join(done.stderr.split())[:120]}")


@contextmanager
def served(ident: str, python: str, model: StandIn, log: Path) -> Iterator[Served]:
    """A server, until the block ends."""
    one = Served(ident, python, model, log)
    try:
        yield one
    finally:
        one.close()


def by_gym(ident: str, url: str, model: StandIn, folder: str) -> list[Any]:
    """Rewards of a run at a URL, row by row; None for what failed."""
    rows, output = Path(folder, "rows.jsonl"), Path(folder, "out.jsonl")
    rows.write_text("".join(f"{json.dumps(row)}\n" for row in nemo_parity.rows_of(ident)), encoding="utf-8")
    output.unlink(missing_ok=True)
    asked = ["--model", "openai:m", "-M", f"base_url={model.url}", "-M", "api=responses"]
    agent, most = ("steps", "max_steps") if TABLE[ident].get("steps") else ("simple_agent", "max_turns")
    bounded = ["--agent", agent, "-A", f"{most}={TURNS}"]
    command = [GYM, "run", "--env", url, "--input", str(rows), *asked, *bounded, "--concurrency", "1"]
    try:
        done = subprocess.run(
            [*command, "--output", str(output), "--quiet"],
            env={**environment(), "OPENAI_API_KEY": "none"},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NotRun(f"hung for {SECONDS:.0f} seconds in gym") from None
    if not output.exists():
        raise NotRun(f"gym: {' '.join(done.stderr.split())[:160]}")
    found = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    kept = {row["rollout"]["task_index"]: row["reward"] for row in found}
    return [kept.get(index) for index in range(len(nemo_parity.rows_of(ident)))]


def compare(python: str, ident: str) -> dict[str, Any]:
    """What came of a server on both sides. Raises `NotRun`."""
    install(ident, python)
    with stand_in(ident) as model, tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "asked.jsonl")
        with served(ident, python, model, log) as server:
            theirs, their_requests, their_calls = _played(server, model, log)
            asked, before = len(model.asked), len(_sessions(log))
            server.begin()
            earned = by_gym(ident, server.url, model, folder)
            our_requests, our_calls = [*map(said, model.asked[asked:])], _sessions(log)[before:]
            if server.judges:  # some ask for several judgements at once
                their_requests, our_requests = (sorted(one, key=_text) for one in (their_requests, our_requests))
    failed = [one for one in theirs if isinstance(one, str)]
    if len(failed) == len(theirs):
        raise NotRun(f"its own agent fails: {_short(failed[0])}" if failed else "has no rows")
    expected = [None if isinstance(one, str) else one for one in theirs]
    if expected == earned == [None] * len(theirs):
        raise NotRun("its verifier measures none of the rollouts, by both")
    same = {
        "rewards": expected == earned,
        "requests": their_requests == our_requests,
        "sessions": their_calls == our_calls,
    }
    return {
        "rewards": earned,
        "theirs": theirs,
        "model_calls": len(our_requests),
        "sessions": len(our_calls),
        "tool_calls": sum(call[0] not in _ROUTES for session in our_calls for call in session),
        "same": all(same.values()),
        **({} if all(same.values()) else {"differs": [name for name, one in same.items() if not one]}),
        **({} if same["requests"] else {"their_requests": their_requests, "our_requests": our_requests}),
        **({} if same["sessions"] else {"their_sessions": their_calls, "our_sessions": our_calls}),
    }


_ROUTES = ("/seed_session", "/verify", "/close_session", "/reset", "/step", "/close")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(failure: str) -> str:
    """The innermost error in what a server says."""
    found = re.findall(r"\w+(?:Error|Exception)\(.*", failure.replace("\\", ""))
    return (found[-1] if found else failure)[:120]


def _played(server: Served, model: StandIn, log: Path) -> tuple[list[Any], list[Any], list[Any]]:
    """Rewards by NeMo Gym's own agent, requests to the model, and sessions.

    Where a model judges they are those of the play in which it says right and wrong in words that the server reads.
    """
    for model.labels in (None, *(LABELS if server.judges else ())):
        asked, before = len(model.asked), len(_sessions(log))
        rewards = server.rewards()
        found = rewards, [*map(said, model.asked[asked:])], _sessions(log)[before:]
        if len({one for one in rewards if isinstance(one, float | int)}) > 1:
            break
    return found


def _sessions(log: Path) -> list[list[Any]]:
    """What a server was asked and has answered, session by session, without what differs from run to run."""
    found: dict[str, list[Any]] = {}
    for line in map(json.loads, log.read_text("utf-8").splitlines() if log.exists() else ()):
        asked, answered = (_alike(line[name]) for name in ("asked", "answered"))
        if isinstance(asked, dict) and isinstance(response := asked.get("response"), dict):
            asked = {**asked, "response": response.get("output")}
        if line["path"] == "/verify" and isinstance(answered, dict):  # it repeats what it was asked
            answered = {name: one for name, one in answered.items() if name not in ("response", *asked)}
        found.setdefault(line["session"], []).append([line["path"], asked, line["status"], answered])
    return list(found.values())


def _alike(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if name not in _OF_ONE_RUN}
        alike = {name: _alike(inner) for name, inner in kept.items() if inner != _TAKEN_FOR_GRANTED.get(name)}
        return {name: inner for name, inner in alike.items() if inner != {}}
    return [_alike(inner) for inner in value] if isinstance(value, list) else value


def results() -> dict[str, Any]:
    """The last result of each server."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {one["id"]: one for one in map(json.loads, lines)}


def run(idents: Sequence[str], *, details: bool) -> bool:
    """Compare servers, and keep what came of it. True where all that ran are the same."""
    python = python_of_venv()
    same = True
    for ident in idents:
        try:
            found = compare(python, ident)
        except NotRun as error:
            found = {"state": str(error)}
        same = same and found.get("same", True)
        one = {"id": ident, **found, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        short = {name: value for name, value in one.items() if not name.startswith(("their_", "our_"))}
        print(json.dumps(one if details else short), flush=True)
    return same


def write(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the last result of each server into the documentation."""
    ran = {ident: one for ident, one in sorted(found.items()) if "same" in one}
    rows = [
        (
            code(ident),
            "the same" if one["same"] else f"**other** {', '.join(one['differs'])}",
            ", ".join("failed" if reward is None else f"{reward:g}" for reward in one["rewards"]),
            *(str(one[name]) for name in ("model_calls", "tool_calls", "sessions")),
            one["date"],
        )
        for ident, one in ran.items()
    ]
    head = ("server", "requests, sessions, rewards", "rewards", "model calls", "tool calls", "sessions", "run on")
    counted = Counter(bool(one["same"]) for one in ran.values())
    text = (
        f"Of {len(TABLE)} servers {len(found)} were tried and {len(ran)} could be run; {counted[True]} of them are the "
        f"same by both.\n\n{table(head, rows)}"
    )
    replace_part(PAGE, "nemo-urls", text)


def main() -> None:
    """Compare, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="alone: write what was found before")
    parser.add_argument("--details", action="store_true")
    parser.add_argument("ids", nargs="*")
    asked = parser.parse_args()
    waiting = sorted(TABLE, key=lambda ident: bool(TABLE[ident].get("needs")))  # the venv as it is, and then with more
    left = [] if asked.write else [ident for ident in waiting if ident not in results()]
    same = run(asked.ids or left, details=asked.details) if asked.ids or left else True
    if asked.write:
        write(results())
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
