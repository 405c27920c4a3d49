"""From `gym new` to a run: a new environment is built, installed from its wheel, tested, audited and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gym_testing import FakeOpenAI, call

if TYPE_CHECKING:
    from tests.packaging.conftest import FreshEnv

NAME = "my_env"


@pytest.fixture(scope="module")
def project(fresh_env: Callable[..., FreshEnv], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a freshly installed `gym new` makes."""
    folder = tmp_path_factory.mktemp("new") / "gym-my-env"
    fresh_env("gym-check").run("gym", "new", "env", NAME, "--path", folder, "--license", "MIT")
    return folder


@pytest.fixture(scope="module")
def wheel(project: Path, build: Callable[[Path, Path], None]) -> Path:
    """Its wheel, by way of its sdist."""
    build(project, project / "dist")
    (wheel,) = (project / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def env(fresh_env: Callable[..., FreshEnv], wheel: Path) -> FreshEnv:
    """An environment with nothing but what users of the package would install."""
    return fresh_env("gym-my-env", "gym-check", "gym-simple-agent", "gym-openai-model", find_links=(wheel.parent,))


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of a process of the development environment that sees the wheel as installed."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    paths = [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUTF8": "1"}


def test_the_wheel_holds_the_package_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"gym_my_env/__init__.py", "gym_my_env/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests")]


def test_its_own_tests_pass_against_the_wheel(project: Path, installed: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(project / "tests")  # away from the folder, whose package would be found instead
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, "tests"],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_it_is_listed_and_passes_its_audit(env: FreshEnv) -> None:
    listed = json.loads(env.run("gym", "plugins", "list", "--json").stdout)
    assert ("resource_server", NAME, "gym-my-env") in {
        (row["kind"], row["name"], row["distribution"]) for row in listed
    }
    report = json.loads(env.run("gym", "check", NAME, "--json").stdout)
    assert report["sound"]
    assert report["findings"] == []
    assert report["tools"] == ["look_up"]


def test_it_runs_with_a_model_that_solves_it(env: FreshEnv, tmp_path: Path) -> None:
    look_up = [call("look_up", item="pen"), call("look_up", item="cup")]
    with FakeOpenAI(look_up, "3 pens and 2 cups cost 45 euros.") as server:
        env.run(
            *("gym", "run", "--model", "openai:any", "--env", NAME, "--limit", "1", "--output", tmp_path / "x.jsonl"),
            env={"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": server.base_url},
        )
    (row,) = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert (row["task_id"], row["reward"], row["rollout"]["status"]) == ("pens-and-cups", 1.0, "completed")


def test_it_runs_with_the_local_model(installed: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    arguments = ["--model", "local", "--env", NAME, "--limit", "2", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "gym_core", "run", *arguments, "-M", "max_output_tokens=16"],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert {row["task_id"] for row in rows} == {"pens-and-cups", "lamps-and-pens"}
    assert all(row["reward"] in (0.0, 1.0) for row in rows)
    assert all(row["response"]["output"] for row in rows)
