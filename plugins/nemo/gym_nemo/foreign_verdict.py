"""What the verdict of another program says: a reward, or that there is none.

Servers say in many places that they could not measure a rollout, and put a reward of 0 beside it because their own
format wants a number there. That 0 is no reward. All who are given a verdict over HTTP ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_core import GymError, Status, Verdict
from gym_core.spi import RESULT_FIELDS, is_number

_FAILURE_PREFIX = "_ng_failure_"
_MASK = "mask_sample"
_CLASS = f"{_FAILURE_PREFIX}class"

_WORDS = {
    "failure": "agent",  # the answer of an environment server of NeMo Gym 0.7 is a result or a failure
    "failure_kind": "verify",  # NeMo Gym 0.7: beside `mask_sample`
    "infrastructure_error": "agent",  # NeMo Gym's terminal and desktop benchmarks
    "judge_error": "verify",  # NeMo Gym's judges
    "verifier_error": "verify",
    "error": "agent",  # verifiers' rollouts; an error body under a status of success
}
"""Fields that say, where they hold anything, what went wrong, and the phase it happened in.

`"mask_sample": false` beside them says that the rollout was measured all the same: a policy's own fault, say. A number
under such a name is a measure, of how far off an answer is, say.
"""
_REASONS = ("failure_reason", f"{_FAILURE_PREFIX}message", f"{_FAILURE_PREFIX}judge_error", "detail", "message")
_STAGES = {"seed": "setup", "seed_session": "setup", "setup": "setup", "model": "model", "agent": "agent"}
_LEFT_OUT = frozenset({*RESULT_FIELDS, "responses_create_params", _MASK, "_ng_task_index", "_ng_rollout_index"})
_SAYS_NONE = frozenset({"", "0", "false", "no", "none", "no error", "n/a", "null", "ok"})
_SHOWN = 300


class NotMeasured(GymError):
    """A verdict without a reward; the message continues a sentence that begins with who gave it.

    `phase`: where it failed there, as far as it is known: `setup`, `model`, `agent` or `verify`.
    """

    exit_code = 1

    def __init__(self, message: str, phase: str = "verify") -> None:
        super().__init__(message)
        self.phase = phase


def read_verdict(answer: Mapping[str, Any], row: Mapping[str, Any]) -> Verdict:
    """The verdict in an answer of NeMo Gym's form: `reward`, `reward_components`, and what else was added to the `row`.

    Raises `NotMeasured` where the answer says in any of the known places that there is no reward.
    """
    check_measured(answer, row)
    reward = answer.get("reward")
    if not is_number(reward):
        shown = "" if reward is None else f", but {str(reward)[:_SHOWN]!r}"
        raise NotMeasured(f"answered without a number as `reward`{shown}", "agent")
    components = answer.get("reward_components")
    info = {
        name: value
        for name, value in answer.items()
        if name not in _LEFT_OUT and not (name in row and row[name] == value)
    }
    return Verdict(float(reward), dict(components) if isinstance(components, Mapping) else {}, info)


def check_measured(answer: Mapping[str, Any], row: Mapping[str, Any] | None = None) -> None:
    """Raise `NotMeasured` where an answer says that it holds no verdict, whatever stands there as a reward.

    `row`: what was asked about. Of the fields that stand there already, only a mark that NeMo Gym or gym itself makes
    counts; without it none is taken to stand there.
    """
    row = row or {}
    config = answer.get("instance_config")  # NeMo RL reads the mask there
    masks = [where[_MASK] for where in (answer, config) if isinstance(where, Mapping) and _MASK in where]
    phase = _STAGES.get(str(answer.get("failure_stage") or answer.get(f"{_FAILURE_PREFIX}stage")), "verify")
    # 0.5 says no more than this, and 0.7 sorts by it what is a failure
    failure_class = answer.get(_CLASS)
    if (
        failure_class is not None
        or any(map(_is_said, masks))
        or any(name.startswith(_FAILURE_PREFIX) and _is_said(value) for name, value in answer.items())
    ):
        raise NotMeasured(_because(answer, failure_class or answer.get("failure_kind")), phase)
    _check_rollout(answer.get("rollout"))
    _check_response(answer.get("response"), row.get("response"))
    if masks and answer.get("reward") is not None:
        return
    for name, where in _WORDS.items():
        value = answer.get(name)
        if _is_said(value) and not is_number(value) and not (name in row and row[name] == value):
            raise NotMeasured(_because(answer, value), where)


def without_failure(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what an earlier attempt's failure left in it, which a server would only repeat."""
    return {name: value for name, value in row.items() if name != _MASK and not name.startswith(_FAILURE_PREFIX)}


def _check_rollout(about: Any) -> None:
    """What a row of gym, of any version, says of how its rollout ended."""
    if not isinstance(about, Mapping):
        return
    error, status = about.get("error"), about.get("status")
    if error or (isinstance(status, str) and status not in (Status.COMPLETED, Status.TRUNCATED)):
        raise NotMeasured(_because({}, error or status), "agent")


def _check_response(response: Any, sent: Any) -> None:
    if not isinstance(response, Mapping) or response is sent or response == sent:
        return
    error, status = response.get("error"), response.get("status")
    if error or status in ("failed", "cancelled"):
        raise NotMeasured(_because({}, error or f"its response has the status `{status}`"), "agent")


def _is_said(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_said, value.values()))
    return bool(value) and str(value).strip().lower() not in _SAYS_NONE


def _because(answer: Mapping[str, Any], kind: Any) -> str:
    parts = [_text(kind), *(_text(answer.get(name)) for name in _REASONS)]
    said = ": ".join(dict.fromkeys(part for part in parts if part))
    return f"could not measure this rollout: {said or 'it gives no reason'}"[: 2 * _SHOWN]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        words = (value.get(name) for name in ("class", "failure_kind", "type", "code", "failure_reason", "message"))
        return ": ".join(str(word) for word in words if word) or str(dict(value))[:_SHOWN]
    return str(value)[:_SHOWN] if _is_said(value) else ""
