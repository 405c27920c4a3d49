"""gym's environments as those of TRL's loop, without TRL."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import pytest

from gym_core import Task, UsageError, tool, user_message
from gym_core.errors import SessionError
from gym_training import GymSpec
from tests.support.envs import PlainSession, ask, env


class Office(PlainSession):
    """Two tools; opens with a word; fails where the task says so."""

    def setup(self) -> Any:
        if self.task.get("fails") == "setup":
            raise RuntimeError("nothing is there")
        return [user_message("Begin.")]

    @tool
    def look(self, at: str, kind: Literal["near", "far"] = "near", places: list[int] | None = None) -> str:
        """Look at something.

        Args:
            at: What to look at.
        """
        if self.task.get("fails") == "tool":
            raise SessionError("the eyes are shut")
        return f"seen {at}, {kind}, {places}"

    @tool
    def wait(self) -> None:
        """Do nothing."""

    def verify(self, trajectory: Any) -> float:
        if self.task.get("fails") == "verify":
            raise RuntimeError("the verifier broke")
        self.server.seen.append(trajectory)
        return float(len(trajectory.tool_calls))


class Talking(PlainSession):
    """Answers texts, as a user."""

    def reply(self, response: Any) -> Any:
        return [user_message("and now?")]


def spec(*rows: Task, session: Any = Office, **settings: Any) -> GymSpec:
    server = env(session, [*rows] or [ask(0)])
    server.seen = []  # type: ignore[attr-defined]
    return GymSpec(env=server, agent="simple_agent", **settings)


def said(text: str, **others: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text, **others}]


def test_tools_are_methods_and_the_verifier_sees_the_conversation() -> None:
    with spec(ask(0), ask(1)) as open_spec:
        assert [row["task_id"] for row in open_spec.prompts] == ["t0", "t1"]
        assert open_spec.prompts[0]["prompt"][-1]["role"] == "user"
        first, second = open_spec.environment_factory(), open_spec.environment_factory()
        assert first.reset(**open_spec.prompts[0]) == "\n\nBegin."
        second.reset(task_id="t1")
        assert first.look(at="Oslo") == "seen Oslo, near, None"
        assert first.look(at="Rome", kind="far", places=[1]) == "seen Rome, far, [1]"
        assert "at" in second.look(kind="far")
        told: list[Any] = []
        completions = [said("it is there"), said("")]
        rewards = open_spec.reward([], completions, [first, second], lambda *one: told.append(one))
        assert rewards == [2.0, 1.0]
        assert told == [("gym/failed", 0.0)]
        seen = open_spec._settings["env"].seen[0]
        assert seen.output_text.endswith("it is there")
        assert first.reset(task_id="t1") == "\n\nBegin.", "it is used again"
        assert first.look(at="Bonn").startswith("seen Bonn")


def test_methods_have_the_form_that_schemas_are_read_from() -> None:
    with spec() as open_spec:
        look = open_spec.environment_factory().look
        signature = inspect.signature(look)
        assert [*signature.parameters] == ["at", "kind", "places"]
        assert signature.parameters["at"].default is inspect.Parameter.empty
        assert look.__annotations__["at"] is str
        assert look.__annotations__["kind"] == Literal["near", "far"] | None
        assert "    at: What to look at." in look.__doc__


@pytest.mark.parametrize("where", ["setup", "tool", "verify"])
def test_a_failure_has_no_reward(where: str) -> None:
    with spec(ask(0), ask(1, fails=where)) as open_spec:
        environment = open_spec.environment_factory()
        environment.reset(task_id="t1")
        answer = environment.look(at="Oslo")
        assert ("over" in answer) == (where != "verify")
        assert open_spec.reward([], [said("done")], [environment]) == [None]
        assert open_spec.failed == 1


def test_what_is_cut_is_judged_as_truncated() -> None:
    with spec() as open_spec:
        environment = open_spec.environment_factory()
        environment.reset(task_id="t0")
        environment.wait()
        assert open_spec.reward([], [said("", tool_calls=[{"name": "wait"}])], [environment]) == [1.0]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UsageError, match="not open"):
        spec().environment_factory()
    with spec(session=Talking) as open_spec:
        environment = open_spec.environment_factory()
        with pytest.raises(UsageError, match="no task is called 'mine'"):
            environment.reset(task_id="mine")
        environment.reset(task_id="t0")
        with pytest.raises(UsageError, match="answers texts"):
            open_spec.reward([], [said("hello")], [environment])
        with pytest.raises(UsageError, match="no environments of this spec"):
            open_spec.reward([], [said("hello")])
    with pytest.raises(UsageError, match="nothing is there"):
        spec(ask(0, fails="setup")).__enter__()
    with pytest.raises(TypeError, match="no setting `concurency`"):
        spec(concurency=3).__enter__()
