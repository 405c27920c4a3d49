"""Environments by verifiers' own runner and by gym, in a venv of their own: the same requests, the same rewards."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.foreign import ROOT, foreign_python, record_parity

NEEDED = (".", "http1", "http", "isolated", "check", "nemo", "simple_agent", "verifiers")
HERE = [part for name in NEEDED for part in ("-e", str(ROOT / "plugins" / name if name != "." else ROOT))]
MODELS = [
    "-e",
    str(ROOT / "plugins" / "openai_model"),
]  # alone: verifiers 0.4 wants an openai before 3, the adapter a later
CLASSIC = ["pytest", "hypothesis", "verifiers>=0.3,<0.4", "reasoning-gym", "staros-stardata", "sophistry-bench-sprint"]
TASKSETS = ["pytest", "hypothesis", "verifiers[openenv]>=0.4,<0.5", "uv"]
FEWEST = 10


@pytest.mark.foreign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("venv", "packages", "script", "table"),
    [
        ("verifiers-parity", CLASSIC, "parity.py", "verifiers"),
        ("verifiers-tasksets", TASKSETS, "parity_tasksets.py", "verifiers.tasksets"),
    ],
)
def test_both_runners_ask_and_earn_the_same(venv: str, packages: list[str], script: str, table: str) -> None:
    python = foreign_python(venv, [*packages, *HERE], alone=MODELS)
    record_parity(python, Path(__file__).parent / "foreign" / script, table, FEWEST)


@pytest.mark.foreign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("venv", "packages"), [("verifiers-parity", CLASSIC), ("verifiers-tasksets", TASKSETS)])
def test_the_tests_that_need_verifiers_hold(venv: str, packages: list[str]) -> None:
    python = foreign_python(venv, [*packages, *HERE], alone=MODELS)
    alone = ["-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "ignore", "-o", "addopts=--import-mode=importlib"]
    tests = Path(__file__).parent / "test_verifiers.py"
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", *alone, str(tests)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
