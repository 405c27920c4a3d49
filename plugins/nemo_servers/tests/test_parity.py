"""Resources servers of NeMo Gym, by its own agents and by gym: the same requests, the same rewards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.foreign
@pytest.mark.parametrize("ident", ["example_session_state_mgmt", "example_multi_turn_gymnasium", "xlam_fc"])
def test_a_server_is_asked_and_judges_as_by_its_own_agent(ident: str) -> None:
    script = ROOT / "scripts" / "nemo_parity.py"
    done = subprocess.run([sys.executable, str(script), ident], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
