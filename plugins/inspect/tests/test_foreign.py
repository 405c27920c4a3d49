"""Inspect's own evaluation and gym beside each other, on what of inspect_evals runs without a network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python

NEEDED = ("http", "http1", "inspect", "isolated", "nemo", "openai_model", "check")
HERE = [part for name in (".", *(f"plugins/{one}" for one in NEEDED)) for part in ("-e", str(ROOT / name))]
SCRIPT = Path(__file__).parent / "foreign" / "check_parity.py"
OTHER = "openai-api/standin/fake-model"
FILE = str(Path(__file__).parent / "asking.py")
PACKAGED = [
    *(f"inspect_evals/agent_threat_bench_{name}" for name in ("autonomy_hijack", "data_exfil", "memory_poison")),
    f'inspect_evals/agentic_misalignment {{"grader_model": "{OTHER}"}}',
    f'inspect_evals/writingbench {{"judge_model": "{OTHER}"}}',
]
WRITTEN = [f"{FILE}@{name}" for name in ("single", "tools", "turns", "choices", "components", "criticized", "reacting")]


@pytest.mark.foreign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", [*PACKAGED, *WRITTEN])
def test_inspect_alone_asks_the_same_and_scores_the_same(task: str) -> None:
    python = foreign_python("inspect", ["inspect_ai>=0.3.285,<0.4", "inspect-evals", *HERE])
    done = subprocess.run([str(python), str(SCRIPT), task], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["requests"] > 0
    assert found["same_requests"], (found["only_ours"], found["only_theirs"])
    assert found["same_scores"], (found["scores"], found["of_inspect"])
