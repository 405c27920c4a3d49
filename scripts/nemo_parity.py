"""Runs resources servers of NeMo Gym by its own agents and by gym, and writes what came of it into the documentation.

`python scripts/nemo_parity.py [--write] [ID...]`, with gym's own interpreter. NeMo Gym gets a venv in `.foreign`; where
the only Python 3.13 is older than 3.13.14, with that requirement edited out of its wheel. Both sides ask one scripted
stand-in, which answers by what it is asked alone: what is right for a row, and wrong for each second one; where nobody
knows what is right it calls the tools that it is shown, and says something. What is null or empty in a request counts
as not said, and so does how to choose among no tools.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from docs_markdown import code, replace_part, table
from nemo_answers import answers

from gym_isolated.interpreters import find_interpreter

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "nemo-gym.md"
HOME = ROOT / ".foreign" / "nemo-home"
RESULTS = ROOT / ".foreign" / "nemo-parity.jsonl"
GYM = str(Path(sys.executable).with_name("gym"))
VERSION = "0.7.0"
ROWS = 3
TURNS = 6
STEPS = ("example_multi_turn_gymnasium",)
SERVERS = (
    "arc_agi",
    "bunsenbench_chemistry_mcq",
    "calendar",
    "circle_click",
    "circle_count",
    "equivalence_rule",
    "example_multi_step",
    "example_session_state_mgmt",
    "example_single_tool_call",
    "example_tool_call_multireward",
    "format_verification",
    "gpqa_diamond",
    "hotpotqa_qa",
    "imo_gradingbench",
    "lc_niah",
    "litmus_agent",
    "math_advanced_calculations",
    "math_proof_judgement",
    "ruler",
    "single_step_tool_use_with_argument_comparison",
    "spartqa",
    "string_match",
    "workplace_assistant",
    "xlam_fc",
    *STEPS,
)
_ABOUT_TOOLS = ("parallel_tool_calls", "tool_choice")
_TYPES: Mapping[str, Any] = {"integer": 2, "number": 1.5, "boolean": True, "array": [], "object": {}}
_WRONG = ("xyzzy",)
_SAYINGS = (
    'a = b\nc = d\ne = f\n-- x\n-- y\n-- z\n1. "x": y\n2. "y": z\n3. "z": x\n'
    "NRBQA, KMLJX, OGMSL, OMLEB, YMVKB, QBDOH\n\\boxed{Paris}\nFinal answer: both of them",
    "Eiffel, 20, 95",
    "Eiffel, 20, 95, \\boxed{2}",
)
"""What is right somewhere, in part or wholly: a reward of 0 shows less."""


class StandIn:
    """An endpoint that works on the rows of a server. `asked`: bodies.

    `labels`: how it calls answers right and wrong, where it is asked as a judge.
    """

    def __init__(self, ident: str) -> None:
        stand_in, self.asked = self, list[dict[str, Any]]()
        self.labels: tuple[str, str] | None = None
        scripts = [
            (row["responses_create_params"]["input"], lines if number % 2 == 0 or not lines else _WRONG)
            for number, row in enumerate(rows_of(ident))
            for lines in [answers(row)]
        ]

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *words: Any) -> None: ...

            def _say(self, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                self._say({"object": "list", "data": [{"id": "m", "object": "model"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stand_in.asked.append(body)
                self._say(_answer(body, scripts, stand_in.labels))

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()


@contextmanager
def stand_in(ident: str) -> Iterator[StandIn]:
    """One, until the block ends."""
    one = StandIn(ident)
    try:
        yield one
    finally:
        one.close()


def rows_of(ident: str) -> list[dict[str, Any]]:
    """The rows of a server that are worked on."""
    (path,) = (HOME / "isolated").glob(f"*/lib/python3*/site-packages/resources_servers/{ident}/data/example.jsonl")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()][:ROWS]


def _words(items: Any) -> list[Any]:
    """What the user has said, text by text."""
    if isinstance(items, str):
        return [items]
    said = [item.get("content") for item in items if item.get("role") == "user"]
    return [part for one in said for part in ([one] if isinstance(one, str) else [part.get("text") for part in one])]


def _answer(
    body: Mapping[str, Any], scripts: Sequence[tuple[Any, Sequence[Any]]], labels: tuple[str, str] | None
) -> dict[str, Any]:
    if "messages" in body:
        return _judged(body, labels)
    items = body["input"] if isinstance(body["input"], list) else []
    tools = body.get("tools") or []
    words = _words(body["input"])
    # the longest row that the conversation begins with: one may begin as another does
    begun = [(opening, lines) for opening, lines in scripts if _words(opening) == words[: len(_words(opening))]]
    opening, lines = max(begun, key=lambda one: len(one[0]), default=((), ()))
    if lines:
        turn = _turns(items) - (0 if isinstance(opening, str) else _turns(opening))
        line = lines[min(turn, len(lines) - 1)]
    else:
        turn = _turns(items)
        line = _judgement(body, labels) if labels and not begun else _saying(tools, turn)
    if isinstance(line, str):
        part = {"type": "output_text", "text": line, "annotations": []}
        output = {"type": "message", "id": f"msg_{turn}", "role": "assistant", "status": "completed", "content": [part]}
    else:
        output = {**line, "id": f"fc_{turn}", "call_id": f"call_{turn}", "status": "completed"}
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{turn}",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [output],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": tools,
        "usage": {**usage, **details},
    }


def _judgement(body: Any, labels: tuple[str, str] | None) -> str:
    """What a judge says: that all is right but what is wrong for certain."""
    right, wrong = labels or (_SAYINGS[0], _SAYINGS[0])
    return wrong if _WRONG[0] in json.dumps(body) else right


def _judged(body: Any, labels: tuple[str, str] | None) -> dict[str, Any]:
    """The same by Chat Completions."""
    message = {"role": "assistant", "content": _judgement(body, labels)}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def _turns(items: Sequence[Mapping[str, Any]]) -> int:
    return sum(item.get("type") == "function_call" or item.get("role") == "assistant" for item in items)


def _saying(tools: Sequence[Mapping[str, Any]], turn: int) -> str | dict[str, Any]:
    """A call of each tool in turn, three times, and then something."""
    if not tools or turn >= ROWS:
        return _SAYINGS[turn % len(_SAYINGS)]
    tool = tools[turn % len(tools)]
    wanted = (tool.get("parameters") or {}).get("properties") or {}
    arguments = {name: _TYPES.get(str(about.get("type")), "Oslo") for name, about in wanted.items()}
    return {"type": "function_call", "name": tool["name"], "arguments": json.dumps(arguments)}


def python_of_venv() -> str:
    """The interpreter of the venv that the servers share, which is made where there is none."""
    if not list((HOME / "isolated").glob("venv.nemo.*.json")):
        wanted = [GYM, "install", "--isolated", "nemo:example_single_tool_call", "--yes"]
        _done([*wanted, *(["--with", _edited()] if _is_older() else [])], environment())
    (record,) = (HOME / "isolated").glob("venv.nemo.*.json")
    return str(HOME / "isolated" / json.loads(record.read_text("utf-8"))["folder"] / "bin" / "python")


def _is_older() -> bool:
    """Whether the Python 3.13 that a venv would get is older than NeMo Gym wants."""
    version = _done([find_interpreter("3.13"), "-c", "import sys; print(*sys.version_info[:3])"], environment())
    return tuple(map(int, version.split())) < (3, 13, 14)


def _edited() -> str:
    """The wheel of NeMo Gym, without what it says of Python."""
    with tempfile.TemporaryDirectory() as folder:
        get = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", "--dest", folder]
        _done([*get, f"nemo-gym=={VERSION}"], environment())
        (wheel,) = Path(folder).glob("*.whl")
        edited = ROOT / ".foreign" / wheel.name
        with ZipFile(wheel) as before, ZipFile(edited, "w", ZIP_DEFLATED) as after:
            for member in before.infolist():
                content = before.read(member)
                if member.filename.endswith(".dist-info/METADATA"):
                    content = re.sub(rb"(?m)^Requires-Python:.*$", b"Requires-Python: >=3.13", content)
                if member.filename.endswith(".dist-info/RECORD"):
                    content = re.sub(rb"(?m)^(.*METADATA),.*$", rb"\1,,", content)
                after.writestr(member, content)
    return str(edited)


def there(python: str, ident: str) -> tuple[list[Any], list[Any]]:
    """Rewards and requests of NeMo Gym's own agent."""
    agent = "gymnasium_agent" if ident in STEPS else "simple_agent"
    script = ROOT / "scripts" / "nemo_parity_home.py"
    with stand_in(ident) as model:
        arguments = [ident, agent, model.url, str(ROWS), str(TURNS)]
        printed = _done([python, str(script), *arguments], environment())
        return json.loads(printed.splitlines()[-1])["rewards"], [said(body) for body in model.asked]


