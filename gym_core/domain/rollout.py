"""What a rollout leaves behind: a trajectory, a verdict, and one row that holds all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gym_core.domain.arguments import ArgumentError, parse_arguments
from gym_core.domain.conversation import (
    MAIN,
    ModelCall,
    ToolRun,
    conversation_of,
    path_length,
    read_model_calls,
    shown_to,
)
from gym_core.domain.responses import Item, Response, Usage, as_items, call_id_of, item_text, output_text
from gym_core.domain.sequences import Breaks, TokenSequence, Tries, token_sequences
from gym_core.domain.stop_reasons import StopReason
from gym_core.domain.task import REQUEST_FIELD, result_task_id
from gym_core.domain.tool_calls import answered_calls, with_unique_ids


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


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call of a model and what answered it.

    `arguments`: the parsed object, empty for a call without arguments, or None where the model wrote no JSON object or
    one that nests too deeply. `output`: the text that answered, or None where nothing did. `call_id`: as the model
    wrote it; models repeat ids, so only the order of calls tells one from another. `actor`: who called. `error`: what
    was wrong with the call, by its kind, as far as it is known; None for nothing.
    """

    name: str
    arguments: dict[str, Any] | None
    output: str | None
    call_id: str
    actor: str = MAIN
    error: str | None = None


class Trajectory:
    """The main conversation of a rollout, and what can be read from it and from those of other actors.

    `input`: the items the task opened with. `items`: what came after: what the session said, by `setup`, tools and
    replies, and the answers of the model that the agent built on. `others`: all other items of the rollout, those of
    other actors among them. `stop_reason`: why the agent stopped. `model_calls`: of all actors, see `ModelCall`; their
    places count through `input`, `items` and `others`. `tool_runs`: the tool calls that were carried out, None where
    that is not known.
    """

    __slots__ = ("_places", "_whole", "actor", "input", "items", "model_calls", "others", "stop_reason", "tool_runs")

    def __init__(
        self,
        input: Sequence[Item],
        items: Sequence[Item],
        *,
        stop_reason: str = StopReason.COMPLETED,
        model_calls: Sequence[ModelCall] = (),
        tool_runs: Sequence[ToolRun] | None = None,
        others: Sequence[Item] = (),
    ) -> None:
        self.input = input
        self.items = items
        self.others = others
        self.stop_reason = stop_reason
        self.model_calls = model_calls
        self.tool_runs = tool_runs
        self.actor = MAIN
        self._whole: Sequence[Item] | None = None
        self._places: Sequence[int] | None = None

    def of(self, actor: str) -> Trajectory:
        """The conversation of another actor, read by the same rule; its `input` is what it was shown first.

        An actor that there was not has an empty one.
        """
        if actor == self.actor:
            return self
        calls, tools = self.model_calls, self.tool_runs or ()
        first = next((number for number, call in enumerate(calls) if call.actor == actor), None)
        places = conversation_of(calls, tools, actor)
        whole = self._all
        other = Trajectory(
            [] if first is None else [whole[place] for place in shown_to(calls, first)],
            [whole[place] for place in places],
            stop_reason=self.stop_reason if actor == MAIN else StopReason.COMPLETED,
            model_calls=calls,
            tool_runs=tools,
        )
        other.actor, other._whole, other._places = actor, whole, places
        return other

    @property
    def output_text(self) -> str:
        """The final answer: the text of the assistant's last messages, empty when it ended with a tool call."""
        texts: list[str] = []
        passed: list[int] = []
        for place, item in zip(reversed(self._numbers), reversed(self.items), strict=True):
            kind = item.get("type", "message")
            if kind in ("function_call", "function_call_output"):
                break
            if kind == "message":
                if item.get("role") == "assistant":
                    if passed and not self._beginnings.isdisjoint(passed):
                        break  # what stands before is another answer
                    texts.append(item_text(item))
                elif texts:
                    break
            if texts:
                passed.append(place)
        return "".join(reversed(texts))

    @property
    def _beginnings(self) -> set[int]:
        """Where answers begin that go on with nothing that was said before: not even a cut answer."""
        calls = self.model_calls
        return {
            call.gave[0][0]
            for call in calls
            if call.gave
            and call.actor == self.actor
            and (call.shown or call.continues is None or call.kept < path_length(calls[call.continues]))
        }

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The function calls of all actors in time order, each with its output; of `of(actor)` those of the actor.

        Calls that the main model wrote and nobody carried out are among them, without an output.
        """
        runs = self.tool_runs
        items, places = self.items, self._numbers
        written = [place for place, item in zip(places, items, strict=True) if item.get("type") == "function_call"]
        if runs is None:
            answers = {call: items[output].get("output") for output, call in self.answers.items()}
            start = len(self.input)
            return [self._tool_call(place, answers.get(place - start), MAIN, None) for place in written]
        whole, main = self._all, self.actor == MAIN
        done = {run.call for run in runs}
        found: list[ToolCall] = []
        waiting = [place for place in written if place not in done]
        waiting.reverse()
        for run in runs:
            if run.actor == self.actor:
                while waiting and waiting[-1] < run.call:
                    found.append(self._tool_call(waiting.pop(), None, run.actor, None))
            elif not main:
                continue
            found.append(self._tool_call(run.call, whole[run.output].get("output"), run.actor, run.error))
        found += [self._tool_call(place, None, self.actor, None) for place in reversed(waiting)]
        return found

    def _tool_call(self, place: int, output: Any, actor: str, error: str | None) -> ToolCall:
        item = self._all[place]
        try:
            arguments = parse_arguments(item.get("arguments"))
        except ArgumentError:
            arguments = None
        name = item.get("name")
        return ToolCall(
            name if isinstance(name, str) else "", arguments, _text_of(output), call_id_of(item), actor, error
        )

    @property
    def answers(self) -> dict[int, int]:
        """Which call each output answers: where both stand among the `items`."""
        if self.tool_runs is None:
            return answered_calls(self.items)
        at = {place: number for number, place in enumerate(self._numbers)}
        runs = [run for run in self.tool_runs if run.output in at]
        answers = {at[run.output]: at[run.call] for run in runs if run.call in at}
        if len(answers) < len(runs):  # the agent made calls up, or changed the model's
            unanswered = {number for number, item in enumerate(self.items) if item.get("type") == "function_call"}
            unanswered -= {*answers.values()}
            for run in runs:
                if run.call not in at:
                    call_id, output = call_id_of(self._all[run.call]), at[run.output]
                    same = [call for call in unanswered if call < output and call_id_of(self.items[call]) == call_id]
                    if same:
                        answers[output] = max(same)
                        unanswered.remove(max(same))
        return answers

    @property
    def unique_items(self) -> list[Item]:
        """The items with ids that tell calls apart, for readers who pair calls and outputs by id."""
        return with_unique_ids(self.items, self.answers)

    @property
    def _all(self) -> Sequence[Item]:
        """All items of the rollout by their places."""
        if self._whole is None:
            self._whole = [*self.input, *self.items, *self.others]
        return self._whole

    @property
    def _numbers(self) -> Sequence[int]:
        """The places of the `items`."""
        if self._places is None:
            start = len(self.input)
            return range(start, start + len(self.items))
        return self._places

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
    JSON that `gym_core.encode_json` makes of it. `rewards`: those of actors by their names, where there are several;
    `reward` is that of the policy's own. `metrics`: the environment's own numbers of this rollout by name, which are no
    part of a reward; their mean, least and highest stand in the summary.
    """

    reward: float
    components: Mapping[str, float] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    rewards: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        """As a JSON object; `rewards` and `metrics` only where there are any."""
        wire: dict[str, Any] = {
            "reward": self.reward,
            "components": dict(self.components),
            "info": dict(self.info),
        }
        if self.rewards:
            wire["rewards"] = dict(self.rewards)
        if self.metrics:
            wire["metrics"] = dict(self.metrics)
        return wire


