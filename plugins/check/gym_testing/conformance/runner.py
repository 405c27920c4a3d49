"""Whether a runner keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gym_core import ResourceServer, Rollout, Task, errors
from gym_core.spi import Kind
from gym_testing.conformance.component import ComponentConformance
from gym_testing.models import ModelTurn, ScriptedModel
from gym_testing.rehearsal import rehearse, run


class RunnerConformance(ComponentConformance):
    """Subclass it for a runner, and name the runner with `reference`; say in `tasks` what it works on.

        class TestMyRunner(RunnerConformance):
            reference = "my_runner"
            tasks = [Task.ask("What is the capital of Peru?", expected="Lima")]
            scripts = {"policy": ["Lima"]}

    `scripts`: what the models of the run say, by role; those that the runner asks and that are not here say "done".
    `env`: the environment of the run, for a runner that needs one.
    """

    kind: ClassVar[Kind] = Kind.RUNNER
    tasks: Sequence[Task] = ()
    scripts: Mapping[str, Sequence[ModelTurn]] = {}
    env: str | ResourceServer | type[ResourceServer] | None = None

    def test_every_task_has_a_verdict(self) -> None:
        """Each task is completed, and the calls that it made of the run's models are those that it says it makes."""
        assert self.tasks, f"{type(self).__name__}.tasks is empty: say what the runner is to work on"
        roles = self.make().describe().roles
        for task in self.tasks:
            rollout = self._play(task)
            error = rollout.error or {}
            assert rollout.status.has_verdict, (
                f"{task.task_id}: the rollout ended as {rollout.status.value}: {error.get('class')}: "
                f"{error.get('message')}"
            )
            asked = {call["role"] for call in rollout.model_calls} if roles else set()
            assert asked <= {*roles}, f"it asks {', '.join(sorted(asked - {*roles}))} and names only {roles} in `roles`"

    def test_tasks_share_nothing(self) -> None:
        """A task worked on twice by one runner comes to what it came to before."""
        for task in self.tasks[:4]:
            first, again = self._play(task), self._play(task)
            assert (first.reward, first.status) == (again.reward, again.status), (
                f"{task.task_id} comes to {first.reward}, and then to {again.reward}; keep no state on the runner"
            )

    def test_a_model_error_keeps_its_name(self) -> None:
        """A model call that fails ends the rollout as what it is, or the runner copes with it."""
        if not self.make().describe().roles or not self.tasks:
            return
        rollout = self._play(self.tasks[0], errors.BadRequestError("no such parameter"))
        assert rollout.status.has_verdict or rollout.status == "model_error", (
            f"a failed model call became {rollout.status.value}: {(rollout.error or {}).get('message')}; "
            "let ModelError pass"
        )

    def _play(self, task: Task, failing: BaseException | None = None) -> Rollout:
        runner = self.make()
        roles = runner.describe().roles
        scripts: dict[str, Any] = {role: self.scripts.get(role, ()) for role in {*roles, *self.scripts}}
        if failing is not None:
            scripts |= {role: [failing] for role in roles}
        models = {role: ScriptedModel(*script, role=role) for role, script in scripts.items()}
        policy = models.pop("policy", ScriptedModel())
        return run(rehearse(self.env, policy, agent=runner, models=models, task=task))
