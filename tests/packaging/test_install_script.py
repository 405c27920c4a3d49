"""`make install` on a machine that lacks something: one line that names it, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def run_script(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a directory of its own."""
    (directory / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "install.sh", directory / "scripts")
    shutil.copy(ROOT / "constraints.txt", directory)
    return subprocess.run(
        ["sh", "scripts/install.sh"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def refusal(directory: Path, **variables: str) -> str:
    """The one line with which the script refuses to begin."""
    done = run_script(directory, **variables)
    assert done.returncode == 1
    assert not (directory / ".venv").exists()
    (line,) = done.stderr.splitlines()
    return line


def hide(directory: Path, module: str) -> str:
    """A search path on which a module of the standard library cannot be imported."""
    directory.mkdir()
    (directory / f"{module}.py").write_text("raise ImportError\n")
    return str(directory)


def test_missing_ensurepip_names_the_system_package(tmp_path: Path) -> None:
    assert f"python{VERSION}-venv" in refusal(tmp_path, PYTHONPATH=hide(tmp_path / "hidden", "ensurepip"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux images leave libgomp out")
def test_missing_libgomp_names_the_system_package(tmp_path: Path) -> None:
    assert "libgomp1" in refusal(tmp_path, PYTHONPATH=hide(tmp_path / "hidden", "ctypes"))


def test_old_python_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    line = refusal(tmp_path, PYTHON=str(old))
    assert "3.11" in line
    assert str(old) in line


@pytest.mark.slow
def test_unreachable_index_leaves_no_half_made_environment(tmp_path: Path) -> None:
    done = run_script(tmp_path, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert done.returncode != 0
    assert "uv" in done.stderr
    assert not (tmp_path / ".venv").exists()
