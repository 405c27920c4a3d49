"""Policies that do not work on the task. A verifier that rewards one of them fully rewards no work."""

from __future__ import annotations

import json
import random
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gym_check.audit.strings import strings_of
from gym_core import (
    CallContext,
    ComponentContext,
    Item,
    ModelBackend,
    Request,
    Response,
    Task,
    encode_json,
)
from gym_core.spi import REQUEST_FIELD
from gym_testing.checks.prompts import prompt_of, texts
from gym_testing.checks.tool_schemas import arguments_for

MOST_VALUES = 12
"""So many values of a row are tried as its answer."""

_JUNK = "aeiou bcdfg 0123456789 \n\t{}[]()<>\"'`\\/|%$#@!?;:,. äßéñ 漢字 🙂"


class Policy(ModelBackend):
    """A model that follows a script. `does`: what, in words that follow "a policy that"."""

    name: str
    does: str

    def __init__(self) -> None:
        super().__init__(context=ComponentContext(name=self.name))
        self.prompts: dict[str, str] = {}
        self.tools: dict[str, list[dict[str, Any]]] = {}

    async def respond(self, request: Request, context: CallContext) -> Response:
        """What the script says; the first request of each task is kept."""
        task_id = context.key[0]
        if task_id not in self.prompts:
            self.prompts[task_id] = prompt_of(request)
            self.tools[task_id] = request.tools
        return Response({"object": "response", "status": "completed", "output": self.output(request, context)})

    def output(self, request: Request, context: CallContext) -> list[Item]:
        """The output items."""
        return _message(self.text(request, context))

    @abstractmethod
    def text(self, request: Request, context: CallContext) -> str:
        """What the model says."""


class Null(Policy):
    """Says nothing."""

    name = "null"
    does = "says nothing"

    def text(self, request: Request, context: CallContext) -> str:
        """No text."""
        return ""


class Garbage(Policy):
    """Says what means nothing."""

    name = "garbage"
    does = "says random characters"

    def text(self, request: Request, context: CallContext) -> str:
        """Random characters, the same for the same rollout."""
        rng = random.Random(f"{context.key}")
        return "".join(rng.choices(_JUNK, k=rng.randint(20, 400)))


class Parrot(Policy):
    """Says what it was told."""

    name = "parrot"
    does = "repeats the prompt"

    def text(self, request: Request, context: CallContext) -> str:
        """The messages of the conversation, the model's own left out."""
        return "\n".join(texts(item for item in request.input if item.get("role") != "assistant"))


class Refuse(Policy):
    """Will not do it."""

    name = "refuse"
    does = "refuses"

    def text(self, request: Request, context: CallContext) -> str:
        """A refusal as models write it."""
        return "I'm sorry, but I can't help with that."


class CallEverything(Policy):
    """Calls every tool once and says what they returned."""

    name = "call-everything"
    does = "calls every tool once, with arguments made from its schema, and answers with what they return"

    def output(self, request: Request, context: CallContext) -> list[Item]:
        """Calls at first, then an answer."""
        tools = [tool for tool in request.tools if tool.get("type", "function") == "function"]
        if any(item.get("type") == "function_call_output" for item in request.input) or not tools:
            return _message(self.text(request, context))
        return [
            {
                "type": "function_call",
                "call_id": f"call_{number}",
                "name": str(tool.get("name", "")),
                "arguments": json.dumps(arguments_for(tool)),
                "status": "completed",
            }
            for number, tool in enumerate(tools)
        ]

    def text(self, request: Request, context: CallContext) -> str:
        """The outputs of the tools, a line each."""
        outputs = (item.get("output") for item in request.input if item.get("type") == "function_call_output")
        return "\n".join(output if isinstance(output, str) else json.dumps(output) for output in outputs)


class Leak(Policy):
    """Answers with strings of the prompt. `plan`: by task, for each repeat the places to take its answer from.

    A place of several is one that the prompt of this rollout has: an opening observation may differ between repeats.
    """

    name = "leak"
    does = "answers with a string that stands in the prompt"

    def __init__(self, plan: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._plan = plan

    def text(self, request: Request, context: CallContext) -> str:
        """The string at this repeat's place."""
        task_id, repeat = context.key
        places = self._plan.get(task_id, ())
        return strings_of(prompt_of(request)).get(places[repeat], "") if repeat < len(places) else ""


class Row(Policy):
    """Answers with what the rows of tasks hold besides their requests, one value for each repeat, as a solver might."""

    name = "row"
    does = "answers with the values of the task's row"

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self._values = {task.task_id: list(_values(task))[:MOST_VALUES] for task in tasks}
        self.repeats = max([1, *map(len, self._values.values())])

    def text(self, request: Request, context: CallContext) -> str:
        """The value."""
        task_id, repeat = context.key
        values = self._values.get(task_id, ())
        return values[repeat] if repeat < len(values) else ""


def _values(task: Task) -> Iterator[str]:
    waiting = [value for name, value in task.row.items() if name not in (REQUEST_FIELD, "task_id")]
    for value in waiting:  # which grows
        if isinstance(value, dict | list | tuple):
            waiting += value.values() if isinstance(value, dict) else value
        elif value is not None:
            yield value if isinstance(value, str) else encode_json(value, fallback=str).decode()


SIMPLE: tuple[type[Policy], ...] = (Null, Garbage, Parrot, Refuse, CallEverything)


def _message(text: str) -> list[Item]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return [{"type": "message", "role": "assistant", "status": "completed", "content": content}]
