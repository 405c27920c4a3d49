"""Traces as OpenEnv reads them; runs where OpenEnv is installed."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from openenv.core.harness.training import TrainingTrace

folder = Path(sys.argv[1])
traces = [TrainingTrace.model_validate_json(line) for line in (folder / "openenv.jsonl").read_text().splitlines()]
assert len(traces) == 11
for trace in traces:
    for turn in trace.turns:
        assert turn.metadata["reward"] is not None
        assert sum(turn.loss_mask) == len(turn.completion_token_ids) == len(turn.per_token_logps)
print(json.dumps({"package": f"openenv {version('openenv')}", "ran": {"openenv": "`TrainingTrace`"}}))
