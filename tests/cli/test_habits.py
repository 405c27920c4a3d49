"""What people type by habit is understood, or answered with the right form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.scripts import write_scripts

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

MODEL = """
from typing import Annotated
from pydantic import Field
from gym_core import ModelBackend, Options, Response, Selector, hookimpl

class SayOptions(Options):
    model: Annotated[str, Selector()] = Field("none", description="Which one.")

class Say(ModelBackend[SayOptions]):
    "Says."
    async def respond(self, request, context):
        item = {"type": "message", "role": "assistant", "content": "done"}
        return Response({"output": [item]})

@hookimpl(contract=1)
def gym_model_backends():
    return {"say": Say}
"""
PARTS = ("--env", "./env.py", "--agent", "./agent.py")


@pytest.fixture(autouse=True)
def plugins(gym: Gym, site: Site) -> None:
    site.add("gym-say", MODEL, group="gym.models", name="say")
    write_scripts(Path.cwd())


@pytest.mark.parametrize(
    ("typed", "model"), [("say/x-1", "x-1"), ("say/org/x-1", "org/x-1"), ("gym-say/say:x-1", "x-1")]
)
def test_a_slash_does_where_a_colon_is_meant(gym: Gym, typed: str, model: str) -> None:
    assert gym("run", *PARTS, "-m", typed, "--output", "x.jsonl").status == 0
    settings = json.loads(Path("x.run.json").read_text("utf-8"))["settings"]
    assert settings["models"]["policy"]["options"]["model"] == model
    assert settings["models"]["policy"]["ref"].endswith(f"say:{model}")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("gpt-4.1", "`--model openai:gpt-4.1`"),
        ("anthropic/claude-x", "`--model openai:claude-x -M base_url=https://api.anthropic.com/v1/`"),
        ("openrouter/a/b", "`--model openai:a/b -M base_url=https://openrouter.ai/api/v1`"),
        ("ollama:qwen3:4b", "`--model openai:qwen3:4b -M base_url=http://localhost:11434/v1`"),
        ("meta-llama/Llama-3", "`--model openai:meta-llama/Llama-3`"),
        ("openai:gpt-4.1", "`gym install gym-openai-model`, or `pip install gym-openai-model`"),
        ("openai/gpt-4.1", "`gym install gym-openai-model`, or `pip install gym-openai-model`"),
    ],
)
def test_other_names_are_answered_with_the_right_form(gym: Gym, typed: str, hint: str) -> None:
    result = gym("run", *PARTS, "--model", typed)
    assert result.status == 2
    assert hint in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--env", "a", "--env", "b", "-m", "say"), "--env is given 2 times, and there is one"),
        (("--agent", "a", "--agent", "a", "--env", "b"), "--agent is given 2 times"),
        (("-m", "say", "--model", "other", "--env", "b"), "--model is given twice without a role: say and other"),
    ],
)
def test_several_of_what_there_is_one_of_are_refused(gym: Gym, arguments: tuple[str, ...], said: str) -> None:
    result = gym("run", *arguments)
    assert result.status == 2
    assert said in result.err
    assert "make a run of each" in result.err


def test_the_last_of_several_numbers_counts_as_everywhere(gym: Gym) -> None:
    assert gym("run", *PARTS, "-m", "say", "--limit", "3", "--limit", "1", "--output", "x.jsonl").status == 0
    assert len(Path("x.jsonl").read_text("utf-8").splitlines()) == 1


def test_help_is_a_command_too(gym: Gym) -> None:
    assert gym("help").out == gym("--help").out
    assert gym("help", "run").out == gym("run", "--help").out
    assert gym("help", "plugins", "show").out == gym("plugins", "show", "--help").out
    assert "did you mean 'run'" in gym("help", "rn").err
    assert "gym run has no commands of its own: 'x'" in gym("help", "run", "x").err


def test_a_capital_v_is_the_version(gym: Gym) -> None:
    assert gym("-V").out == gym("--version").out != ""


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("say", "env-say"),
        ("say:gpt-4.1", "env-gpt-4.1"),
        ("say:/a/b c.gguf", "env-b-c.gguf"),
        ("./model.py", "env-model"),
    ],
)
def test_the_model_is_in_the_name_of_the_file(gym: Gym, model: str, name: str) -> None:
    assert gym("run", *PARTS, "-m", model).status == 0
    (rows,) = Path("results").glob("*[0-9].jsonl")
    assert re.fullmatch(rf"{re.escape(name)}-\d{{8}}-\d{{6}}\.jsonl", rows.name)
