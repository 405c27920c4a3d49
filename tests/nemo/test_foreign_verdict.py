"""What verdicts of other programs say: a 0 that stands beside a failure is no reward."""

from __future__ import annotations

from typing import Any

import pytest

from gym_nemo.foreign_verdict import NotMeasured, check_measured, read_verdict, without_failure

ROW: dict[str, Any] = {"responses_create_params": {"input": "hi"}, "start": 3, "target": 10, "error": "of the task"}


def test_a_verdict_and_what_was_added_to_the_row() -> None:
    added = {"steps": 3, "target": 11, "mask_sample": False, "reward_components": {"exact": 1}}
    verdict = read_verdict({**ROW, "response": {}, "reward": 1, "_ng_task_index": 4, **added}, ROW)
    assert (verdict.reward, verdict.components) == (1.0, {"exact": 1})
    assert verdict.info == {"steps": 3, "target": 11}


FAILURES: dict[str, dict[str, Any]] = {
    "its class": {"_ng_failure_class": "judge_failed"},
    "its class, empty": {"_ng_failure_class": ""},
    "a class beside a mask of false": {"_ng_failure_class": "transient", "mask_sample": False},
    "no more than what the judge said": {"_ng_failure_judge_error": "HTTP 503"},
    "no more than a message": {"_ng_failure_message": "the container is gone"},
    "the mask": {"mask_sample": True},
    "the mask as a number": {"mask_sample": 1},
    "the mask as text": {"mask_sample": "true"},
    "the mask where trainers read it": {"instance_config": {"mask_sample": True}},
    "the kind alone": {"failure_kind": "judge_failed"},
    "the failure of an environment server": {"failure": {"failure_reason": "lost", "terminal": True}},
    "an error as text": {"error": "the judge timed out"},
    "an error as an object": {"error": {"message": "boom", "type": "server_error"}},
    "an error of the judge": {"judge_error": "timeout"},
    "an error of the infrastructure": {"infrastructure_error": True},
    "a response that failed": {"response": {"output": [], "status": "failed"}},
    "a response with an error": {"response": {"output": [], "error": {"code": "server_error", "message": "x"}}},
    "a rollout that failed": {"rollout": {"status": "env_error"}},
    "a rollout with an error": {"rollout": {"status": "completed", "error": {"class": "X", "message": "x"}}},
}


@pytest.mark.parametrize("said", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_a_failure_is_no_reward_wherever_it_is_said(said: dict[str, Any], reward: float) -> None:
    with pytest.raises(NotMeasured, match="could not measure this rollout"):
        read_verdict({**ROW, "reward": reward, **said}, ROW)


@pytest.mark.parametrize(
    "reward",
    [None, "1.0", True, float("nan"), float("inf"), 10**400, [1.0], {"value": 1.0}],
    ids=lambda reward: repr(reward)[:20],
)
def test_what_is_no_number_is_no_reward(reward: Any) -> None:
    with pytest.raises(NotMeasured, match="without a number as `reward`"):
        read_verdict({**ROW, "reward": reward}, ROW)
    with pytest.raises(NotMeasured):
        read_verdict(ROW, ROW)


@pytest.mark.parametrize(
    "said",
    [
        {"mask_sample": False, "failure_kind": "invalid_submission", "failure_reason": "no patch"},
        {"mask_sample": None, "failure_kind": None, "failure_reason": None, "judge_error": "", "error": "of the task"},
        {"instance_config": {"mask_sample": False}, "error": "the program did not compile"},
        {"instance_config": None, "response": {"output": [], "status": "incomplete", "error": None}},
        {"rollout": {"status": "truncated", "error": None}},
        {"failure_reason": "two of three tests failed"},
        {"error": 0.25, "failure": 3},
        {"error": {"code": 0, "message": ""}, "judge_error": {"message": None}},
        {"error": "No error", "verifier_error": "OK", "mask_sample": "no"},
    ],
)
def test_a_zero_that_was_measured_is_one(said: dict[str, Any]) -> None:
    assert read_verdict({**ROW, "reward": 0, **said}, ROW).reward == 0.0


def test_the_message_says_what_is_known_and_where() -> None:
    said = {"_ng_failure_class": "judge_failed", "failure_reason": "the judge is down", "failure_stage": "agent"}
    with pytest.raises(NotMeasured) as caught:
        read_verdict({**ROW, "reward": 0.0, **said}, ROW)
    assert caught.value.message == "could not measure this rollout: judge_failed: the judge is down"
    assert caught.value.phase == "agent"


def test_an_earlier_failure_is_not_sent_along() -> None:
    marked = {**ROW, "_ng_failure_class": "transient", "_ng_failure_terminal": False, "mask_sample": True}
    assert without_failure(marked) == ROW
    with pytest.raises(NotMeasured):  # that counts in a row, too, where nobody was asked
        check_measured(marked, marked)
