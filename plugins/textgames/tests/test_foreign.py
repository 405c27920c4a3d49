"""TextArena and GEM as they were released, in a venv of their own with gym beside them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python

HERE = [part for name in (".", "plugins/simple_agent", "plugins/textgames") for part in ("-e", str(ROOT / name))]
LIBRARIES = ["textarena>=0.7.4", "gem-llm>=0.1", "gymnasium[toy-text]>=1", "minigrid>=3"]


@pytest.mark.foreign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("check", ["check_games.py", "check_parity.py"])
def test_games_earn_what_they_give_also_without_gym(check: str) -> None:
    python = foreign_python("textgames", [*LIBRARIES, *HERE])
    script = Path(__file__).parent / "foreign" / check
    done = subprocess.run([str(python), str(script)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
