from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gym_testing import IsolatedPlugins

if TYPE_CHECKING:
    from tests.cli.conftest import Gym

ROOT = Path(__file__).parents[2]
KINDS = ("env", "model", "agent")
GROUPS = {"env": "gym.resource_servers", "model": "gym.models", "agent": "gym.agents"}
LONG = "a_rather_long.name-with_all_of_the_signs"


def run(folder: Path, *command: str, expect: int = 0) -> str:
    """A development tool on the package, which is importable as if it had been installed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == expect, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IsolatedPlugins:
    return IsolatedPlugins(tmp_path / "site", monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_written(gym: Gym, kind: str) -> None:
    result = gym("new", kind, "my_thing")
    assert (result.status, result.err) == (0, "")
    files = {path.relative_to("gym-my-thing").as_posix() for path in Path("gym-my-thing").rglob("*") if path.is_file()}
    assert files == {
        ".github/workflows/ci.yml",
        ".gitignore",
        "README.md",
        "gym_my_thing/__init__.py",
        "gym_my_thing/py.typed",
        "pyproject.toml",
        "tests/test_gym_my_thing.py",
    }
    project = tomllib.loads(Path("gym-my-thing/pyproject.toml").read_text())["project"]
    assert project["name"] == "gym-my-thing"
    assert project["entry-points"] == {GROUPS[kind]: {"my_thing": "gym_my_thing"}}
    assert "license" not in project
    assert "cd gym-my-thing" in result.out
    assert "--" + kind in result.out
    assert "no licence" in result.out


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_is_short(gym: Gym, kind: str) -> None:
    gym("new", kind, "my_thing")
    assert len(Path("gym-my-thing/gym_my_thing/__init__.py").read_text().splitlines()) < 40


@pytest.mark.slow
def test_packages_pass_linter_and_type_checker(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short names and long ones, all of them unlike, so that one type checker can look at all packages."""
    checked = []
    for sign, kind in zip("abc", KINDS, strict=True):
        for name in (f"{sign}t", LONG.replace("a", sign, 1)):
            made = Path(f"{kind}-{name}")
            gym("new", kind, name, "--path", str(made))
            (package,) = made.glob("gym_*")
            checked += [str(package.absolute()), str(made.absolute() / "tests")]
    settings = [Path(made).with_name("pyproject.toml").read_text().partition("[tool.mypy]")[2] for made in checked]
    assert set(settings) == {"\nstrict = true\n"}
    run(Path(), "ruff", "check", "--no-cache", ".")
    run(Path(), "ruff", "format", "--no-cache", "--check", ".")
    # where `make lint` has looked at gym itself, and left what it knows
    monkeypatch.setenv("MYPYPATH", os.pathsep.join(str(Path(made).parent) for made in checked))
    run(ROOT, "mypy", "--strict", *checked)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "agent"])  # an environment's: `tests/packaging/test_new_package.py`
