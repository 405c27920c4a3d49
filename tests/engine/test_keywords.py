"""Errors speak the language of whoever reads them: options to a command line, keywords to a caller from Python."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import GymError, RunSettings
from gym_core.engine.keywords import as_keywords
from tests.support.agents import LoopAgent
from tests.support.envs import env
from tests.support.models import ScriptedModel

CORE = Path(gym_core.__file__).parent


@pytest.mark.parametrize(
    ("typed", "keywords"),
    [
        (
            "--resume continues it, --overwrite starts again, --output writes elsewhere",
            '`mode="resume"` continues it, `mode="overwrite"` starts again, `output` writes elsewhere',
        ),
        (
            "--model REF; `gym plugins list --kind model` lists them",
            "`model=REF`; `gym plugins list --kind model` lists them",
        ),
        ("--model judge=REF", '`model={"judge": REF}`'),
        ("go on with `--resume --accept-changes`", 'go on with `mode="resume", accept_changes=True`'),
        ("raise `-M max_inflight=`", 'raise `model_options={"max_inflight": ...}`'),
        ("-M temperature=hot: it must be a number", '`model_options={"temperature": "hot"}`: it must be a number'),
        ("-M judge.top_p=2 is too much", '`model_options={"judge.top_p": 2}` is too much'),
        ("give -E size=... or set GYM_X", 'give `env_options={"size": ...}` or set GYM_X'),
        ("no option 'x' (-A x); did you mean 'y'?", "no option 'x' (`agent_options={\"x\": ...}`); did you mean 'y'?"),
        ("-X is for an executor, not this run", "`executor_options` is for an executor, not this run"),
        ("-S is for a sandbox, and this run has none", "`sandbox_options` is for a sandbox, and this run has none"),
        ("--concurrency must be a whole number, not 0", "`concurrency` must be a whole number, not 0"),
        ("--max-tokens 100 is reached", "`max_tokens=100` is reached"),
        ("raise `--tool-timeout`", "raise `deadlines=Deadlines(tool=...)`"),
        ("`--json` prints the summary", "`--json` prints the summary"),
        ("a file --- or a non-M thing", "a file --- or a non-M thing"),
    ],
)
def test_an_option_becomes_a_keyword(typed: str, keywords: str) -> None:
    assert as_keywords(typed) == keywords


def texts() -> Iterator[tuple[str, str]]:
    """All that the engine and the wiring may say, docstrings aside."""
    for folder in ("engine", "wiring", "domain"):
        for path in (CORE / folder).rglob("*.py"):
            tree = ast.parse(path.read_text())
            prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                    yield path.name, node.value


def test_every_option_that_is_spoken_of_has_a_keyword() -> None:
    others = {"--json", "--debug", "--kind", "--format", "--isolated", "--upgrade", "--help", "--no-deps", "--quiet"}
    for name, text in texts():
        if name in ("keywords.py", "secrets.py") or text.startswith("gym "):
            continue
        left = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"`(?:gym|pip) [^`]*`?", "", as_keywords(text))))
        assert left <= others, f"{name}: {text}"


def raised(**settings: Any) -> GymError:
    async def main() -> None:
        async for _ in gym_core.collect(**settings):
            pass

    with pytest.raises(GymError) as caught:
        asyncio.run(main())
    return caught.value


def test_what_a_caller_reads(tmp_path: Path) -> None:
    parts: Any = {"model": ScriptedModel(), "env": env(), "agent": LoopAgent()}
    assert raised(**parts, concurrency=0).message == "`concurrency` must be a whole number of at least 1, not 0"
    assert raised(env=env(), agent=LoopAgent()).hint.startswith("`model=REF`; `gym plugins list --kind model`")
    there = tmp_path / "x.jsonl"
    there.write_text("")
    assert raised(**parts, output=there).hint.startswith('`mode="resume"` continues it')
    assert raised(**{**parts, "model": "openai"}, model_options={"temprature": 1}).message == (
        "openai has no option 'temprature' (`model_options={\"temprature\": ...}`); did you mean 'temperature'?"
    )


def test_every_keyword_that_is_named_is_one() -> None:
    named = set(re.findall(r"`(\w+)[=`]", " ".join(as_keywords(text) for _, text in texts() if "--" in text)))
    options = {name for name in named if name in RunSettings.__annotations__}
    assert {"output", "log_file", "max_tokens", "prices", "task_id"} <= options
