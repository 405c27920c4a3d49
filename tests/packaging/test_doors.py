"""A command and an executor of somebody else: there once their wheels are installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.packaging.conftest import Endpoint, FreshEnv

SSH = """#!/bin/sh
shift  # the host: this one
exec sh -c "$1"
"""


@pytest.fixture(scope="module")
def env(fresh_env: Callable[..., FreshEnv]) -> FreshEnv:
    return fresh_env("gym-leaderboard", "gym-ssh", "gym-counter", "gym-simple-agent", "gym-openai-model")


def test_the_command_is_listed_by_its_packages_summary(env: FreshEnv) -> None:
    shown = env.run("gym", "--help").stdout
    assert "leaderboard  A command for gym: the best of several runs" in " ".join(shown.split("\n"))
    assert "leaderboard" in env.run("gym", "plugins", "list").stdout


@pytest.mark.slow
def test_rollouts_go_where_the_executor_takes_them_and_the_command_reads_them(
    env: FreshEnv, endpoint: Endpoint
) -> None:
    script = env.path / "ssh"
    script.write_text(SSH)
    script.chmod(0o700)
    output = env.path / "x.jsonl"
    run = ("gym", "run", "--model", "openai:fake", "--env", "counter", "--output", output, "--workers", "2")
    elsewhere = ("--executor", "ssh:a,b", "-X", f"command={script}", "-X", f"python={env.python}")
    there = ("-M", f"base_url={endpoint.base_url}", "-M", "api=responses", "--repeats", "6", "--concurrency", "2")
    done = env.run(*run, *elsewhere, *there, env={"OPENAI_API_KEY": "x"})
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["reward"] for row in rows] == [1.0] * 6, done.stderr
    manifest = json.loads((env.path / "x.run.json").read_text())
    assert manifest["operational"]["executor"] == "ssh:a,b"
    assert env.run("gym", "leaderboard", output).stdout == f"1. 1.000  {output}\n"


def test_a_misspelt_command_is_answered_with_the_nearest_one(env: FreshEnv) -> None:
    assert "did you mean 'leaderboard'?" in env.run("gym", "leaderbord", exit_code=2).stderr


def test_a_command_that_is_switched_off_says_so(env: FreshEnv) -> None:
    off = {"GYM_DISABLE_PLUGINS": "leaderboard"}
    assert "switched off" in env.run("gym", "leaderboard", "x", exit_code=2, env=off).stderr


def test_a_missing_executor_is_said_before_anything_starts(env: FreshEnv) -> None:
    run = ("gym", "run", "--model", "openai:fake", "--env", "counter", "--executor", "slurm")
    error = env.run(*run, exit_code=2, env={"OPENAI_API_KEY": "x"}).stderr
    assert "no executor named 'slurm' is installed" in error
    assert not (env.path / "results").exists()
