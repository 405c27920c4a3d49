"""What a rollout leaves behind: model calls, a trajectory, a verdict, and one row that holds them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gym_core.domain.arguments import ArgumentError, parse_arguments
from gym_core.domain.responses import Item, Response, Usage, call_id_of, item_text, output_text
from gym_core.domain.stop_reasons import COMPLETED
from gym_core.domain.task import result_task_id
from gym_core.domain.tool_calls import answered_calls, with_unique_ids, written_places


class Status(StrEnum):
    """How a rollout ended. The first two have a reward and a row in the results, the others are failures."""

    COMPLETED = "completed"
    TRUNCATED = "truncated"
    MODEL_ERROR = "model_error"
    AGENT_ERROR = "agent_error"
    ENV_ERROR = "env_error"
    VERIFIER_ERROR = "verifier_error"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"

    @property
    def has_verdict(self) -> bool:
        """Whether the rollout was verified."""
        return self in (Status.COMPLETED, Status.TRUNCATED)


@dataclass(slots=True)
class ModelCall:
    """One request to a backend and its response, as recorded.

    `input` and `output` refer to the conversation of the rollout, which is the row's input followed by
    `response.output`: a pair `[start, stop]` is a stretch of it, an object is an item that is not part of it (a
    judge's prompt). `usage`: as the server sent it. `latency`: seconds of the successful attempt. `waited`: seconds for
    a slot and between attempts.
    """

    role: str
    actor: str
    input: list[list[int] | Item]
    output: list[list[int] | Item]
    usage: Mapping[str, Any] | None
    latency: float
    waited: float = 0.0
    attempts: int = 1
    params: Mapping[str, Any] | None = None
    response: Mapping[str, Any] = field(default_factory=dict)
    cost: float | None = None

    def to_wire(self) -> dict[str, Any]:
        """The call as it stands in a row."""
        wire: dict[str, Any] = {
            "role": self.role,
            "actor": self.actor,
            "input": self.input,
            "output": self.output,
            "usage": self.usage,
            "latency": round(self.latency, 6),
            "waited": round(self.waited, 6),
            "attempts": self.attempts,
            **self.response,
        }
        if self.params:
            wire["params"] = self.params
        if self.cost is not None:
            wire["cost"] = self.cost
        return wire


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call of the model and what answered it.

    `arguments`: the parsed object, empty for a call without arguments, or None where the model wrote no JSON object or
    one that nests too deeply. `output`: the text that answered, or None where nothing did. `call_id`: as the model
    wrote it; models repeat ids, so only the order of calls tells one from another.
    """

    name: str
    arguments: dict[str, Any] | None
    output: str | None
    call_id: str


class Trajectory:
    """Every item of a rollout in order, and what can be read from them.

    `input`: the items the task opened with. `items`: all that came after: what `setup` added, the model's output, tool
    outputs, replies of the environment. `stop_reason`: why the agent stopped.
    """

    __slots__ = ("input", "items", "model_calls", "stop_reason")

    def __init__(
        self,
        input: Sequence[Item],
        items: Sequence[Item],
        *,
        stop_reason: str = COMPLETED,
        model_calls: Sequence[ModelCall] = (),
    ) -> None:
        self.input = input
        self.items = items
        self.stop_reason = stop_reason
        self.model_calls = model_calls

    @property
    def output_text(self) -> str:
        """The final answer: the text of the assistant's last messages, empty when it ended with a tool call."""
        texts: list[str] = []
        for item in reversed(self.items):
            kind = item.get("type", "message")
            if kind in ("function_call", "function_call_output"):
                break
            if kind == "message":
                if item.get("role") == "assistant":
                    texts.append(item_text(item))
                elif texts:
                    break
        return "".join(reversed(texts))

    @property
    def calls(self) -> list[ToolCall]:
        """The model's function calls in order, each with its output."""
        items = self.items
        answers = {call: output for output, call in answered_calls(items, self._said()).items()}
        found: list[ToolCall] = []
        for place, item in enumerate(items):
            if item.get("type") == "function_call":
                try:
                    arguments = parse_arguments(item.get("arguments"))
                except ArgumentError:
                    arguments = None
                name = item.get("name")
                output = _text_of(items[answers[place]].get("output")) if place in answers else None
                found.append(ToolCall(name if isinstance(name, str) else "", arguments, output, call_id_of(item)))
        return found

    @property
    def unique_items(self) -> list[Item]:
        """The items with ids that tell calls apart, for readers who pair calls and outputs by id."""
        return with_unique_ids(self.items, self._said())

    def _said(self) -> set[int]:
        """The places of the items that the policy's model wrote, as far as it is known who wrote what."""
        start = len(self.input)
        outputs = (call.output for call in self.model_calls if call.role == "policy")
        places = written_places(outputs, start + len(self.items))
        return {place - start for place in places}

    @property
    def response(self) -> Response:
        """The whole trajectory as one response."""
        return Response({"object": "response", "output": list(self.items)})


def _text_of(output: Any) -> str | None:
    if output is None or isinstance(output, str):
        return output
    return output_text([{"type": "message", "content": output}])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says: a reward, its named components, and anything worth keeping.

    `reward`: finite, by convention within 0 and 1; like the components it becomes a plain float. `info` is kept as the
    JSON that `gym_core.encode_json` makes of it.
    """

    reward: float
    components: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


class Rollout:
    """One attempt at one task, as the row that is written for it, read through names.

    `source`: the line its task was read from, if it came from a file. `names_task`: whether the row says a `task_id`
    that the task's line does not.
    """

    __slots__ = ("names_task", "row", "source")

    def __init__(self, row: dict[str, Any], *, source: bytes | None = None, names_task: bool = False) -> None:
        self.row = row
        self.source = source
        self.names_task = names_task

    @property
    def account(self) -> dict[str, Any]:
        """The row, or as much of it as is counted."""
        return self.row

    def plain(self) -> Rollout:
        """A rollout whose row may be changed."""
        return self

    @property
    def task_id(self) -> str:
        """Which task it was."""
        return result_task_id(self.row)

    @property
    def repeat(self) -> int:
        """Which of the task's repeats, from 0."""
        return int(self._about.get("repeat", 0))

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the rollout within its run."""
        return self.task_id, self.repeat

    @property
    def status(self) -> Status:
        """How it ended."""
        return Status(self._about.get("status", Status.COMPLETED))

    @property
    def stop_detail(self) -> str:
        """What the agent said of its stop besides, if anything."""
        return self._about.get("stop_detail") or ""

    @property
    def stop_reason(self) -> str | None:
        """Why the agent stopped."""
        return self._about.get("stop_reason")

    @property
    def reward(self) -> float | None:
        """The reward; None for a failure, which is never a reward of 0."""
        return self.row.get("reward")

    @property
    def reward_components(self) -> Mapping[str, float]:
        """The named parts of the reward."""
        return self.row.get("reward_components") or {}

    @property
    def error(self) -> Mapping[str, Any] | None:
        """What failed: `class, message, phase, retryable, causes`."""
        return self._about.get("error")

    @property
    def response(self) -> Response:
        """All items of the trajectory as one response."""
        return Response(self.row.get("response") or {"output": []})

    @property
    def usage(self) -> Usage:
        """Tokens of all model calls, whatever their role."""
        return Usage.of(self._about.get("usage"))

    @property
    def info(self) -> Mapping[str, Any]:
        """What the verifier kept."""
        return self._about.get("info") or {}

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        """The model calls, see `ModelCall`."""
        return self._about.get("calls") or ()

    @property
    def _about(self) -> Mapping[str, Any]:
        about = self.row.get("rollout")
        return about if isinstance(about, Mapping) else {}

    def __repr__(self) -> str:
        return f"Rollout({self.task_id!r}, repeat={self.repeat}, status={self.status.value!r}, reward={self.reward})"
