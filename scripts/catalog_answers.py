"""What scripts say to an environment that is tried: right and wrong answers, from what the row of a task holds."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from nemo_answers import answers

WRONG = ("xyzzy", "0", "")
ANSWERS = re.compile(r"answer|target|solution|expected|ground_truth|label|gold|secret|oracle", re.IGNORECASE)
FORMS = ("<answer>{}</answer>", "\\boxed{{{}}}", "ANSWER: {}", "{}")
RECORDED = 8
"""So many recorded rollouts of a server are said again."""
Line = str | Sequence[Mapping[str, Any]]
"""What a model says in one answer: a text, or items."""


def script_of() -> Any:
    """A model that says its `lines` in turn, whoever asks, the last one again and again."""
    from gym_core import CallContext, ModelBackend, Request, Response

    class Script(ModelBackend):
        lines: Sequence[Line] = ()

        async def respond(self, request: Request, context: CallContext) -> Response:
            line, *rest = self.lines
            self.lines = rest or [line]
            if isinstance(line, str):
                content = [{"type": "output_text", "text": line}]
                return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})
            return Response({"output": [{"call_id": f"call_{n}_{len(rest)}", **item} for n, item in enumerate(line)]})

    return Script()


def judge_of(right: str, wrong: str) -> Any:
    """A judge that calls an answer right unless it is the wrong one that is tried."""
    from gym_core import CallContext, ModelBackend, Request, Response

    class Judge(ModelBackend):
        async def respond(self, request: Request, context: CallContext) -> Response:
            text = wrong if WRONG[0] in json.dumps(request.input, default=str) else right
            content = [{"type": "output_text", "text": text}]
            return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})

    return Judge()


def recorded(server: str) -> list[Sequence[Line]]:
    """What the models of the rollouts said that a server of NeMo Gym ships as examples, in turns."""
    package = importlib.util.find_spec("resources_servers")
    found = []
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder) / server / "data" / "example_rollouts.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            output = (json.loads(line).get("response") or {}).get("output") or ()
            if turns := list(_turns(output)):
                found.append([*turns, "Done."] if turns[-1][-1].get("type") == "function_call" else turns)
    return found[:RECORDED]


def _turns(output: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """What a model said, answer by answer: what a tool or somebody else said stands between."""
    for said, items in groupby(output, lambda item: item["type"] != "function_call_output" and _speaker(item)):
        if said:
            yield [{name: value for name, value in item.items() if value is not None} for item in items]


def _speaker(item: Mapping[str, Any]) -> bool:
    return item.get("role", "assistant") == "assistant"


def known(reference: str) -> list[Sequence[Line]]:
    """What is said to an id without looking at a row: what the rollouts said that a server of NeMo Gym ships."""
    scheme, _, name = reference.partition(":")
    return recorded(name) if scheme == "nemo" else []


def candidates(task: Mapping[str, Any], first: Sequence[Sequence[Line]] = ()) -> Iterator[tuple[str, Sequence[Line]]]:
    """Scripts to try with a task, each with how it was found, `recorded`, `answer` or `play`, as the catalogue says it.

    In this order: a wrong answer; the `first` ones, which are recorded; what follows from the row, worked out where its
    form is known, and the tool calls and values that it holds; its other values, and calls of its tools, which are
    plays; two more wrong answers.
    """
    yield "play", [WRONG[0]]
    yield from (("recorded", lines) for lines in first)
    if worked_out := answers(task):
        yield "answer", [line if isinstance(line, str) else [line] for line in worked_out]
    if tools := list(_tools(task)):
        yield "play", [tools, "Done."]
        yield "play", [*([call] for call in tools), "Done."]
    if calls := list(_calls(task)):
        yield "answer", [calls, "Done."]
        yield "answer", [*([call] for call in calls), "Done."]
    named, others = {}, {}
    for path, value in _values(task):
        (named if ANSWERS.search(path) else others)[value] = None
    for form in FORMS:
        for value in list(named)[:8]:
            yield "answer", [form.format(value)]
    for form in FORMS[:2]:
        for value in list(others)[:12]:
            yield "play", [form.format(value)]
    for wrong in WRONG[1:]:
        yield "play", [wrong]


def _tools(task: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A call of each tool that a task offers, with arguments of the right types."""
    request = task.get("responses_create_params") or {}
    text = json.dumps(request.get("input"), default=str)
    names = re.findall(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)*\b", text)
    values = {"string": names[-1] if names else "x", "integer": 1, "number": 1.0, "boolean": True}
    for tool in list(request.get("tools") or ())[:5]:
        fields = (tool.get("parameters") or {}).get("properties") or {}
        arguments = {name: values.get(about.get("type"), "x") for name, about in fields.items()}
        yield {"type": "function_call", "name": tool.get("name", ""), "arguments": json.dumps(arguments)}


def _calls(value: Any, depth: int = 5) -> Iterator[Mapping[str, Any]]:
    """The tool calls that a row holds outside its request."""
    if isinstance(value, Mapping) and depth:
        if isinstance(value.get("name"), str) and isinstance(arguments := value.get("arguments"), str | Mapping):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            yield {"type": "function_call", "name": value["name"], "arguments": text}
        else:
            for name, inner in value.items():
                if name not in ("responses_create_params", "tools"):
                    yield from _calls(inner, depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for inner in value:
            yield from _calls(inner, depth - 1)


def _values(value: Any, path: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            if name != "responses_create_params":
                yield from _values(inner, f"{path}.{name}", depth - 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, str(value)
    elif isinstance(value, list | tuple) and value and depth:
        if all(isinstance(inner, str | int | float) for inner in value):
            yield path, " ".join(map(str, value))
            yield path, ", ".join(map(str, value))
        yield path, json.dumps(value, default=str)
        for inner in value[:3]:
            yield from _values(inner, path, depth - 1)
