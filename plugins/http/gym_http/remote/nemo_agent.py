"""`POST /run`, by which an agent of NeMo Gym, or one that gym serves, is given a task and answers with a result.

The body is the row, the answer the row with `response` and `reward` and whatever the verifier added. One that gym
serves adds `rollout`, which says more: the model calls, the stop reason, what the verifier kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gym_core import CompletedTask, ModelError, Response, TaskFailed, Trajectory
from gym_core.responses import StopReason, as_items
from gym_core.spi import REQUEST_FIELD
from gym_http.protocol.client import BROKEN, Reply
from gym_http.protocol.errors import RemoteError, WireError, error_from_wire
from gym_http.protocol.wire import trajectory_from_wire
from gym_nemo.foreign_verdict import NotMeasured, check_measured, read_verdict

_MODELS = frozenset({"model_error", "cancelled"})
"""The statuses of rollouts whose error may be that of a model call."""


def completed(row: Mapping[str, Any], reply: Reply) -> CompletedTask:
    """What an agent made of a row. Raises `RemoteError` where the answer is no result, `TaskFailed` for a failure."""
    result = reply.object()
    try:
        if "reward" not in result and isinstance(enveloped := result.get("result"), dict):  # since NeMo Gym 0.7
            check_measured(result, row)
            result = enveloped
        verdict = read_verdict(result, row)
    except NotMeasured as error:
        raise TaskFailed(f"{reply.where} {error.message}", phase=error.phase) from None
    response = result.get("response")
    if not isinstance(response, dict) or not _are_items(response.get("output")):
        raise _broken(reply, "a `response` with a list of items as `output`")
    about = result.get("rollout")
    about = about if isinstance(about, Mapping) else {}
    if isinstance(info := about.get("info"), Mapping):
        verdict = replace(verdict, info=dict(info))
    if isinstance(components := about.get("reward_components"), Mapping):
        verdict = replace(verdict, components=dict(components))
    said = Response(response)
    stop_reason = str(about.get("stop_reason") or said.stop_reason)
    if stop_reason == StopReason.COMPLETED and result.get("is_truncated") is True:
        stop_reason = StopReason.MAX_OUTPUT_TOKENS
    return CompletedTask(verdict, stop_reason, said, _trajectory(row, said, about, reply))


def failure(reply: Reply, error: Exception) -> Exception:
    """What an answer without a result stands for; `error`: what it is taken for where it says no more.

    An agent that gym serves says whose failure it was.
    """
    try:
        body = reply.json()
        about = body["row"]["rollout"]
        described, status = dict(about["error"]), about["status"]
        message, phase = str(described["message"]), str(described["phase"])
    except (RemoteError, KeyError, TypeError, ValueError):
        return error
    if status in _MODELS:
        modelled = error_from_wire(reply.status, {"error": described}, reply.where)
        if isinstance(modelled, ModelError):
            return modelled
    if status == "timed_out":
        return error_from_wire(reply.status, {"error": {**described, "code": "timeout"}}, reply.where)
    return TaskFailed(f"{reply.where}: {described.get('class')}: {message}", phase=phase)


def _trajectory(
    row: Mapping[str, Any], response: Response, about: Mapping[str, Any], reply: Reply
) -> Trajectory | None:
    if not about.get("model_calls"):
        return None
    wire = {
        "input": as_items(row[REQUEST_FIELD]["input"]),
        "items": response.output,
        "others": about.get("items"),
        **{name: about[name] for name in ("model_calls", "tool_calls") if name in about},
    }
    try:
        return trajectory_from_wire(wire, "rollout")
    except WireError as error:
        raise _broken(reply, f"a readable account of its model calls ({error})") from None


def _are_items(output: Any) -> bool:
    return isinstance(output, list) and all(isinstance(item, dict) for item in output)


def _broken(reply: Reply, wanted: str) -> RemoteError:
    return RemoteError(f"{reply.where} answered without {wanted}", code=BROKEN, status=reply.status)