def here(ident: str) -> tuple[list[Any], list[Any]]:
    """Rewards and requests of a run of gym."""
    with stand_in(ident) as model, tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/rows.jsonl"
        asked = ["--model", "openai:m", "-M", f"base_url={model.url}", "-M", "api=responses", "--limit", str(ROWS)]
        steps = ["-A", f"max_steps={TURNS}"]
        bounded = steps if ident in STEPS else ["--agent", "simple_agent", "-A", f"max_turns={TURNS}"]
        run = [GYM, "run", "--env", f"nemo:{ident}", *asked, *bounded, "--concurrency", "1", "--output", output]
        _done([*run, "--quiet"], {**environment(), "OPENAI_API_KEY": "none"}, may_fail=True)
        rows = (
            [json.loads(line) for line in Path(output).read_text("utf-8").splitlines()] if Path(output).exists() else []
        )
        rows.sort(key=lambda row: row["rollout"]["task_index"])
        return [row["reward"] for row in rows], [said(body) for body in model.asked]


def said(body: dict[str, Any]) -> Any:
    """What a request says; how tools are chosen says nothing where there are none."""
    words = plain(body)
    return words if "tools" in words else {name: one for name, one in words.items() if name not in _ABOUT_TOOLS}


def plain(value: Any) -> Any:
    """What was said in a body: without what is null or empty, whose absence says the same."""
    if isinstance(value, dict):
        made = {name: plain(inner) for name, inner in value.items()}
        return {name: inner for name, inner in made.items() if inner not in (None, [], {}) and name != "type"} | (
            {"type": value["type"]} if value.get("type") not in (None, "message") else {}
        )
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def compare(python: str, ident: str) -> dict[str, Any]:
    """What came of a server on both sides. `same`: requests and rewards are, to the bit."""
    with ThreadPoolExecutor(2) as both:
        ran, run = both.submit(there, python, ident), both.submit(here, ident)
        (theirs, their_requests), (ours, our_requests) = ran.result(), run.result()
    same = theirs == ours and their_requests == our_requests and len(ours) > 0
    return {"id": ident, "rewards": ours, "theirs": theirs, "requests": len(our_requests), "same": same} | (
        {} if same else {"their_requests": their_requests, "our_requests": our_requests}
    )


