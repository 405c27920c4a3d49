from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from gym_testing import IsolatedPlugins
    from tests.cli.conftest import Gym, Site


@pytest.fixture(autouse=True)
def _alone(isolated_plugins: IsolatedPlugins) -> None:
    """Only what a test adds is listed."""
    isolated_plugins.alone()


MODEL = '''
from typing import Annotated

from pydantic import Field, SecretStr

import gym_core
from gym_core import FromEnv, ModelBackend, Selector, hookimpl


class ToyOptions(gym_core.Options):
    size: Annotated[str, Selector()] = Field("small", description="Which size.")
    key: Annotated[SecretStr | None, FromEnv("TOY_KEY")] = Field(SecretStr("default-secret"), description="The key.")
    turns: int = Field(description="How often.")


class Toy(ModelBackend[ToyOptions]):
    """Answers from memory.

    The second paragraph says more.
    """

    @classmethod
    def choices(cls):
        return ["small", "large"]

    async def respond(self, request, context): ...


@hookimpl(contract=1)
def gym_model_backends():
    return {"toy": Toy}
'''

ENV = '''
from gym_core import ResourceServer, Session, hookimpl


class Judged(Session):
    def verify(self, trajectory):
        return 1.0


class Place(ResourceServer):
    """A place to be."""

    session_type = Judged
    preferred_agent = "walker"


@hookimpl(contract=1)
def gym_resource_servers():
    return {"toy": Place}
'''


# list


