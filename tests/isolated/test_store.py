"""Isolated environments as they are built, kept and removed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZipFile

import pytest

import gym_core
from gym_core import UsageError
from gym_core.cli.installer import Installer
from gym_core.errors import PluginError
from gym_core.spi import find_installer, find_plugins
from gym_isolated.core_wheels import write_wheels
from gym_isolated.store import Store
from tests.support.isolation import offline
from tests.support.wheels import write_wheel

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path, uv_cache: Path) -> Store:
    return Store(tmp_path / "home" / "isolated")


@pytest.fixture
def installer() -> Installer:
    return find_installer(here=False)


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir() if path.is_dir())


def listed(store: Store) -> list[str]:
    found = find_plugins(environ={"GYM_HOME": str(store.folder.parent)})
    return [plugin.name for plugin in found if plugin.environment]


@pytest.mark.slow
def test_two_builders_at_once_build_it_once(store: Store, installer: Installer, plugin_wheels: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(store.build, "gym-old", installer, offline(plugin_wheels)) for _ in range(2)]
        results = [done.result() for done in work]
    assert sorted(built for _, built in results) == [False, True]
    assert results[0][0] == results[1][0]
    assert len(folders(store)) == 1
    assert listed(store) == ["old"]

    first = store.find("gym_old")
    again, built = store.build("gym-old", installer, offline(plugin_wheels), again=True)
    assert built
    assert again is not None
    assert first is not None
    assert again.folder != first.folder
    assert folders(store) == [again.folder.name]

    store.remove("Gym.Old")
    assert (folders(store), listed(store), store.find("gym-old")) == ([], [], None)
    with pytest.raises(UsageError, match="no isolated environment of 'gym-old'"):
        store.remove("gym-old")


KILLED = """
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from gym_isolated.store import Store


class Stuck:
    def make_environment(self, folder, python=""):
        (folder / "bin").mkdir(parents=True)

    def bound_to(self, python):
        return self

    def plan(self, packages, options):
        return [packages]

    def install(self, packages, options):
        print("installing", flush=True)
        sys.stdin.read()


Store(Path({folder!r})).build("gym-old", Stuck())
"""


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_half(store: Store, installer: Installer, plugin_wheels: Path) -> None:
    code = KILLED.format(root=str(ROOT), folder=str(store.folder))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"installing\n"
        assert len(folders(store)) == 1
        builder.kill()
        builder.wait()
    assert (listed(store), store.find("gym-old")) == ([], None)

    built, _ = store.build("gym-old", installer, offline(plugin_wheels))
    assert built is not None
    assert folders(store) == [built.folder.name]
    assert listed(store) == ["old"]


def test_who_has_to_wait_is_told(store: Store) -> None:
    notes: list[str] = []
    told = threading.Event()

    def note(message: str) -> None:
        notes.append(message)
        told.set()

    waiting = Store(store.folder, note=note)

    class Declined:
        def make_environment(self, folder: Path, python: str = "") -> None:
            folder.mkdir()

        def bound_to(self, python: Path) -> Declined:
            return self

        def plan(self, packages: Sequence[str], options: Sequence[str]) -> list[str]:
            if not notes:
                pool.submit(waiting.build, "gym-old", self, agreed=lambda changes: False)
                assert told.wait(60)
            return [*packages]

        def install(self, packages: Sequence[str], options: Sequence[str]) -> None:
            raise AssertionError("nobody agreed")

    with ThreadPoolExecutor(1) as pool:
        assert store.build("gym-old", Declined(), agreed=lambda changes: False) == (None, False)
    assert notes == ["waiting for another gym that changes the isolated environments"]
    assert folders(store) == []


@pytest.mark.parametrize(
    ("code", "points", "error", "words"),
    [
        ("raise RuntimeError('on fire')", {"gym.agents": {"it": "gym_odd"}}, PluginError, "RuntimeError: on fire"),
        ("", {}, UsageError, "brings no model, environment or agent that could be isolated"),
        ("", {"gym.extensions": {"watch": "gym_odd"}}, UsageError, "only the extension watch"),
    ],
)
def test_what_cannot_be_used_is_not_kept(
    store: Store,
    installer: Installer,
    tmp_path: Path,
    code: str,
    points: dict[str, dict[str, str]],
    error: type[Exception],
    words: str,
) -> None:
    wheel = write_wheel(tmp_path, "gym-odd", code, points=points)
    with pytest.raises(error, match=words):
        store.build(str(wheel), installer, offline())
    assert folders(store) == []
    assert listed(store) == []


def test_what_cannot_be_resolved_is_refused(store: Store, installer: Installer) -> None:
    with pytest.raises(UsageError, match="nobody-ever-made-this"):
        store.build("nobody-ever-made-this", installer, offline())
    assert folders(store) == []


def test_the_folder_of_a_user_that_cannot_be_written(tmp_path: Path, installer: Installer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="GYM_HOME"):
        Store(tmp_path / "file" / "isolated").build("x", installer)


def test_an_unreadable_record_hides_no_other(store: Store) -> None:
    store.folder.mkdir(parents=True)
    for name, content in {"a": "{", "b": "[]", "c": '{"format": 99}', "d": '{"format": 1}'}.items():
        (store.folder / f"{name}.json").write_text(content)
    (store.folder / "e.json").mkdir()
    assert listed(store) == []


def test_the_wheel_of_the_core_holds_what_runs(tmp_path: Path) -> None:
    core, *others = write_wheels(tmp_path)
    assert [other.partition(" ")[0] for other in others] == [
        *("gym-http1", "gym-chat", "gym-results", "gym-nemo", "gym-http", "gym-isolated")
    ]
    path = Path(core.partition("file://")[2])
    assert path.name == f"gym_core-{gym_core.__version__}-py3-none-any.whl"
    with ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = f"gym_core-{gym_core.__version__}.dist-info"
        assert {"gym_core/__init__.py", "gym_core/py.typed", f"{info}/RECORD", f"{info}/METADATA"} <= names
        assert not [name for name in names if "__pycache__" in name]
        assert b"Provides-Extra: zst" in wheel.read(f"{info}/METADATA")
        record = wheel.read(f"{info}/RECORD").decode().splitlines()
    assert {line.split(",")[0] for line in record} == names


def test_an_environment_knows_no_other(built_home: Path) -> None:
    (environment, _) = Store(built_home / "isolated").find("gym-old"), None
    assert environment is not None
    code = (
        "from gym_core.wiring.discovery import find_plugins; print(*[p.name for p in find_plugins() if p.environment])"
    )
    done = subprocess.run(
        [environment.python, "-P", "-c", code],
        env={**os.environ, "GYM_HOME": str(built_home)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip() == ""
