"""A rollout as the row that is written for it.

Items get their places here, which they have in the row and for the verifier: the row's input, the main conversation,
all others. Whatever was recorded cites them by these. The tools and the sampling in force, which rows share, are found
once and cited by their hash.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from typing import Any

from gym_core.domain.conversation import (
    MAIN,
    ModelCall,
    Reply,
    Stretches,
    ToolRun,
    as_stretches,
    conversation_of,
    places_of,
)
from gym_core.domain.error_json import error_json
from gym_core.domain.json_text import JsonError, encode_json, plain_json, whole_text
from gym_core.domain.responses import Item
from gym_core.domain.rollout import Rollout, Status, Trajectory, Verdict
from gym_core.domain.sampling import ASKED, BACKEND_FIELDS
from gym_core.domain.sequences import token_account
from gym_core.domain.stop_reasons import TRUNCATING
from gym_core.domain.task import Task, id_text
from gym_core.domain.tokens import without_tokens
from gym_core.engine.rollout.failure import Failure
from gym_core.engine.rollout.recording import Recording
from gym_core.engine.storage.requests import Cited, SharedRequest
from gym_core.engine.storage.store import FreshRollout, as_fresh
from gym_core.engine.tasks.keys import DIGEST_SIZE

_LEVELS = 7
"""From a row down to a part of an item: a field, `items`, an item, its fields, their parts, and what those hold."""
_SHOWN = 2000
_NOT_IN_FORCE = ASKED | BACKEND_FIELDS | {"metadata", "prompt_cache_key", "safety_identifier", "user"}
"""Fields of requests that say what is asked, or only whose it is: not what tools there are, nor how it is sampled."""


@dataclass(slots=True)  # two per rollout: frozen ones take three times as long to make
class Placed:
    """A recording as it stands in a row: `output` and `others` after the input, and calls that cite their places."""

    output: Sequence[Item]
    others: Sequence[Item]
    model_calls: Sequence[ModelCall]
    tool_runs: Sequence[ToolRun]
    replies: Sequence[Reply]


def with_places(recording: Recording) -> Placed:
    """All of it by places: the main conversation follows the input, and all other items follow that."""
    begin, items = recording.input, recording.items
    if recording.tokens is not None:  # they stand with the calls, and nowhere else
        items = [*map(without_tokens, items)]
    if recording.plain:
        return Placed(items[begin:], (), recording.model_calls, recording.tool_runs, recording.replies)
    output = recording.output
    if output is None:
        output = sorted(_main_conversation(recording))
    main = {*output}
    others = [number for number in range(begin, len(items)) if number not in main]
    places = [*range(len(items))]
    for place, number in enumerate(chain(output, others), begin):
        places[number] = place

    def moved(stretches: Stretches) -> Stretches:
        return as_stretches(map(places.__getitem__, places_of(stretches)))

    return Placed(
        [items[number] for number in output],
        [items[number] for number in others],
        [replace(call, shown=moved(call.shown), gave=moved(call.gave)) for call in recording.model_calls],
        [replace(run, call=places[run.call], output=places[run.output]) for run in recording.tool_runs],
        [replace(reply, gave=moved(reply.gave)) for reply in recording.replies],
    )


def _main_conversation(recording: Recording) -> set[int]:
    """The numbers of what the session said to the main actor, and of its answers that stand."""
    main = {*range(recording.opened_at, recording.opened_at + recording.opening)}
    main.update(conversation_of(recording.model_calls, recording.tool_runs, MAIN))
    for reply in recording.replies:
        main.update(places_of(reply.gave))
    return main


def trajectory(recording: Recording, stop_reason: str) -> Trajectory:
    """What the verifier is given."""
    placed = with_places(recording)
    return Trajectory(
        recording.items[: recording.input],
        placed.output,
        stop_reason=stop_reason,
        model_calls=tuple(placed.model_calls),
        tool_runs=tuple(placed.tool_runs),
        others=placed.others,
    )


def response_of(recording: Recording, output: Sequence[Item], usage: Mapping[str, Any]) -> dict[str, Any]:
    """The last response with the whole trajectory as its output. `usage`: the policy's tokens added up."""
    body: Mapping[str, Any] = recording.last.body if recording.last is not None else {"object": "response"}
    return {**body, "output": output, "usage": usage}