def test_json_lists_what_is_installed_and_imports_nothing(gym: Gym, site: Site, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    module = site.add("gym-toy", f"open({str(mark)!r}, 'w')", group="gym.models", name="toy", summary="A toy")
    result = gym("plugins", "list", "--json")
    assert json.loads(result.out) == [
        {
            "kind": "model",
            "name": "toy",
            "distribution": "gym-toy",
            "version": "1.0",
            "python": platform.python_version(),
            "summary": "A toy",
            "state": "ready",
        }
    ]
    assert result.status == 0
    assert not mark.exists()
    assert module not in sys.modules


def test_the_table_has_aligned_columns(gym: Gym, site: Site) -> None:
    site.add("gym-a", name="a", summary="Short")
    site.add("gym-long-name", name="long_name", group="gym.resource_servers", summary="Evil \x1b[31m" + "long " * 50)
    title, first, second = gym("plugins", "list").out.splitlines()
    at = title.index("SUMMARY")
    assert (first[at:][:4], second[at:]) == ("Evil", "Short")
    assert "\x1b" not in first


def test_a_kind_can_be_asked_for(gym: Gym, site: Site) -> None:
    site.add("gym-a", name="a")
    site.add("gym-b", name="b", group="gym.resource_servers")
    for kind in ("env", "resource_server"):
        assert [row["name"] for row in json.loads(gym("plugins", "list", "--json", "--kind", kind).out)] == ["b"]
    assert json.loads(gym("plugins", "list", "--json", "--kind", "model").out) == []


def test_nothing_installed_is_said(gym: Gym, site: Site) -> None:
    result = gym("plugins", "list")
    assert (result.status, result.out) == (0, "")
    assert "no plugin is installed" in result.err


def test_states_are_shown(gym: Gym, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        site.add(f"gym-{name}", name="same")
    assert "conflict" in gym("plugins", "list").out
    monkeypatch.setenv("GYM_DISABLE_PLUGINS", "gym-a")
    states = [row["state"] for row in json.loads(gym("plugins", "list", "--json", "--disable-plugin", "gym-b").out)]
    assert states == ["disabled", "disabled", "ready"]


# show


def test_a_plugin_is_shown_with_its_options(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy", version="3.1")
    shown = gym("plugins", "show", "toy")
    assert shown.status == 0
    for text in (
        "toy  (model backend)",
        "from gym-toy 3.1",
        "Answers from memory.",
        "The second paragraph says more.",
        "gym run --model toy[:SIZE]",
        "size: small, large",
        "turns  (int; required)",
        "environment: GYM_TOY_KEY, TOY_KEY",
    ):
        assert text in shown.out
    assert "default-secret" not in shown.out


def test_json_shows_the_same(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    (shown,) = json.loads(gym("plugins", "show", "gym-toy/toy", "--json").out)
    assert shown["selector"] == "size"
    assert shown["choices"] == ["small", "large"]
    assert shown["options"][1] == {
        "name": "key",
        "type": "secret | none",
        "default": "***",
        "required": False,
        "secret": True,
        "environment": ["GYM_TOY_KEY", "TOY_KEY"],
        "description": "The key.",
    }


def test_all_kinds_of_a_name_are_shown(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    site.add("gym-place", ENV, group="gym.resource_servers", name="toy")
    both = gym("plugins", "show", "toy").out
    assert "Answers from memory." in both
    assert "preferred agent: walker" in both
    assert "Answers from memory." not in gym("plugins", "show", "toy", "--kind", "env").out
    assert "Answers from memory." not in gym("plugins", "show", "gym-place/toy").out


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("nemo", "exporter", "rows that NeMo Gym's tools read"),
        ("https", "scheme", "A URL means gym-http/remote."),
        ("isolated", "source", "What the records of the store say."),
        ("serve", "command", "Offer an environment, a model or an agent over HTTP"),
    ],
)
def test_what_no_run_is_wired_from_is_shown(
    gym: Gym, isolated_plugins: IsolatedPlugins, name: str, kind: str, words: str
) -> None:
    isolated_plugins.keep()
    shown = gym("plugins", "show", name, "--kind", kind)
    assert shown.status == 0, shown.err
    assert words in shown.out
    refused = gym("tasks", "--env", name)
    assert f"{name!r} is no environment but" in refused.err


def test_an_extension_is_shown(gym: Gym, site: Site) -> None:
    code = '"""Watches runs."""\nfrom gym_core import hookimpl\n@hookimpl(contract=1)\ndef gym_run_started(run): ...\n'
    site.add("gym-watch", code, group="gym.extensions", name="watch")
    assert "Watches runs." in gym("plugins", "show", "watch").out


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("toi", "no plugin named 'toi' is installed; did you mean 'toy'?"),
        ("toy:small", "'toy:small' is no name of a plugin"),
        ("gym-x/toy", "the distribution 'gym-x' offers no model backend 'toy'"),
    ],
)
def test_a_wrong_name_is_refused(gym: Gym, site: Site, name: str, problem: str) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    result = gym("plugins", "show", name)
    assert result.status == 2
    assert problem in result.err


def test_choices_that_fail_blame_the_plugin(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL.replace('["small", "large"]', "1 / 0"), group="gym.models", name="toy")
    result = gym("plugins", "show", "toy")
    assert result.status == 2
    assert "gym-toy: the model backend 'toy' cannot be described" in result.err


# check


def test_check_is_content_with_healthy_plugins(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    result = gym("plugins", "check")
    assert result.status == 0
    assert "1 plugin, none broken" in result.err


def test_check_names_the_broken_ones_and_why(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    site.add("gym-bad", "raise RuntimeError('on fire')", name="bad")
    result = gym("plugins", "check")
    assert result.status == 1
    assert "gym-bad: the agent 'bad' (version 1.0) is broken: cannot be imported: RuntimeError: on fire" in result.err
    assert "Traceback" not in result.err
    assert "2 plugins, 1 broken" in result.err
    assert "Traceback" in gym("plugins", "check", "--debug").err


def test_check_tells_scripts_too(gym: Gym, site: Site) -> None:
    site.add("gym-toy", f"print('noise')\n{MODEL}", group="gym.models", name="toy")
    site.add("gym-bad", "import sys; sys.exit()", name="bad")
    result = gym("plugins", "check", "--json")
    assert result.status == 1
    assert [(row["name"], row["state"], bool(row["problem"])) for row in json.loads(result.out)] == [
        ("toy", "ready", False),
        ("bad", "broken", True),
    ]


def test_check_leaves_alone_what_is_switched_off(gym: Gym, site: Site) -> None:
    site.add("gym-bad", "raise RuntimeError('on fire')", name="bad")
    assert gym("plugins", "check", "--disable-plugin", "bad").status == 0


def test_check_names_what_hides_a_plugin(gym: Gym, site: Site) -> None:
    site.add("gym-toy", MODEL, group="gym.models", name="toy")
    (site.path / "gym_left-1.0.dist-info").mkdir()
    result = gym("plugins", "check")
    assert result.status == 0
    assert "gym_left-1.0.dist-info holds no metadata" in result.err
    assert "1 plugin, none broken" in result.err
    listed = json.loads(gym("plugins", "check", "--json").out)
    assert [(row["distribution"], row["state"]) for row in listed] == [("gym-toy", "ready"), ("gym-left", "damaged")]
    assert listed[0].keys() == listed[1].keys()
