"""Installations that are not sound: what they hide is said, and the healthy ones are found."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gym_core.spi import find_plugins
from gym_core.wiring.damage import find_damage
from gym_isolated.records import FORMAT, store_folder
from gym_testing import IsolatedPlugins
from gym_testing.site import Site

HEAD = "Metadata-Version: 2.1\nName: gym-left\nVersion: {}\n"
POINTS = "[gym.agents]\nleft = left\n"


def names(path: Path) -> list[tuple[str, str]]:
    return [(plugin.name, plugin.version) for plugin in find_plugins(path=[str(path)])]


def said(*path: Path) -> list[str]:
    return [damage.message for damage in find_damage(path=[str(place) for place in path])]


def test_sound_installations_are_no_damage(site: Site, tmp_path: Path) -> None:
    site.add("gym-fine")
    site.info("other", "[console_scripts]\nx = y\n", "Name: other\n")
    assert said(site.path, site.path, tmp_path / "missing") == []


def test_an_empty_folder_hides_neither_a_newer_nor_a_later_installation(site: Site, tmp_path: Path) -> None:
    (site.path / "gym_left-1.0.dist-info").mkdir()
    assert "holds no metadata" in said(site.path)[0]
    later = Site(tmp_path / "later")
    later.add("gym-left", name="left", version="2.0")
    assert [plugin.name for plugin in find_plugins(path=[str(site.path), str(later.path)])] == ["left"]
    site.info("gym-left", POINTS, HEAD.format("3.0"), version="3.0")
    assert names(site.path) == [("left", "3.0")]


@pytest.mark.parametrize("versions", [("1.0", "2.0"), ("9.0", "10.0"), ("1.0rc1", "1.0")])
def test_of_two_versions_in_a_folder_the_newer_counts_and_both_are_named(site: Site, versions: tuple[str, str]) -> None:
    old, new = versions
    (site.info("gym-left", "", HEAD.format(old), version=old) / "entry_points.txt").unlink()
    site.info("gym-left", POINTS, HEAD.format(new), version=new)
    assert names(site.path) == [("left", new)]
    (message,) = said(site.path)
    assert f"gym_left-{old}.dist-info" in message
    assert f"gym_left-{new}.dist-info counts" in message


def test_a_release_without_plugins_that_hides_an_older_one_is_named(site: Site, tmp_path: Path) -> None:
    site.info("gym-left", "", HEAD.format("2.0"), version="2.0")
    later = Site(tmp_path / "later")
    later.info("gym-left", POINTS, HEAD.format("1.0"))
    assert "is there twice" in said(site.path, later.path)[0]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (POINTS.encode("utf-16"), "not UTF-8 text"),
        (b"[gym.agents]\nleft = left\nr\xe9sum\xe9 = left\n", "not UTF-8 text"),
        (b"[gym.agents\nleft = left\n", "line 1: '[gym.agents' is no heading"),
        (b"[gym.agents]\nleft: left\n", "line 2: 'left: left' is no entry point"),
        (b"[gym.agent]\nleft = left\n", "'gym.agents' is"),
        (b"[gym.resource-servers]\nleft = left\n", "'gym.resource_servers' is"),
    ],
)
def test_entry_points_that_cannot_be_read_are_named(site: Site, content: bytes, word: str) -> None:
    site.info("gym-left", content, HEAD.format("1.0"))
    site.add("gym-fine", name="fine")
    (message,) = said(site.path)
    assert "entry_points.txt" in message
    assert word in message
    assert "fine" in [name for name, _ in names(site.path)]


def loop(folder: Path) -> None:
    (folder / "entry_points.txt").unlink()
    (folder / "entry_points.txt").symlink_to("entry_points.txt")


def no_metadata(folder: Path) -> None:
    (folder / "METADATA").unlink()


def other_name(folder: Path) -> None:
    (folder / "METADATA").write_text("Name: gym-right\nVersion: 1.0\n")


def no_name(folder: Path) -> None:
    (folder / "METADATA").write_text("Version: 1.0\n")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [(loop, "cannot be read"), (no_metadata, "has no METADATA"), (other_name, "gym-right"), (no_name, "no name")],
)
def test_files_that_are_missing_unreadable_or_another_ones_are_named(
    site: Site, spoil: Callable[[Path], None], word: str
) -> None:
    spoil(site.info("gym-left", POINTS, HEAD.format("1.0")))
    assert word in said(site.path)[0]


def test_what_an_interrupted_uninstallation_left_is_named(site: Site) -> None:
    site.info("~ym-left", POINTS, HEAD.format("1.0"))
    assert "what an interrupted change of gym-left left behind" in said(site.path)[0]


def test_a_link_to_a_folder_that_has_gone_is_named(site: Site, tmp_path: Path) -> None:
    (site.path / "gym-left.egg-link").write_text(f"{tmp_path / 'gone'}\n.\n")
    assert "which is not there" in said(site.path)[0]


def test_a_byte_order_mark_hides_nothing(site: Site) -> None:
    site.info("gym-left", b"\xef\xbb\xbf" + POINTS.encode(), "\ufeff" + HEAD.format("1.0"))
    assert names(site.path) == [("left", "1.0")]
    assert said(site.path) == []


def test_entry_points_are_found_however_many_stand_before_them(site: Site) -> None:
    many = "[console_scripts]\n" + "".join(f"program-{number} = module:main\n" for number in range(5000))
    site.info("gym-left", many + POINTS, HEAD.format("1.0"))
    assert names(site.path) == [("left", "1.0")]


def test_an_egg_is_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "gym_left-4.0-py3.11.egg" / "EGG-INFO"
    folder.mkdir(parents=True)
    (folder / "entry_points.txt").write_text(POINTS)
    (folder / "PKG-INFO").write_text(HEAD.format("4.0"))
    assert names(folder.parent) == [("left", "4.0")]
    assert said(folder.parent) == []


def test_a_record_of_an_isolated_environment_that_cannot_be_read_is_named(
    tmp_path: Path, isolated_plugins: IsolatedPlugins
) -> None:
    variables = {"GYM_HOME": str(tmp_path)}
    store = store_folder(variables)
    store.mkdir(parents=True)
    (store / "gym-left.json").write_text('{"format": 1, "folder')
    whole: dict[str, Any] = dict.fromkeys(("request", "distribution", "version", "summary", "core"), "gym-other")
    whole |= {"contract": "1", "python_version": "3.12", "venv": "", "instead": [], "interpreter": ""}
    record = {"format": FORMAT, "folder": "gone", "components": [], "extensions": [], **whole}
    (store / "gym-other.json").write_text(json.dumps(record))
    messages = [damage.message for damage in find_damage(environ=variables)]
    assert any("gym-left.json, cannot be read" in message for message in messages)
    assert any("gym-other.json, names the interpreter" in message for message in messages)


NEEDS_GYM = "Name: gym-left\nVersion: 1.0\nRequires-Dist: gym-core>=0.1\n"


@pytest.mark.parametrize(
    ("points", "word"),
    [
        ("[Gym.agents]\nleft = left\n", "'gym.agents' is"),
        ("[gym_agents]\nleft = left\n", "'gym.agents' is"),
        ("[gym-agents]\nleft = left\n", "'gym.agents' is"),
        ("[gym agents]\nleft = left\n", "'gym.agents' is"),
        ("[[gym.agents]]\nleft = left\n", "'gym.agents' is"),
        ("[gym.environments]\nleft = left\n", "which are gym.models"),
        ("left = left\n", "under no heading"),
        ("[gym.agents]\nleft/right = left\n", "no name that commands take"),
        ("[gym.agents]\nleft:right = left\n", "no name that commands take"),
        ("[gym.agents]\n-left = left\n", "no name that commands take"),
        ("[gym.agents]\nleft = left\nleft = right\n", "line 3: 'left' stands in line 2 already"),
        ("\0" * 30, "null bytes"),
    ],
    ids=ascii,
)
def test_lines_by_which_a_plugin_is_not_found_are_named(site: Site, points: str, word: str) -> None:
    site.info("gym-left", points, NEEDS_GYM)
    (message,) = said(site.path)
    assert word in message


def test_groups_of_others_are_no_damage(site: Site) -> None:
    site.info("ale-py", "[gym.envs]\nALE = ale_py\n[gymnasium.envs]\nALE = ale_py\n", "Name: ale-py\n")
    site.info("gym-left", "[console_scripts]\na-b = left\n[my.agents]\na/b = left\n", NEEDS_GYM)
    assert said(site.path) == []


@pytest.mark.parametrize("content", [None, b"", POINTS[:20].encode()], ids=["missing", "empty", "cut"])
def test_entry_points_that_are_not_what_was_installed_are_named(site: Site, content: bytes | None) -> None:
    folder = site.info("gym-left", content or b"", NEEDS_GYM)
    if content is None:
        (folder / "entry_points.txt").unlink()
    (folder / "RECORD").write_text(f"left.py,,\n{folder.name}/entry_points.txt,sha256=x,{len(POINTS)}\n")
    assert f"RECORD says {len(POINTS)}" in said(site.path)[0]


def test_what_is_about_to_be_removed_is_no_second_plugin(site: Site) -> None:
    site.info("gym-left", POINTS, HEAD.format("2.0"), version="2.0")
    site.info("gym-left", POINTS, HEAD.format("1.0")).rename(site.path / "-ym_left-1.0.dist-info")
    assert names(site.path) == [("left", "2.0")]
    assert "-ym_left-1.0.dist-info is what an interrupted change" in said(site.path)[0]


def test_a_file_where_a_folder_should_be_hides_nothing(site: Site) -> None:
    site.info("gym-left", POINTS, HEAD.format("1.0"))
    (site.path / "gym_left-2.0.dist-info").write_text("")
    assert names(site.path) == [("left", "1.0")]
    assert "gym_left-2.0.dist-info holds no metadata" in said(site.path)[0]


def test_a_wheel_on_the_path_is_named(site: Site, tmp_path: Path) -> None:
    wheel = tmp_path / "gym_left-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("gym_left-1.0.dist-info/entry_points.txt", POINTS)
    assert names(wheel) == []
    assert f"{wheel} is an archive" in said(site.path, wheel)[0]
