"""Traces as verifiers reads them; runs where verifiers is installed."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from verifiers.v1 import WireTrace

folder = Path(sys.argv[1])


def rows(name: str) -> list:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


samples: dict = {}
for row in rows("tokens.jsonl"):
    samples.setdefault((row["task_id"], row["repeat"]), []).append(row)
failed = cut = branches = 0
for row in rows("verifiers.jsonl"):
    trace = WireTrace.model_validate(row)
    gym = trace.info["gym"]
    expected = samples[gym["task_id"], gym["repeat"]]
    assert len(trace.branches) == len(expected)
    for branch, sample in zip(trace.branches, expected, strict=True):
        assert branch.token_ids == sample["ids"]
        assert branch.sampled_mask == [bool(one) for one in sample["mask"]]
        assert branch.logprobs == sample["logprobs"]
        branches += 1
    if gym["status"] in ("completed", "truncated"):
        assert trace.reward == expected[0]["reward"]
        assert trace.rewards["reward"] is not None
        assert not trace.has_error
    else:
        failed += 1
        assert trace.has_error
        assert trace.errors
        assert trace.rewards == {"reward": None}
    cut += trace.is_truncated
    assert trace.is_truncated == (gym["status"] == "truncated")
assert (failed, cut) == (1, 3)
assert branches
print(
    json.dumps(
        {"package": f"verifiers {version('verifiers')}", "ran": {"verifiers": "`verifiers.v1.WireTrace`, its branches"}}
    )
)
