"""Each format is read by the class that it is for, from the package that was released, in a venv of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.false_zeros import IN_TRL, tried_in_trl
from gym_core.spi import run_command
from tests.support.foreign import ROOT, foreign_check, foreign_python
from tests.support.training import write_run

CHECKS = Path(__file__).parent / "foreign"
VERL = [
    *("accelerate", "aiohttp", "cachetools", "cloudpickle", "codetiming", "datasets", "dill", "fastapi", "httpx"),
    *("hydra-core", "msgspec", "numpy", "omegaconf", "orjson", "packaging", "pandas", "peft", "prometheus-client"),
    *("pyarrow", "pydantic", "pylatexenc", "ray", "tensorboard", "tensordict", "torch", "torchdata", "transformers"),
    *("uvicorn", "wandb"),
]
"""What the modules import that are looked at here; verl itself asks for a GPU's libraries besides."""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A run with breaks, a failure, cut rollouts and tools, in every format."""
    run = str(write_run(tmp_path / "run.jsonl", splits=True))
    for name in ("tokens", "trl", "verl", "verifiers", "openenv"):
        assert run_command(("export", "--format", name, run, "--output", str(tmp_path / f"{name}.jsonl"))) == 0
    for name in ("sft", "preference", "kto", "prompts"):
        assert run_command(("export", "--format", name, run, "--output", str(tmp_path / f"{name}.parquet"))) == 0
    return tmp_path


@pytest.mark.foreign
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "requirements", "alone"),
    [
        ("verifiers", ["verifiers"], []),
        ("openenv", ["openenv"], []),
        ("trl", ["trl"], []),
        ("verl", VERL, ["verl"]),
    ],
)
def test_its_own_class_reads_it(name: str, requirements: list[str], alone: list[str], exported: Path) -> None:
    python = foreign_python(name, requirements, alone)
    foreign_check(python, CHECKS / f"check_{name}.py", str(exported))


OURS = [ROOT, ROOT / "plugins" / "training", ROOT / "plugins" / "simple_agent"]
EDITABLE = [word for folder in OURS for word in ("-e", str(folder))]


@pytest.mark.foreign
@pytest.mark.timeout(1800)
def test_verls_workers_run_its_agent_loop(tmp_path: Path) -> None:
    python = foreign_python("verl-live", [*VERL, "TransferQueue", *EDITABLE], ["verl"])
    foreign_check(python, CHECKS / "check_verl_live.py", str(tmp_path))


@pytest.mark.foreign
@pytest.mark.timeout(1800)
def test_trl_trains_on_environments_of_gym(tmp_path: Path) -> None:
    python = foreign_python("trl-live", ["trl", *EDITABLE])
    foreign_check(python, CHECKS / "check_trl_environment.py", str(tmp_path))


@pytest.mark.foreign
@pytest.mark.timeout(1800)
def test_trl_learns_on_rollouts_of_an_open_gym(tmp_path: Path) -> None:
    python = foreign_python("trl-live", ["trl", *EDITABLE])
    foreign_check(python, CHECKS / "check_trl_live.py", str(tmp_path))


@pytest.mark.foreign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", IN_TRL)
def test_no_fault_becomes_a_reward_in_trls_own_loop(fault: str) -> None:
    python = foreign_python("trl-live", ["trl", *EDITABLE])
    found = tried_in_trl(fault, 40, python)
    assert found["before" if fault == "full disk" else "befell"] == 40
    assert (found["false"], found["shifted"]) == (0, 0)
    assert found["training"] == ("goes on" if fault != "full disk" else "stops with StoreError")
