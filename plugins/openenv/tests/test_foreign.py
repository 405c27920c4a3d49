"""OpenEnv as it was released, in a venv of its own with gym beside it: its own servers, its own client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python, record_parity

OURS = (".", *(f"plugins/{name}" for name in ("simple_agent", "check", "http", "http1", "nemo", "openenv")))
HERE = [part for name in OURS for part in ("-e", str(ROOT / name))]


FEWEST = 10


@pytest.mark.foreign
@pytest.mark.timeout(1800)
def test_environments_earn_what_its_own_client_earns(tmp_path: Path) -> None:
    python = foreign_python("openenv-live", ["openenv>=0.10", *HERE])
    script = Path(__file__).parent / "foreign" / "check_openenv.py"
    record_parity(python, script, "openenv", FEWEST, str(tmp_path))
