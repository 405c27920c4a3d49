"""The tests of this example beside a torch that is installed elsewhere."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python

RUN = """
import site, sys
site.addsitedir(sys.argv[1])
import pytest
sys.exit(pytest.main([sys.argv[2], "-q", "-p", "no:cacheprovider", "-m", "not slow"]))
"""


@pytest.mark.foreign
@pytest.mark.timeout(1200)
def test_it_trains_where_torch_is() -> None:
    python = foreign_python("trl", ["trl"])  # which brings torch
    command = [str(python), "-c", RUN, sysconfig.get_paths()["purelib"], str(Path(__file__).with_name("test_grpo.py"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "skipped" not in done.stdout
