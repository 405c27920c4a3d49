"""What a shell completes, and what is imported for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

ENVIRONMENT = """
import pathlib
from pydantic import Field
from gym_core import Options, ResourceServer, Session, hookimpl

pathlib.Path("imported").touch()

class WordSession(Session):
    def verify(self, trajectory): return 1.0

class WordOptions(Options):
    size: int = Field(3, description="How many.")
    seed: int = Field(3, description="Of what.")

class Words(ResourceServer[WordOptions]):
    "Words."
    session_type = WordSession
    def tasks(self): return []

@hookimpl(contract=1)
def gym_resource_servers():
    return {"words": Words}
"""
MODEL = """
from pydantic import Field
from gym_core import ModelBackend, Options, hookimpl

class SayOptions(Options):
    volume: int = Field(3, description="How loud.")

class Say(ModelBackend[SayOptions]):
    "Says."
    async def respond(self, request, context): ...

@hookimpl(contract=1)
def gym_model_backends():
    return {"say": Say}
"""


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    site.add("gym-words", ENVIRONMENT, group="gym.resource_servers", name="words")
    site.add("gym-say", MODEL, group="gym.models", name="say")
    site.add("gym-box", "raise RuntimeError", group="gym.sandboxes", name="box")
    site.add("gym-broken", "raise RuntimeError", group="gym.models", name="broken")
    site.add("gym-loops", "raise RuntimeError", group="gym.agents", name="looping")
    site.add("gym-loops-elsewhere", "raise RuntimeError", group="gym.runners", name="looped")


def completed(gym: Gym, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_GYM_COMPLETE", "bash_complete")
    result = gym()
    assert (result.status, result.err) == (0, "")
    return [line.partition(",")[2] for line in result.out.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gym resc", ["rescore"]),
        ("gym plugins sh", ["show"]),
        ("gym run --mod", ["--model"]),
        ("gym run --model s", ["say"]),
        ("gym run --model judge=s", ["judge=say"]),
        ("gym run -m ", ["broken", "say"]),
        ("gym run --env ", ["words"]),
        ("gym run --env ./e", ["./e"]),
        ("gym run --input ", [""]),
        ("gym rescore ", [""]),
        ("gym plugins show wo", ["words", "workers"]),
        ("gym run --agent w", []),
        ("gym run --agent loop", ["looping", "looped"]),
        ("gym run --sandbox ", ["box"]),
    ],
)
def test_nothing_is_imported_for_names(
    gym: Gym, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    found = completed(gym, monkeypatch, line)
    assert found == expected
    assert not Path("imported").exists()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gym run --env words -E ", ["size=", "seed="]),
        ("gym run --env words -E si", ["size="]),
        ("gym run --model say -M ", ["volume="]),
        ("gym run --model say --model judge=say -M judge.", ["judge.volume="]),
        ("gym run -E ", []),
        ("gym run --env nowhere -E ", []),
        ("gym run --model broken -M ", []),
    ],
)
def test_options_are_those_of_the_chosen_component(
    gym: Gym, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    assert completed(gym, monkeypatch, line) == expected


def test_a_script_says_what_the_shell_is_to_run(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_GYM_COMPLETE", "zsh_source")
    result = gym()
    assert result.status == 0
    assert "#compdef gym" in result.out
