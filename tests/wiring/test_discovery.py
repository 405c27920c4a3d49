from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gym_core import UsageError
from gym_core.spi import Kind, Plugin, find_plugins
from gym_testing.site import Site


def test_a_plugin_is_what_its_metadata_says(site: Site) -> None:
    module = site.add("gym-one", name="one", group="gym.models", version="2.1", summary="Does: things")
    assert find_plugins() == [Plugin(Kind.MODEL, "one", module, "gym-one", "2.1", "Does: things", "ready")]


def test_finding_imports_nothing(site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    module = site.add("gym-marker", f"open({str(mark)!r}, 'w').close()")
    assert [plugin.name for plugin in find_plugins()] == ["it"]
    assert not mark.exists()
    assert module not in sys.modules


def test_one_kind_can_be_asked_for(site: Site) -> None:
    site.add("gym-a", group="gym.models", name="a")
    site.add("gym-b", group="gym.resource_servers", name="b")
    site.add("gym-c", group="gym.extensions", name="c")
    assert [plugin.name for plugin in find_plugins()] == ["a", "b", "c"]
    assert [plugin.name for plugin in find_plugins(Kind.RESOURCE_SERVER)] == ["b"]


def test_other_groups_are_left_alone(site: Site) -> None:
    site.add("gym-other", group="gym.plugins")
    site.add("other", group="console_scripts")
    assert find_plugins() == []


def test_the_first_on_the_path_hides_the_rest(tmp_path: Path, site: Site) -> None:
    site.add("gym-twice", name="new", version="2")
    later = Site(tmp_path / "later")
    later.add("Gym.Twice", name="old", version="1")
    found = find_plugins(path=[str(site.path), str(later.path), str(tmp_path / "missing")])
    assert [(plugin.name, plugin.version) for plugin in found] == [("new", "2")]


def test_a_release_without_entry_points_hides_an_older_one_with(tmp_path: Path, site: Site) -> None:
    site.info("gym-gone", "", version="2")
    later = Site(tmp_path / "later")
    later.add("gym-gone")
    assert find_plugins(path=[str(site.path), str(later.path)]) == []


@pytest.mark.parametrize(
    ("entry_points", "metadata"),
    [
        (b"\xff\xfe[gym.agents]\n\x00", "Name: x"),
        (b"[gym.agents]\nno equals sign\n= no name\nno value =\n", "Name: x"),
        (b"[gym.agents\nx = y", ""),
    ],
)
def test_damaged_metadata_spoils_no_other(site: Site, entry_points: bytes, metadata: str) -> None:
    site.info("gym-damaged", entry_points, metadata)
    site.add("gym-fine", name="fine")
    assert [plugin.name for plugin in find_plugins()] == ["fine"]


def test_without_metadata_the_folder_tells_name_and_version(site: Site) -> None:
    folder = site.info("gym-bare", "# comment\n[gym.agents]\nbare = mod:attr.inner [extra]\n", version="3")
    (folder / "METADATA").unlink()
    assert find_plugins() == [Plugin(Kind.AGENT, "bare", "mod:attr.inner", "gym-bare", "3", "")]


def test_what_an_interrupted_uninstallation_left_is_no_plugin(site: Site) -> None:
    site.add("~ym-left")
    assert find_plugins() == []


def test_an_egg_info_is_read_too(site: Site) -> None:
    folder = site.path / "gym_egg.egg-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[gym.agents]\negg = egg\n")
    (folder / "PKG-INFO").write_text("Name: gym-egg\nVersion: 4\n")
    assert [(plugin.distribution, plugin.version) for plugin in find_plugins()] == [("gym-egg", "4")]


def test_two_owners_of_a_name_are_a_conflict_within_a_kind_only(site: Site) -> None:
    site.add("gym-a", name="same")
    site.add("gym-b", name="same")
    site.add("gym-c", name="same", group="gym.models")
    assert [(plugin.distribution, plugin.state) for plugin in find_plugins()] == [
        ("gym-c", "ready"),
        ("gym-a", "conflict"),
        ("gym-b", "conflict"),
    ]


@pytest.mark.parametrize("token", ["it", "gym-a", "Gym_A", "gym.a/it"])
def test_plugins_are_switched_off_by_name_distribution_or_both(site: Site, token: str) -> None:
    site.add("gym-a")
    assert [plugin.state for plugin in find_plugins(disabled=[token])] == ["disabled"]
    assert [plugin.state for plugin in find_plugins(environ={"GYM_DISABLE_PLUGINS": f"x, {token},"})] == ["disabled"]
    assert [plugin.state for plugin in find_plugins(disabled=["gym-b/it", "other"])] == ["ready"]


def test_switching_one_owner_off_settles_a_conflict(site: Site) -> None:
    site.add("gym-a")
    site.add("gym-b")
    states = {plugin.distribution: plugin.state for plugin in find_plugins(disabled=["gym-a/it"])}
    assert states == {"gym-a": "disabled", "gym-b": "ready"}


def test_it_agrees_with_the_standard_library() -> None:
    from importlib.metadata import entry_points

    expected = {
        (kind, entry.name, entry.value, entry.dist.name, entry.dist.version)
        for kind in Kind
        for entry in entry_points(group=kind.group)
        if entry.dist is not None
    }
    found = find_plugins(environ={})
    assert {(p.kind, p.name, p.module, p.distribution, p.version) for p in found} == expected


def test_kinds_are_called_by_their_words() -> None:
    assert Kind.parse("env") is Kind.RESOURCE_SERVER
    assert Kind.parse("extension") is Kind.EXTENSION
    with pytest.raises(UsageError, match="model, resource_server, agent, runner, gateway, sandbox, executor, command"):
        Kind.parse("modle")