def test_the_package_passes_its_own_tests(gym: Gym, plugins: IsolatedPlugins, kind: str) -> None:
    gym("new", kind, "my_thing")
    plugins.install("gym-my-thing")
    assert " passed" in run(Path("gym-my-thing"), "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_found_and_sound(gym: Gym, plugins: IsolatedPlugins, kind: str) -> None:
    name = f"A.found-{kind}_2"
    gym("new", kind, name)
    plugins.install(next(Path().glob("gym-*")))
    assert name in gym("plugins", "list").out
    result = gym("plugins", "check")
    assert (result.status, "none broken" in result.err) == (0, True)


def test_a_new_environment_passes_its_audit(gym: Gym, plugins: IsolatedPlugins) -> None:
    gym("new", "env", "audited_env")
    plugins.install("gym-audited-env")
    result = gym("check", "audited_env")
    assert result.status == 0, result.out
    assert "sound: 0 errors, 0 warnings" in result.out


def test_a_new_model_and_a_new_agent_run_a_new_environment(gym: Gym, plugins: IsolatedPlugins) -> None:
    for kind in KINDS:
        gym("new", kind, f"run_{kind}")
        plugins.install(f"gym-run-{kind}")
    result = gym("run", "--model", "run_model:45", "--env", "run_env", "--agent", "run_agent", "--output", "x.jsonl")
    assert result.status == 0, result.err
    assert len(Path("x.jsonl").read_text().splitlines()) == 4
    assert Path("x.jsonl").read_text().count('"reward":1.0') == 1


@pytest.mark.parametrize("license", ["Apache-2.0", "MIT"])
def test_a_licence_can_be_chosen(gym: Gym, license: str) -> None:
    result = gym("new", "env", "my_thing", "--license", license)
    project = tomllib.loads(Path("gym-my-thing/pyproject.toml").read_text())["project"]
    assert project["license"] == license
    assert license.partition("-")[0] in Path("gym-my-thing/LICENSE").read_text()
    assert "$" not in Path("gym-my-thing/LICENSE").read_text()
    assert "no licence" not in result.out


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "no name for a plugin"),
        ("1st", "no name for a plugin"),
        ("my env", "no name for a plugin"),
        ("my__env", "no name for a plugin"),
        ("env_", "no name for a plugin"),
        ("../env", "no name for a plugin"),
        ("dist/env", "no name for a plugin"),
        ("env:x", "no name for a plugin"),
        ("ümlaut", "no name for a plugin"),
        ("env\n", "no name for a plugin"),
        ("x" * 41, "too long"),
        ("class", "reserved"),
        ("match", "reserved"),
        ("True", "reserved"),
        ("gym", "reserved"),
        ("json", "standard library"),
        ("gym_thing", "write thing"),
        ("gym-thing", "write thing"),
        ("core", "`gym_core` is installed already"),
        ("simple-weather", "`gym_simple_weather` is installed already"),
    ],
)
def test_a_bad_name_is_refused(gym: Gym, name: str, problem: str) -> None:
    result = gym("new", "env", name)
    assert result.status == 2
    assert problem in result.err
    assert "Traceback" not in result.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_exists_is_left_alone(gym: Gym, there: str) -> None:
    path = Path("gym-my-thing")
    if there == "folder":
        path.mkdir()
        (path / "README.md").write_text("mine")
    elif there == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    result = gym("new", "env", "my_thing")
    assert result.status == 2
    assert "gym-my-thing is there already" in result.err
    assert [entry.name for entry in Path().iterdir()] == ["gym-my-thing"]
    if there == "folder":
        assert [entry.name for entry in path.iterdir()] == ["README.md"]
        assert (path / "README.md").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error(gym: Gym) -> None:
    Path("file").write_text("")
    result = gym("new", "env", "my_thing", "--path", "file/inside")
    assert result.status == 2
    assert "file/inside cannot be made" in result.err


def test_path_names_the_folder(gym: Gym) -> None:
    result = gym("new", "env", "my_thing", "--path", "some where/else")
    assert Path("some where/else/gym_my_thing/__init__.py").is_file()
    assert "cd 'some where/else'" in result.out


def test_a_name_that_is_taken_is_pointed_out(gym: Gym, plugins: IsolatedPlugins) -> None:
    plugins.add("other-dist", "", group="gym.resource_servers", name="my_thing")
    result = gym("new", "env", "my_thing")
    assert result.status == 0
    assert "other-dist offers the environment 'my_thing' already" in result.err
    assert "gym-my-thing/my_thing" in result.err
    assert "already" not in gym("new", "agent", "my_thing", "--path", "elsewhere").err


def test_a_name_that_is_known_but_not_installed_is_pointed_out(
    gym: Gym, plugins: IsolatedPlugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = gym("new", "env", "sums", "--path", "sums")
    assert "warning" not in result.err
    result = gym("new", "model", "openai", "--path", "openai")
    assert "warning: --model openai is a model backend of gym-openai-model already" in result.err
    with monkeypatch.context() as without_ray:
        without_ray.setattr("gym_check.scaffold.names.importlib.util.find_spec", lambda name: None)
        result = gym("new", "env", "ray", "--path", "ray")
    assert "warning: gym-ray is a distribution of gym's own" in result.err