class Rollout:
    """One attempt at one task, as the row that is written for it, read through names."""

    __slots__ = ("row",)

    def __init__(self, row: dict[str, Any]) -> None:
        self.row = row

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
    def rewards(self) -> Mapping[str, float]:
        """The rewards by actor, where the verifier gave several."""
        return self._about.get("rewards") or {}

    @property
    def metrics(self) -> Mapping[str, float]:
        """The environment's own numbers, where the verifier gave some."""
        return self._about.get("metrics") or {}

    @property
    def model_calls(self) -> Sequence[Mapping[str, Any]]:
        """The model calls of all actors as they stand in the row, see `ModelCall`."""
        return self._about.get("model_calls") or ()

    @property
    def tool_calls(self) -> Sequence[Mapping[str, Any]]:
        """The tool calls that were carried out, of all actors, as they stand in the row, see `ToolRun`."""
        return self._about.get("tool_calls") or ()

    @property
    def trajectory(self) -> Trajectory:
        """What the verifier was given."""
        about = self._about
        try:
            opening = as_items((self.row.get(REQUEST_FIELD) or {}).get("input"))
        except (ValueError, AttributeError):
            opening = []
        items, others = _items((self.row.get("response") or {}).get("output")), _items(about.get("items"))
        end = len(opening) + len(items) + len(others)
        runs = [ToolRun.of(wire, end) for wire in _items(about.get("tool_calls"))]
        return Trajectory(
            opening,
            items,
            stop_reason=self.stop_reason or "",
            model_calls=read_model_calls(_items(about.get("model_calls")), end),
            tool_runs=[run for run in runs if run is not None] if "tool_calls" in about else None,
            others=others,
        )

    def sequences(self, tries: Tries = "used", breaks: Breaks = "split") -> list[TokenSequence]:
        """The branches of the conversations of the actors with role policy, as tokens; see `TokenSequence`.

        Every token that was sampled for an answer that was used is trained in one of them, and once; those of tries
        that were given up only with `tries="all"`. Where a conversation went on from text that was encoded anew, what
        was sampled before is a sequence of its own; with `breaks="raise"` it is a `ValueError`. None where there are no
        tokens, see `-M tokens=true`; calls whose tokens cannot be used (`rollout.token_problems`) are in no sequence.
        """
        trajectory = self.trajectory
        return token_sequences(
            trajectory.model_calls,
            trajectory.tool_runs or (),
            self.reward,
            self.rewards,
            tries=tries,
            breaks=breaks,
        )

    @property
    def _about(self) -> Mapping[str, Any]:
        about = self.row.get("rollout")
        return about if isinstance(about, Mapping) else {}

    def __repr__(self) -> str:
        return f"Rollout({self.task_id!r}, repeat={self.repeat}, status={self.status.value!r}, reward={self.reward})"


def _items(value: Any) -> list[Item]:
    """A list of objects, whatever stands where one belongs: rows are files, which others may have written."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