def build_row(
    *,
    task: Task,
    repeat: int,
    attempt: int,
    seed: int,
    run_id: str,
    said: Mapping[str, Any],
    recording: Recording,
    tools: tuple[int, Mapping[str, int]],
    seconds: float,
    verify_seconds: float | None,
    unreported: Mapping[str, Any] | None,
    stop_reason: str | None,
    verdict: Verdict | None,
    failure: Failure | None,
    cited: Cited,
) -> Rollout:
    """The task's row with what the rollout adds: `response, reward, reward_components, rollout`.

    `said`: what the row says of model, env and agent. `tools`: how many tool calls there were, and how many of them
    were answered with an error, by its kind. `verify_seconds`: None where the verifier was not asked. `unreported`:
    model calls that may have spent something. `cited`: the tools and sampling in force.
    """
    if failure is not None:
        status, stop_reason = failure.status, failure.stop_reason
    else:
        status = Status.TRUNCATED if stop_reason in TRUNCATING else Status.COMPLETED
    cost: float | None = None
    latency = waited = 0.0
    measured = False
    placed = with_places(recording)
    usage = recording.policy_usage.to_wire()
    model_calls: list[dict[str, Any]] = []
    for call in placed.model_calls:
        model_calls.append(call.to_wire())
        latency += call.latency
        waited += call.waited
        if call.cost is not None:
            cost = (cost or 0.0) + call.cost
        if call.tokens is not None:
            measured = True
    about: dict[str, Any] = {
        "run_id": run_id,
        "task_index": task.index,
        "repeat": repeat,
        "attempt": attempt,
        "status": status.value,
        "stop_reason": stop_reason,
        "info": verdict.info if verdict is not None else {},
        "error": failure.error if failure is not None else None,
        "usage": recording.usage.to_wire() if recording.others else usage,
        "cost": cost,
        "timing": {
            "finished_at": round(time.time(), 3),
            "seconds": round(seconds, 6),
            "verify_seconds": round(verify_seconds, 6) if verify_seconds is not None else None,
            "model_seconds": round(latency, 6),
            "waited_seconds": round(waited, 6),
        },
        "model_calls": model_calls,
        "tool_calls": [run.to_wire() for run in placed.tool_runs],
    }
    # What most rollouts have none of stands where the long parts of a row do, which few readers need.
    if placed.replies:
        about["replies"] = [reply.to_wire() for reply in placed.replies]
    if recording.opening:
        about["opening"] = recording.opening
    if placed.others:
        about["items"] = placed.others
    about["tools"] = {"calls": tools[0], "errors": tools[1]}
    about["seed"] = seed
    about |= said
    if cited:
        about["request"] = cited[0].hash
    if unreported is not None:
        about["unreported"] = unreported
    if verdict is not None and verdict.rewards:
        about["rewards"] = verdict.rewards
    if verdict is not None and verdict.metrics:
        about["metrics"] = verdict.metrics
    if measured:
        about.update(token_account(placed.model_calls))
    row = dict(task.row)
    names_task = "task_id" not in row
    if names_task:
        row["task_id"] = task.task_id
    elif row["task_id"] != task.task_id and id_text(row["task_id"]) != task.task_id:
        about["task_id"] = task.task_id  # the row's own stays as it is
    row["response"] = response_of(recording, placed.output, usage)
    row["reward"] = verdict.reward if verdict is not None else None
    row["reward_components"] = verdict.components if verdict is not None else {}
    row["rollout"] = about
    return FreshRollout(row, source=task.source, names_task=names_task, cited=cited)


class SharedRequests:
    """Finds what a request shares with others. `over`: what the policy's backend sets in each of its requests."""

    def __init__(self, over: Mapping[str, Any]) -> None:
        self._over = over
        self._last: dict[str, Any] | None = None
        self._cited: Cited = ()

    def of(self, body: Mapping[str, Any]) -> Cited:
        """What the row of a rollout with this request cites: the same object for requests that share it in a row."""
        asked = {name: value for name, value in body.items() if name not in _NOT_IN_FORCE}
        if asked != self._last:  # dictionaries of the same objects, mostly: nothing is hashed or encoded for a rollout
            self._cited = self._shared(asked)
            self._last = asked
        return self._cited

    def _shared(self, asked: Mapping[str, Any]) -> Cited:
        sampling = {**asked}
        tools = sampling.pop("tools", None) or []
        for name, value in self._over.items():
            known = sampling.get(name)
            both = isinstance(known, Mapping) and isinstance(value, Mapping)
            sampling[name] = {**known, **value} if both else value  # type: ignore[dict-item]
        fields = {"tools": tools, "sampling": sampling}
        try:
            digest = blake2b(encode_json(fields), digest_size=DIGEST_SIZE).hexdigest()
        except JsonError:  # no model was asked that: there is nothing to cite
            return ()
        return (SharedRequest(digest, fields),)


def unwritable(rollout: Rollout, error: JsonError) -> FreshRollout:
    """A rollout that cannot be written as JSON, as a failure that can: what does not fit stands as text."""
    row: dict[str, Any] = _writable(rollout.row, 0)
    row["reward"], row["reward_components"] = None, {}
    row["rollout"]["status"] = Status.ENV_ERROR.value
    row["rollout"]["error"] = error_json(error, "row", retryable=False)
    return as_fresh(rollout).with_row(row)


def _writable(value: Any, level: int) -> Any:
    """The value as plain JSON, so many levels down in a row. What has none is told apart above, and is text below."""
    nested = value
    for _ in range(level):  # what can be written by itself may be too deep in its place
        nested = [nested]
    try:
        plain = plain_json(nested)
    except Exception:  # whatever the value's own code raises
        if level < _LEVELS and isinstance(value, dict):
            return {_name(name): _writable(inner, level + 1) for name, inner in value.items()}
        if level < _LEVELS and isinstance(value, list | tuple):
            return [_writable(inner, level + 1) for inner in value]
        return _shown(value)
    for _ in range(level):
        plain = plain[0]
    return plain


def _name(name: Any) -> str:
    return whole_text(name) if isinstance(name, str) else _shown(name)


def _shown(value: Any) -> str:
    try:
        return whole_text(repr(value))[:_SHOWN]
    except Exception:
        return type(value).__name__
