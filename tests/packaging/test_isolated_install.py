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


@pytest.fixture(params=["uv", "pip"])
def env(
    request: pytest.FixtureRequest, fresh_env: Callable[..., FreshEnv], with_installer: Callable[..., dict[str, str]]
) -> tuple[FreshEnv, dict[str, str]]:
    """An environment with gym, an agent and a model backend, and the variables of its installer."""
    made = fresh_env("gym-isolated", "gym-simple-agent", "gym-openai-model")
    return made, with_installer(made, request.param)


@pytest.mark.slow
def test_built_once_used_offline_and_removed(
    env: tuple[FreshEnv, dict[str, str]], wheels: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    made, variables = env
    links = ("--no-index", "--find-links", wheels, "--find-links", WHEELHOUSE)
    install = ("gym", "install", "--isolated", "gym-counter", *links)
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
    output = made.path / "x.jsonl"
    made.run(
        *("gym", "run", "--model", "openai:fake", "--env", "counter"),
        *("-M", f"base_url={endpoint.base_url}", "-M", "api=responses", "--output", output),
        env={"OPENAI_API_KEY": "x", **alone},
    )
    assert [json.loads(line)["reward"] for line in output.read_text().splitlines()] == [1.0]
    wrong = made.run("gym", "tasks", "--env", "counter", "-E", "nothing=1", env=alone, exit_code=2)
    assert "counter has no option 'nothing'" in wrong.stderr

    removed = made.run("gym", "uninstall", "gym-counter", "--yes", env=variables)
    assert "removed gym-counter" in removed.stderr
    assert sorted(path.name for path in home.iterdir()) == [".lock"]
    assert "counter" not in made.run("gym", "plugins", "list", env=alone).stdout
    gone = made.run("gym", "uninstall", "--isolated", "gym-counter", "--yes", env=variables, exit_code=2)
    assert "no isolated environment" in gone.stderr


@pytest.mark.slow
def test_the_commands_of_the_guide(
    fresh_env: Callable[..., FreshEnv], wheels: Path, endpoint: Endpoint, tmp_path: Path
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
        "UV_CACHE_DIR": str(tmp_path / "cache"),
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