def environment() -> dict[str, str]:
    """The variables of processes that take part."""
    left_out = ("UV_OFFLINE", "PIP_NO_INDEX", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "GYM_HOME": str(HOME), "GYM_NO_DOTENV": "1"}


def _done(command: list[str], environment: dict[str, str], *, may_fail: bool = False) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode and not may_fail:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def main() -> None:
    """Compare, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="alone: write what was found before")
    parser.add_argument("--details", action="store_true")
    parser.add_argument("ids", nargs="*")
    asked = parser.parse_args()
    python = python_of_venv() if asked.ids or not asked.write else ""
    same = True
    for ident in asked.ids or ([] if asked.write else SERVERS):
        one = {**compare(python, ident), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        same = same and one["same"]
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(one) + "\n")
        shown = one if asked.details else {name: one[name] for name in ("id", "rewards", "theirs", "same")}
        print(json.dumps(shown), flush=True)
    if asked.write:
        write()
    if not same:
        raise SystemExit(1)


def write() -> None:
    """Write the last result of each server into the documentation."""
    found = {one["id"]: one for one in map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())}
    rows = [
        (
            code(ident),
            "the same" if one["same"] else "**other**",
            ", ".join(f"{reward:g}" for reward in one["rewards"]),
            str(one["requests"]),
            one["date"],
        )
        for ident, one in sorted(found.items())
    ]
    replace_part(
        PAGE, "nemo-parity", table(("server", "requests and rewards", "rewards", "model calls", "run on"), rows)
    )


if __name__ == "__main__":
    main()
