"""`gym install --isolated` for real: built from wheels, used without any installer, removed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from tests.packaging.conftest import ROOT, WHEELHOUSE

if TYPE_CHECKING:
    from tests.packaging.conftest import Endpoint, FreshEnv


@pytest.fixture
def made(fresh_env: Callable[..., FreshEnv]) -> FreshEnv:
    """An environment with gym, an agent and a model backend."""
    return fresh_env("gym-isolated", "gym-simple-agent", "gym-openai-model")


@pytest.fixture
def install(wheels: Path) -> tuple[str | Path, ...]:
    """The command that isolates an environment."""
    links = ("--no-index", "--find-links", wheels, "--find-links", WHEELHOUSE)
    return ("gym", "install", "--isolated", "gym-counter", *links)


def reward(made: FreshEnv, endpoint: Endpoint, home: str, nowhere: Path) -> float:
    """What a rollout in the isolated environment earns, without any installer."""
    output = made.path / "x.jsonl"
    made.run(
        *("gym", "run", "--model", "openai:fake", "--env", "counter"),
        *("-M", f"base_url={endpoint.base_url}", "-M", "api=responses", "--output", output),
        env={"OPENAI_API_KEY": "x", "PATH": str(nowhere), "GYM_HOME": home},
    )
    (row,) = map(json.loads, output.read_text().splitlines())
    return float(row["reward"])


@pytest.mark.slow
def test_built_once_used_offline_and_removed(
    made: FreshEnv,
    with_installer: Callable[..., dict[str, str]],
    install: tuple[str | Path, ...],
    endpoint: Endpoint,
    tmp_path: Path,
) -> None:
    variables = with_installer(made, "uv")
    home = Path(variables["GYM_HOME"]) / "isolated"
    planned = made.run(*install, "--dry-run", env=variables)
    assert "install   gym-counter 0.1.0" in planned.stderr
    assert "install   starlette" in planned.stderr
    refused = made.run(*install, env=variables, exit_code=2)
    assert "--yes" in refused.stderr
    assert not [path for path in home.iterdir() if path.is_dir()]

    done = made.run(*install, "--yes", env=variables)
    (row,) = [line for line in done.stdout.splitlines() if "counter" in line]
    assert row.split()[:5] == ["resource_server", "counter", "gym-counter", "0.1.0", "isolated"]
    again = made.run(*install, "--yes", env=variables)
    assert "gym-counter has its environment already" in again.stderr

    # from here on there is no installer and nothing to install from
    alone = {"PATH": str(tmp_path / "nothing"), "GYM_HOME": variables["GYM_HOME"]}
    assert "isolated" in made.run("gym", "plugins", "list", env=alone).stdout
    assert "Bring a counter to a target" in made.run("gym", "plugins", "show", "counter", env=alone).stdout
    assert reward(made, endpoint, variables["GYM_HOME"], tmp_path / "nothing") == 1.0
    wrong = made.run("gym", "tasks", "--env", "counter", "-E", "nothing=1", env=alone, exit_code=2)
    assert "counter has no option 'nothing'" in wrong.stderr

    removed = made.run("gym", "uninstall", "gym-counter", "--yes", env=variables)
    assert "removed gym-counter" in removed.stderr
    assert sorted(path.name for path in home.iterdir()) == [".lock"]
    assert "counter" not in made.run("gym", "plugins", "list", env=alone).stdout
    gone = made.run("gym", "uninstall", "--isolated", "gym-counter", "--yes", env=variables, exit_code=2)
    assert "no isolated environment" in gone.stderr


@pytest.mark.slow
def test_pip_builds_it_where_there_is_no_uv(
    made: FreshEnv,
    with_installer: Callable[..., dict[str, str]],
    install: tuple[str | Path, ...],
    endpoint: Endpoint,
    tmp_path: Path,
) -> None:
    """What comes after it does not ask which of the two has built it."""
    variables = with_installer(made, "pip")
    home = Path(variables["GYM_HOME"]) / "isolated"
    refused = made.run(*install, env=variables, exit_code=2)
    assert "install   gym-counter 0.1.0" in refused.stderr
    assert "install   starlette" in refused.stderr
    assert "--yes" in refused.stderr
    assert not [path for path in home.iterdir() if path.is_dir()]

    done = made.run(*install, "--yes", env=variables)
    (row,) = [line for line in done.stdout.splitlines() if "counter" in line]
    assert row.split()[:5] == ["resource_server", "counter", "gym-counter", "0.1.0", "isolated"]
    assert reward(made, endpoint, variables["GYM_HOME"], tmp_path / "nothing") == 1.0
    assert "removed gym-counter" in made.run("gym", "uninstall", "gym-counter", "--yes", env=variables).stderr
    assert sorted(path.name for path in home.iterdir()) == [".lock"]


@pytest.mark.slow
def test_the_commands_of_the_guide(
    fresh_env: Callable[..., FreshEnv], wheels: Path, uv_cache: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    made = fresh_env("gym-isolated", "gym-check", "gym-simple-agent", "gym-openai-model")
    (made.path / "wheels").symlink_to(WHEELHOUSE)
    configuration = tmp_path / "uv.toml"
    configuration.write_text(f"no-index = true\nfind-links = {json.dumps([str(wheels), str(WHEELHOUSE)])}\n")
    variables = {
        "PATH": str(Path(find_uv_bin()).parent),
        "GYM_HOME": str(tmp_path / "home"),
        "UV_CONFIG_FILE": str(configuration),
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(uv_cache),
        "OPENAI_API_KEY": "x",
        "GYM_OPENAI_BASE_URL": endpoint.base_url,
        "GYM_OPENAI_API": "responses",
    }
    page = (ROOT / "docs" / "how-to" / "isolation.md").read_text()
    commands = [line.split() for line in page.splitlines() if line.startswith("gym ")]
    elsewhere = {"3.12", "verifiers:wordle"}  # another interpreter, and a framework, which are not among the wheels
    commands = [command for command in commands if not elsewhere & {*command}]
    assert len(commands) == 9
    for command in commands:
        made.run(*command, env=variables)


def test_without_its_distribution_it_says_what_is_missing(fresh_env: Callable[..., FreshEnv], tmp_path: Path) -> None:
    made = fresh_env("gym-core")
    refused = made.run(
        *("gym", "install", "--isolated", "gym-counter", "--yes"),
        env={"GYM_HOME": str(tmp_path)},
        exit_code=2,
    )
    assert "pip install gym-isolated" in refused.stderr
