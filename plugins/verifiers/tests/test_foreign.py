"""Environments by verifiers' own runner and by gym, in a venv of their own: the same requests, the same rewards."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.foreign import CACHE, ROOT, foreign_python

NEEDED = (".", "http1", "http", "isolated", "check", "nemo", "openai_model", "simple_agent", "verifiers")
HERE = [part for name in NEEDED for part in ("-e", str(ROOT / "plugins" / name if name != "." else ROOT))]
OTHERS = ["verifiers>=0.3,<0.4", "reasoning-gym", "staros-stardata"]
FEWEST = 10


@pytest.mark.foreign
@pytest.mark.timeout(1800)
def test_both_runners_ask_and_earn_the_same() -> None:
    python = foreign_python("verifiers-parity", [*OTHERS, *HERE])
    script = Path(__file__).parent / "foreign" / "parity.py"
    variables = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([str(python), str(script)], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    folder = CACHE / "parity"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verifiers.json").write_text(json.dumps({**said, "date": f"{datetime.now(UTC):%Y-%m-%d}"}))
    different = [one for one in said["environments"] if not (one["same_requests"] and one["same_rewards"])]
    assert not different, f"{different}\n{done.stderr[-4000:]}"
    assert len(said["environments"]) >= FEWEST
