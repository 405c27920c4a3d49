"""The suites check by `assert`, which an optimising Python leaves out: they must not pass for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
from gym_testing import ResourceServerConformance


class TestIt(ResourceServerConformance):
    reference = "simple_weather"
"""


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_a_suite_that_cannot_check_says_so(flag: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, flag, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_it.py"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "passed" not in done.stdout
    assert "run the tests without -O" in done.stdout + done.stderr
