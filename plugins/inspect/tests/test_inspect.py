"""Tasks of Inspect by their own solvers; where Inspect is not installed, what can be said without it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Rollout, UsageError
from gym_core.errors import BadRequestError
from gym_inspect import names
from gym_inspect.names import REQUIREMENT, Named, named, near_to, venv_of
from gym_testing import call
from gym_testing.models import ScriptedModel

HERE = Path(__file__).parent
FILE = HERE / "asking.py"
needs_inspect = pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="inspect_ai is not installed beside gym"
)

# what Inspect makes of the libraries that it is built on is its own
pytestmark = pytest.mark.filterwarnings("default")


def test_a_task_is_one_of_a_package_or_of_a_file() -> None:
    assert named("inspect_evals/gsm8k") == Named("gsm8k", package="inspect_evals")
    assert named("./a.py@one") == Named("one", file="./a.py")
    assert str(named("./a.py")) == "inspect:./a.py"
    assert named("inspect_evals") == Named("", package="inspect_evals")
    for wrong in ("", "a/b/c", "../x", "a b/c", "-r/x"):
        with pytest.raises(UsageError):
            named(wrong)


def test_its_venv_holds_inspect_and_its_package() -> None:
    venv = venv_of(named("no_such/task"))
    assert venv is not None
    assert (venv.name, venv.packages) == ("inspect:no_such", (REQUIREMENT, "no-such"))
    assert venv_of(named("no_such/other")) == venv


def test_the_catalogue_is_read_only_where_a_venv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(package: str) -> Any:
        read.append(package)
        return files(package)

    monkeypatch.setattr(names, "files", noted)
    venv = venv_of(named("inspect_evals/gsm8"))
    assert venv is not None
    assert read == []
    assert [*venv.near()][:1] == ["inspect:inspect_evals/gsm8k"]
    assert read == ["gym_inspect"]


def test_a_task_that_the_catalogue_lacks_is_answered_with_near_ones() -> None:
    for misspelt in ("gsm8", "GSM8"):
        assert near_to(named(f"inspect_evals/{misspelt}"))[0] == "inspect:inspect_evals/gsm8k"
    assert near_to(named("inspect_evals/gsm8k")) == near_to(named("inspect_evals")) == near_to(named("./a.py@b")) == []


def run(task: str, *script: Any, model: Any = None, **settings: Any) -> list[Rollout]:
    async def collect() -> list[Rollout]:
        given = model or ScriptedModel(*script)
        async with asyncio.timeout(120):
            found = [one async for one in gym_core.collect(model=given, env=f"inspect:{FILE}@{task}", **settings)]
        return sorted(found, key=lambda one: one.task_id)

    return asyncio.run(collect())


def of(task: str, *script: Any, **args: Any) -> list[Rollout]:
    return run(task, *script, env_options={"args": args})


@needs_inspect
class TestTasks:
    """Tasks as Inspect's documentation writes them."""

    def test_scorers_are_components_and_the_first_is_the_reward(self) -> None:
        right, wrong = run("single", "1")
        assert (right.task_id, right.reward, wrong.reward) == ("sum-0", 1.0, 0.0)
        assert right.row["reward_components"] == {"match": 1.0, "includes": 1.0}
        assert right.row["inspect"]["target"] == "1"
        assert right.info["scores"]["match"]["value"] == "C"

    def test_tools_are_carried_out_by_its_solver(self) -> None:
        model = ScriptedModel(call("add", x=0, y=1), "it is 1")
        assert [one.reward for one in run("tools", model=model)] == [1.0, 0.0]
        assert [tool["name"] for tool in model.requests[0].tools] == ["add"]
        assert model.requests[-1].input[-1]["output"] == "1"

    def test_samples_at_once_do_not_mix(self) -> None:
        rollouts = run("turns", "5", "1", "2", repeats=20, concurrency=40)
        assert [one.reward for one in rollouts] == [1.0] * 40
        assert [len(one.model_calls) for one in rollouts] == [2] * 20 + [3] * 20

    def test_a_conversation_goes_on_from_what_was_said(self) -> None:
        (_, last) = run("turns", "5", "1", "2")
        assert [one["continues"] for one in last.model_calls] == [None, 0, 1]

    def test_its_limits_hold(self) -> None:
        for one in of("turns", "5", limit=4):
            assert (one.status.value, one.reward, one.stop_reason) == ("truncated", 0.0, "max_turns")

    def test_values_are_read_by_inspects_rules(self) -> None:
        (first, _) = run("components", "1")
        assert (first.reward, first.row["reward_components"]) == (0.75, {"parts.right": 1.0, "parts.grade": 0.5})
        (first, _) = run("components", "1", env_options={"reward": "parts.right"})
        assert first.reward == 1.0
        assert [one.reward for one in of("valued", "1", value="P")] == [0.5, 0.5]

    @pytest.mark.parametrize("value", ["nan", "raise", "banana"])
    def test_a_score_that_is_none_is_a_failure(self, value: str) -> None:
        for one in of("valued", "1", value=value):
            assert (one.status.value, one.reward) == ("verifier_error", None)

    def test_what_fails_in_a_solver_is_a_failure(self) -> None:
        for one in of("broken", "1"):
            assert (one.status.value, one.reward) == ("agent_error", None)
            assert "the solver is broken" in str(one.error)
        for one in of("broken", BadRequestError("no"), how="deaf"):
            assert (one.status.value, one.reward) == ("model_error", None)

    def test_graders_ask_the_judge_and_scorers_no_part_of_the_trajectory(self) -> None:
        judge = ScriptedModel("GRADE: C", role="judge")
        for one in run("graded", model={"policy": ScriptedModel("1"), "judge": judge}):
            assert one.reward == 1.0
            assert [made["role"] for made in one.model_calls] == ["policy", "judge"]
        for one in run("scored_by_itself", "1", "C"):
            assert [made["actor"] for made in one.model_calls] == ["policy", "scorer"]

    @pytest.mark.parametrize("task", ["named_by_solver", "named_by_scorer", "named_as_a_role"])
    def test_a_model_that_a_task_names_is_the_runs_judge_or_refused(
        self, task: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        judge = ScriptedModel("1, GRADE: C", role="judge")
        for one in run(task, model={"policy": ScriptedModel("5"), "judge": judge}, limit=1):
            assert (one.reward, [made["role"] for made in one.model_calls]) == (1.0, ["policy", "judge"])
        for one in run(task, "5", limit=1):
            assert one.reward is None
            assert "asks the model openai/gpt-4o by its name, and none of the run stands for it" in str(one.error)
            assert "--model judge=REF" in str(one.error)

    def test_a_model_that_stands_in_for_a_role_is_the_runs_too(self) -> None:
        models = {"policy": ScriptedModel("5"), "writer": ScriptedModel("1", role="writer")}
        (one,) = run("named_by_solver", model=models, env_options={"args": {"role": "writer"}}, limit=1)
        assert (one.reward, [made["role"] for made in one.model_calls]) == (1.0, ["policy", "writer"])
        (one,) = run("named_by_solver", "5", env_options={"args": {"role": "writer"}}, limit=1)
        assert "anthropic/claude-x by its name" in str(one.error)

    def test_a_task_that_leaves_ends_itself_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
        for one in of("broken", "1", how="leaving"):
            assert (one.status.value, one.reward) == ("agent_error", None)
            assert "its solver failed: it left with sys.exit(3)" in str(one.error)
        with pytest.raises(UsageError, match=r"it left with sys.exit\(3\)"):
            of("leaving_at_once")
        assert [one.reward for one in run("printing", "1")] == [1.0, 0.0]

    def test_a_local_sandbox_is_opened_and_others_are_refused(self) -> None:
        assert [one.reward for one in of("boxed", "1")] == [1.0, 0.0]
        with pytest.raises(UsageError, match="sandbox of Inspect's kind `docker`") as refused:
            of("boxed", "1", kind="docker")
        assert "sandbox" in refused.value.hint

    def test_what_cannot_be_loaded_is_one_line(self) -> None:
        with pytest.raises(UsageError, match="failed to connect") as refused:
            of("fetching")
        assert "it fetches something from https://data.example/questions.parquet" in refused.value.hint
        with pytest.raises(UsageError, match=r"no task 'singel'; did you mean single"):
            run("singel")


@needs_inspect
class TestAgents:
    """Agents of gym's in the place of the model that a solver asks."""

    AGENT = {"solver": "agent"}

    def test_an_agent_has_the_tools_of_the_solver_and_is_scored_by_its_scorers(self) -> None:
        model = ScriptedModel(call("add", x=0, y=1), "it is 1")
        (right, wrong) = run("tools", model=model, env_options=self.AGENT)
        assert [right.reward, wrong.reward] == [1.0, 0.0]
        assert [tool["name"] for tool in model.requests[0].tools] == ["add"]
        assert model.requests[-1].input[-1]["output"] == "1"

    def test_what_the_solver_says_beside_the_input_opens_the_episode(self) -> None:
        model = ScriptedModel("1")
        (first, _) = run("single", model=model, env_options=self.AGENT)
        assert first.reward == 1.0
        assert [(one["role"], one["content"]) for one in model.requests[0].input] == [
            ("user", "What is 0 + 1?"),
            ("user", "Be brief."),
        ]

    def test_a_solver_goes_on_with_what_the_agent_has_answered(self) -> None:
        (one,) = run("choices", "ANSWER: B", env_options=self.AGENT)
        assert one.reward == 1.0
        for one in run("criticized", "1", env_options=self.AGENT, limit=1):
            assert (one.reward, len(one.model_calls)) == (1.0, 1)

    def test_submitting_ends_the_episode_and_is_what_is_scored(self) -> None:
        model = ScriptedModel(call("add", x=0, y=1), call("submit", answer="1"))
        (right, wrong) = run("reacting", model=model, env_options=self.AGENT)
        assert [right.reward, wrong.reward] == [1.0, 0.0]
        assert right.stop_reason == "submitted"
        assert right.row["reward_components"]["used_tools"] >= 1.0
        assert "add: 1" in right.info["scores"]["used_tools"]["answer"]

    def test_sandboxes_failures_and_scorers_are_as_with_a_solver(self) -> None:
        assert [one.reward for one in run("boxed", "1", env_options=self.AGENT)] == [1.0, 0.0]
        for one in run("broken", "1", env_options=self.AGENT):
            assert (one.status.value, one.reward) == ("env_error", None)
            assert "the solver is broken" in str(one.error)
        for one in run("valued", "1", env_options={**self.AGENT, "args": {"value": "raise"}}):
            assert (one.status.value, one.reward) == ("verifier_error", None)
        for one in run("scored_by_itself", "1", "C", env_options=self.AGENT):
            assert [made["actor"] for made in one.model_calls] == ["policy", "scorer"]


def alone(task: str, *script: Any, log_dir: Path) -> tuple[dict[str, float], list[Any]]:
    """What Inspect's own evaluation asks and gives, with the same answers."""
    from inspect_ai import eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import value_to_float

    asked: list[Any] = []

    def answer(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
        asked.append(([(one.role, one.text) for one in messages], [tool.name for tool in tools]))
        turn = script[min(sum(one.role == "assistant" for one in messages), len(script) - 1)]
        if isinstance(turn, str):
            output = ModelOutput.from_content("mockllm", turn)
        else:
            output = ModelOutput.for_tool_call("mockllm", turn["name"], json.loads(turn["arguments"]), content="")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # it fetches a tokenizer otherwise
        return output

    model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
    (log,) = eval(f"{FILE}@{task}", model=model, display="none", log_dir=str(log_dir))
    assert log.status == "success", log.error
    rewards = {}
    for sample in log.samples or ():
        first = next(iter((sample.scores or {}).values()))
        rewards[str(sample.id)] = value_to_float()(first.value)
    return rewards, sorted(asked)


def conversation(items: Any) -> list[tuple[str, str]]:
    """A request's input as pairs of role and text, as Inspect has messages."""
    told = []
    for item in items:
        if item.get("type") == "function_call_output":
            told.append(("tool", item["output"]))
        elif item.get("type") == "function_call":
            told.append(("assistant", ""))
        else:
            content = item["content"]
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            told.append((item["role"], text))
    return told


@needs_inspect
@pytest.mark.parametrize(
    ("task", "script"),
    [
        ("single", ["1"]),
        ("tools", [call("add", x=0, y=1), "it is 1"]),
        ("turns", ["5", "1", "2"]),
        ("choices", ["ANSWER: B"]),
        ("boxed", ["1"]),
        ("reacting", [call("add", x=0, y=1), call("submit", answer="1")]),
    ],
)
def test_inspect_alone_asks_the_same_and_gives_the_same(task: str, script: list[Any], tmp_path: Path) -> None:
    model = ScriptedModel(*script)
    rollouts = run(task, model=model)
    rewards, asked = alone(task, *script, log_dir=tmp_path)
    assert sorted(rewards.values()) == sorted(one.reward for one in rollouts if one.reward is not None)
    here = [(conversation(one.input), [tool["name"] for tool in one.tools]) for one in model.requests]
    assert sorted(here) == asked
