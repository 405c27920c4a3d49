"""The terminal keeps the contract of environments, and runs what it is told in a sandbox."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gym_terminal import JOBS, Terminal

from gym_core import Rollout, Task
from gym_local_sandbox.provider import LocalSandboxProvider
from gym_testing import IsolatedPlugins, ResourceServerConformance, call, run_rollout


class TestTerminal(ResourceServerConformance):
    reference = "terminal"
    sandbox = LocalSandboxProvider

    @pytest.fixture(autouse=True)
    def _installed(self, isolated_plugins: IsolatedPlugins) -> None:
        isolated_plugins.install(Path(__file__).parents[1])

    def winning(self, task: Task) -> Sequence[Any]:
        return [call("run", command=f"echo {JOBS[task.task_id][2]} > answer.txt"), "It is done."]


def outputs(rollout: Rollout) -> list[dict[str, Any]]:
    return [json.loads(item["output"]) for item in rollout.response.output if item["type"] == "function_call_output"]


def test_a_command_that_fails_is_an_answer() -> None:
    rollout = run_rollout(Terminal, call("run", command="cat none; exit 3"), "?", sandbox=LocalSandboxProvider)
    (told,) = outputs(rollout)
    assert (told["exit_code"], told["stdout"]) == (3, "")
    assert "none" in told["stderr"]
    assert rollout.reward == 0.0


def test_the_files_of_one_rollout_are_not_those_of_another() -> None:
    made = run_rollout(Terminal, call("run", command="echo 42 > answer.txt; pwd"), "!", sandbox=LocalSandboxProvider)
    assert made.reward == 1.0
    assert not Path(outputs(made)[0]["stdout"].strip()).exists()
    assert run_rollout(Terminal, "!", sandbox=LocalSandboxProvider).reward == 0.0
