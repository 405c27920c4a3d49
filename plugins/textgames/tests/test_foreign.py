"""TextArena and GEM as they were released, in a venv of their own with gym beside them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python

HERE = [part for name in (".", "plugins/simple_agent", "plugins/textgames") for part in ("-e", str(ROOT / name))]


@pytest.mark.foreign
@pytest.mark.timeout(1200)
def test_games_earn_what_they_give() -> None:
    python = foreign_python("textgames", ["textarena>=0.7.4", "gem-llm>=0.1", *HERE])
    script = Path(__file__).parent / "foreign" / "check_games.py"
    done = subprocess.run([str(python), str(script)], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
