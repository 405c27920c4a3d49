"""`gym install` and `gym uninstall` for real, in environments of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from tests.packaging.conftest import FreshEnv

CODE = """
from gym_core import ResourceServer, Session, Task, hookimpl

class Talk(Session):
    def verify(self, trajectory):
        return 1.0

class Small(ResourceServer):
    session_type = Talk

    def tasks(self):
        yield Task.ask("Hello.")

@hookimpl(contract=1)
def gym_resource_servers():
    return {"talk": Small}
"""


@pytest.fixture(scope="module")
def links(make_plugin: Callable[[str, str, str], Path]) -> Path:
    """A folder with the wheel of an environment."""
    return make_plugin("gym-talk", "talk", CODE)


@pytest.fixture(params=["uv", "pip"], scope="module")
def env(
    request: pytest.FixtureRequest, fresh_env: Callable[..., FreshEnv], with_installer: Callable[..., dict[str, str]]
) -> tuple[FreshEnv, dict[str, str]]:
    """An environment with gym alone, which the tests leave as they found it, and the variables of its installer."""
    made = fresh_env("gym-core")
    # what would lead to another environment is not followed
    elsewhere = {"PIP_TARGET": str(made.path / "x"), "UV_PYTHON": sys.executable}
    return made, {**with_installer(made, request.param), **elsewhere}


def names(made: FreshEnv) -> set[str]:
    return {row["name"] for row in json.loads(made.run("gym", "plugins", "list", "--json").stdout)}


@pytest.mark.slow
def test_a_package_comes_and_goes(env: tuple[FreshEnv, dict[str, str]], links: Path) -> None:
    made, variables = env
    install = ("gym", "install", "gym-talk", "--no-index", "--find-links", links)
    planned = made.run(*install, "--dry-run", env=variables)
    assert "install   gym-talk 1.0" in planned.stderr
    refused = made.run(*install, env=variables, exit_code=2)
    assert "install   gym-talk 1.0" in refused.stderr
    assert "--yes" in refused.stderr
    assert "talk" not in names(made)

    done = made.run(*install, "--yes", env=variables)
    (row,) = [line for line in done.stdout.splitlines() if "talk" in line]
    assert row.split()[:5] == ["resource_server", "talk", "gym-talk", "1.0", "ready"]
    assert "A test's plugin" in row
    assert "warning" not in done.stderr
    assert "talk" in names(made)

    again = made.run(*install, "--yes", env=variables)
    assert "nothing has to change" in again.stderr
    assert "resource_server" in again.stdout

    removed = made.run("gym", "uninstall", "gym-talk", "--yes", env=variables)
    assert "with it goes: the environment talk" in removed.stderr
    assert "removed gym-talk" in removed.stderr
    assert "talk" not in names(made)


@pytest.mark.slow
def test_a_wheel_by_its_path_and_a_package_without_an_entry_point(
    env: tuple[FreshEnv, dict[str, str]], links: Path, tmp_path: Path
) -> None:
    made, variables = env
    (wheel,) = links.glob("*.whl")
    done = made.run("gym", "install", wheel, "--yes", "--no-index", env=variables)
    assert "gym-talk" in done.stdout
    plain = tmp_path / "plain"
    write_wheel(plain, "just-a-library", "")
    done = made.run("gym", "install", "just-a-library", "--yes", "--no-index", "--find-links", plain, env=variables)
    assert "warning: just-a-library has no entry point for gym" in done.stderr
    assert done.stdout == ""
    made.run("gym", "uninstall", "gym-talk", "just-a-library", "--yes", env=variables)


def test_a_package_that_does_not_exist(env: tuple[FreshEnv, dict[str, str]]) -> None:
    made, variables = env
    done = made.run("gym", "install", "nobody-made-this", "--yes", "--no-index", env=variables, exit_code=2)
    assert "nobody-made-this" in done.stderr
    assert len(done.stderr.splitlines()) == 2
