"""`gym install` and `gym uninstall`, up to the point where something would change; see also `tests/packaging`."""

from __future__ import annotations

import importlib.util
import json
import sys
import sysconfig
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gym_core import UsageError
from gym_core.cli.installer import Installer, pip_changes, refuse_managed, uv_changes
from gym_core.spi import find_installer

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

NOTHING = ("--no-index", "--find-links", ".", "--dry-run")
WITH_VENV = """
from gym_core import ResourceServer, UsageError, hookimpl

class Talk(ResourceServer):
    @classmethod
    def venv(cls, selector):
        raise UsageError("talk needs the id of a talk")

    def open_session(self, task, context):
        raise NotImplementedError

@hookimpl(contract=1)
def gym_resource_servers():
    return {"talk": Talk}
"""


class TestRefused:
    """What is wrong is said before anything changes, with status 2."""

    @pytest.mark.parametrize(
        ("package", "words"),
        [
            ("not a name", "'not a name' names no package"),
            ("name==", "names no package"),
            ("./missing", "there is no file or folder ./missing"),
            ("missing-1.0-py3-none-any.whl", "there is no file or folder missing-1.0-py3-none-any.whl"),
            ("nobody-ever-made-this", "nobody-ever-made-this"),
        ],
    )
    def test_of_what_to_install(self, gym: Gym, package: str, words: str) -> None:
        done = gym("install", package, *NOTHING)
        assert done.status == 2
        assert words in done.err
        assert done.err.startswith("error: ")
        assert len(done.err.splitlines()) <= 2
        assert done.out == ""

    def test_an_option_of_the_installer_is_no_package(self, gym: Gym) -> None:
        done = gym("install", "--", "--index-url=http://nowhere", *NOTHING)
        assert done.status == 2
        assert "'--index-url=http://nowhere' is no package" in done.err

    def test_the_name_of_an_adapter_is_no_package(self, gym: Gym, site: Site) -> None:
        """What else is called so on an index is never installed for it."""
        site.add("talk-env", group="gym.resource_servers", name="talk", code=WITH_VENV)
        done = gym("install", "--isolated", "talk", *NOTHING)
        assert done.status == 2
        assert "talk needs the id of a talk" in done.err

    def test_a_folder_of_links_that_is_not_there(self, gym: Gym) -> None:
        done = gym("install", "x", "--find-links", "wheels")
        assert (done.status, "--find-links wheels: there is no such folder" in done.err) == (2, True)

    def test_without_a_package(self, gym: Gym) -> None:
        assert gym("install").status == 2
        assert gym("uninstall").status == 2

    def test_removing_what_is_not_installed(self, gym: Gym) -> None:
        done = gym("uninstall", "nobody-ever-made-this", "--yes")
        assert done.status == 2
        assert "is not installed in" in done.err

    def test_removing_a_component_by_its_own_name(self, gym: Gym, site: Site) -> None:
        site.add("talk-env", group="gym.resource_servers", name="talk")
        done = gym("uninstall", "talk", "--yes")
        assert done.status == 2
        assert "talk is a component of talk-env: `gym uninstall talk-env`" in done.err

    @pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment")
    def test_removing_what_is_elsewhere(self, gym: Gym, site: Site) -> None:
        site.add("talk-env", group="gym.resource_servers", name="talk")
        done = gym("uninstall", "talk-env", "--yes")
        assert done.status == 2
        assert "not in the environment that gym runs in" in done.err

    @pytest.mark.parametrize("name", ["gym-core", "gym_core", "Gym.Core"])
    def test_removing_gym_itself_needs_a_yes(self, gym: Gym, name: str) -> None:
        done = gym("uninstall", name)
        assert done.status == 2
        assert "gym-core is gym itself" in done.err
        assert "--yes" in done.err

    def test_without_a_terminal_a_yes_is_needed(self, gym: Gym) -> None:
        done = gym("uninstall", "packaging")
        assert done.status == 2
        assert "remove    packaging" in done.err
        assert "nobody is here to be asked; nothing was changed" in done.err


def test_a_dry_run_says_what_would_go_and_who_needs_it(gym: Gym) -> None:
    done = gym("uninstall", "gym-core", "--dry-run")
    assert done.status == 0
    assert "remove    gym-core" in done.err
    assert "gym-http needs gym-core and will not work without it" in done.err


class TestAsking:
    """On a terminal one is asked."""

    @pytest.fixture
    def removed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the installer was told to remove; nothing is."""
        told: list[str] = []
        monkeypatch.setattr(Installer, "uninstall", lambda self, names: told.extend(names))
        return told

    def answer(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        stdin = StringIO(text)
        monkeypatch.setattr(stdin, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setenv("TERM", "xterm")

    def test_no_changes_nothing(self, gym: Gym, monkeypatch: pytest.MonkeyPatch, removed: list[str]) -> None:
        self.answer(monkeypatch, "n\n")
        done = gym("uninstall", "packaging")
        assert (done.status, removed) == (1, [])
        assert "Go on? [y/N]" in done.err
        assert "nothing was changed" in done.err

    def test_yes_goes_on_and_what_stays_is_an_error(
        self, gym: Gym, monkeypatch: pytest.MonkeyPatch, removed: list[str]
    ) -> None:
        self.answer(monkeypatch, "y\n")
        done = gym("uninstall", "packaging")
        assert removed == ["packaging"]
        assert (done.status, "packaging is still there" in done.err) == (2, True)


class TestEnvironments:
    """Whose packages they are."""

    @pytest.fixture
    def library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The standard library's folder of an interpreter that is in no virtual environment."""
        monkeypatch.setattr(sys, "prefix", sys.base_prefix)
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
        return tmp_path

    def test_those_of_the_operating_system_are_left_alone(self, library: Path) -> None:
        (library / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
        with pytest.raises(UsageError, match="belongs to the operating system") as raised:
            refuse_managed()
        assert "python -m venv" in raised.value.hint

    def test_virtual_and_own_environments_are_fine(self, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        refuse_managed()
        (library / "EXTERNALLY-MANAGED").touch()
        monkeypatch.setattr(sys, "prefix", "/home/me/.venv")
        refuse_managed()

    def test_without_uv_and_pip(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(UsageError, match="neither uv nor pip"):
            find_installer()


class TestPlans:
    """What the installers say they would change."""

    def test_of_uv(self) -> None:
        output = "Resolved 3 packages in 2ms\nWould install 2 packages\n - a==1.0\n + a==1.1\n ~ b-c==2 (from x)\n"
        assert uv_changes(output) == [("-", "a", "1.0"), ("+", "a", "1.1"), ("~", "b-c", "2")]
        assert uv_changes(" + a @ file:///x/a.whl\n") == [("+", "a", "file:///x/a.whl")]
        assert uv_changes("Would make no changes\n") == []
        with pytest.raises(UsageError, match="not clear"):
            uv_changes("Something else\n")

    def test_of_pip(self) -> None:
        install = [{"metadata": {"name": "pluggy", "version": "99"}}, {"metadata": {"name": "new-one", "version": "1"}}]
        changes = pip_changes(json.dumps({"version": "1", "install": install}))
        assert [(sign, name) for sign, name, _ in changes] == [("-", "pluggy"), ("+", "pluggy"), ("+", "new-one")]
