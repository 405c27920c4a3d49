"""Whether an environment keeps the contract of resource servers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gym_core import CallContext, Request, Task, encode_json
from gym_core.spi import run_rollout
from gym_testing.checks.groups import group_problems
from gym_testing.checks.problem import Problem
from gym_testing.checks.tasks import TaskCheck, order_problems
from gym_testing.checks.tool_schemas import misfitting, tool_problems
from gym_testing.checks.watched import WatchedServer
from gym_testing.conformance.performance import Play, difference, row_difference
from gym_testing.conformance.rollouts import REFUSAL, RolloutSuite
from gym_testing.models import ModelTurn, ScriptedModel
from gym_testing.rehearsal import open_stage, run
from gym_testing.replies import call

UNKNOWN_TOOL = "no_such_tool_"


class ResourceServerConformance(RolloutSuite):
    """Subclass it for an environment, and name the environment with `reference`.

        class TestMyEnv(ResourceServerConformance):
            reference = "my_env"

            def winning(self, task):
                return [call("add", a=1, b=2), f"The sum is {task['sum']}."]

    `task_limit`: how many of the shipped tasks are looked at; `ships_tasks`: False where all tasks come from files;
    override `tasks` to look at some. `reward_range`: the least and the highest reward. `repeatable`: False where tools
    answer differently each time, because they ask the network, say. `other_models`: the scripts of further roles, such
    as `{"judge": ["yes"]}`. `agent`: a reference, class or instance, where the environment needs another loop.
    `sandbox`: a reference or class of what makes its sandboxes, and `sandbox_options`.
    """

    # Tasks

    def test_tasks_load(self) -> None:
        """Every task is a plain JSON object with a request, and has an id of its own."""
        tasks = self.tasks()
        if not tasks and not self.ships_tasks:
            pytest.skip("the environment ships no tasks: override `tasks` to look at some")
        assert tasks, "the environment ships no tasks; where that is meant, set ships_tasks = False"
        check = TaskCheck()
        for task in tasks:
            check.take(task)
        # An opening observation may tell apart what has the same prompt.
        problems = [str(problem) for problem in check.problems() if problem.code != "prompt-twice"]
        assert not problems, problems[0]

    def test_tasks_come_in_the_same_order(self) -> None:
        """A second listing gives the same tasks, so that a run can be resumed and compared."""
        first, second = ([encode_json(task.row) for task in self.tasks()] for _ in range(2))
        problems = order_problems(first, second)
        assert not problems, str(problems[0])

    def test_every_task_opens_and_is_judged(self) -> None:
        """A model that gives up at once gets a verdict, on every task."""
        tasks = self._some()
        self._judged(self._perform([Play(task, [REFUSAL]) for task in tasks]), "a model that gives up")

    # Tools

    def test_tools_are_described(self) -> None:
        """Names, descriptions and schemas are what endpoints take and models understand."""
        for task, tools in self._offers(self._some()):
            problems = list(tool_problems(tools))
            assert not problems, f"task {task.task_id!r}: " + "; ".join(map(str, problems))

    def test_bad_calls_are_answered(self) -> None:
        """No JSON, arguments that do not fit and an unknown tool are answered, and the session lives on."""
        for task, tools in self._offers(self._few()):
            turns = [[call(tool["name"], text, call_id=f"bad_{tool['name']}_{number}")
                      for number, text in enumerate(misfitting(tool))] for tool in tools]  # fmt: skip
            turns.append([call(UNKNOWN_TOOL, call_id="bad_unknown")])
            done = self._judged(self._perform([Play(task, [*turns, REFUSAL])]), "a model that makes bad calls")
            wanted = [item["call_id"] for turn in turns for item in turn]
            answered = {item.get("call_id"): item.get("output") for item in done.rollouts[0].response.output
                        if item.get("type") == "function_call_output"}  # fmt: skip
            mute = [call_id for call_id in wanted if not answered.get(call_id)]
            assert not mute, f"task {task.task_id!r}: the bad call {mute[0].removeprefix('bad_')!r} got no answer"
            assert len(done.models[0].requests) > len(turns), (
                f"task {task.task_id!r}: a bad call ended the episode; the model must be able to correct itself"
            )

    def test_fitting_calls_are_answered(self) -> None:
        """Every tool takes what its schema allows; it may answer with an error, but not fail the rollout."""
        for task, tools in self._offers(self._few()):
            self._judged(self._perform([Play(task, self._probe(tools))]), "a model that tries every tool")

    # Sessions

    def test_sessions_are_isolated(self) -> None:
        """Two sessions at once come to what each comes to alone."""
        self._require_repeatable()
        tasks = self._few()
        pairs = [(task, 0, tasks[(number + 1) % len(tasks)], 1) for number, task in enumerate(tasks)]
        for one, repeat, other, again in [*pairs, (tasks[0], 0, tasks[0], 1)]:
            plays = [Play(one, self._script(one), repeat), Play(other, self._script(other), again)]
            alone = [self._perform([play]).rollouts[0] for play in plays]
            together = self._perform(plays, together=True).rollouts
            for single, shared in zip(alone, together, strict=True):
                found = difference(single, shared)
                assert not found, (
                    f"the sessions of {one.task_id!r} and {other.task_id!r} share state: alone and beside the other "
                    f"one, {found}; keep what belongs to a rollout in `self`, set in `setup`"
                )

    def test_same_seed_same_result(self) -> None:
        """A rollout that is repeated with the same seed and the same model comes to the same."""
        self._require_repeatable()
        plays = [Play(task, self._script(task)) for task in self._few()]
        for one, other in zip(self._perform(plays).rollouts, self._perform(plays).rollouts, strict=True):
            found = difference(one, other)
            assert not found, (
                f"task {one.task_id!r} comes to another result when repeated: {found}; draw from `self.rng`, or set "
                "repeatable = False"
            )

    def test_closing_twice(self) -> None:
        """Every session that was opened can be closed, and closed again."""
        done = self._perform([Play(task, self._script(task)) for task in self._few()])
        assert not done.problems("close-fails"), done.problems("close-fails")[0]
        assert done.server.closed == done.server.opened > 0, "not every session that was opened was closed"

    def test_cancellation_closes_the_session(self) -> None:
        """A rollout that is cancelled half-way closes its session."""

        async def cancel(task: Task, first: Sequence[ModelTurn]) -> WatchedServer:
            waiting = asyncio.Event()

            async def hang(request: Request, context: CallContext) -> str:
                waiting.set()
                await asyncio.Event().wait()
                return ""

            inner = self._server()
            server = WatchedServer(inner)
            models = {**self._others(), "policy": ScriptedModel(*first, hang)}
            settings: Any = {"executor": server.executor, "sandboxes": self._sandboxes()}
            async with inner, open_stage(server, models, self._worker(server), **settings) as stage:
                rollout = asyncio.create_task(run_rollout(stage, task))
                hanging = asyncio.create_task(waiting.wait())
                await asyncio.wait([rollout, hanging], return_when=asyncio.FIRST_COMPLETED)
                hanging.cancel()
                rollout.cancel()
                await asyncio.wait([rollout])
            return server

        for task in self._few():
            server = run(cancel(task, self._script(task)[:1]))
            assert not server.problems, f"after a cancellation, {server.problems[0]}"
            assert server.closed == server.opened, f"task {task.task_id!r}: a cancelled rollout left its session open"

    def test_served_is_the_same(self) -> None:
        """Served over HTTP the same rollouts come to the same rows, bad calls included."""
        self._require_repeatable()
        plays: list[Play] = []
        for task, tools in self._offers(self._few()[:2]):
            bad = [call(tool["name"], text, call_id=f"bad_{tool['name']}_{place}")
                   for tool in tools for place, text in enumerate(misfitting(tool))]  # fmt: skip
            bad.append(call(UNKNOWN_TOOL, call_id="bad_unknown"))
            scripts: list[Sequence[ModelTurn]] = [self._script(task), self.losing(task), [bad, REFUSAL]]
            plays += [Play(task, script, repeat) for repeat, script in enumerate(scripts)]
        here, there = (self._perform(plays, served=served).rollouts for served in (False, True))
        for one, other in zip(here, there, strict=True):
            found = row_difference(one, other)
            assert not found, (
                f"task {one.task_id!r} comes to another row in process than over HTTP: {found}; what a session answers "
                "must be JSON, and depend on its task, its seed and what it is asked alone"
            )

    # Rewards

    def test_verdicts_are_repeatable(self) -> None:
        """`verify` gives the same verdict when it is asked again, and changes nothing."""
        for task in self._few():
            done = self._judged(self._perform([Play(task, self._script(task))]), "a model that does its best")
            found = done.problems("verify-unstable")
            assert not found, found[0]

    def test_rewards_are_within_their_range(self) -> None:
        """Whatever the model does, the reward is a finite number within `reward_range`."""
        for task, tools in self._offers(self._few()):
            scripts = [self._probe(tools), self.losing(task), [""], [[]], self.winning(task) or [REFUSAL]]
            self._judged(
                self._perform([Play(task, script, number) for number, script in enumerate(scripts)]), "a scripted model"
            )

    def test_groups_are_scored(self) -> None:
        """Rollouts of one task that are scored together get a verdict each, and the same when that is asked again."""
        if not self._server().describe().scores_groups:
            pytest.skip("the environment has no `score_group`")

        async def score(task: Task, scripts: Sequence[Sequence[ModelTurn]]) -> list[Problem]:
            inner = self._server()
            server, rollouts = WatchedServer(inner), []
            try:
                async with inner:
                    for repeat, script in enumerate(scripts):
                        models = {**self._others(), "policy": ScriptedModel(*script)}
                        boxes = self._sandboxes()
                        async with open_stage(server, models, self._worker(server), sandboxes=boxes) as stage:
                            rollouts.append(await run_rollout(stage, task, repeat))
                    return await group_problems(server, rollouts)
            finally:
                server.executor.close()

        for task in self._few():
            problems = run(score(task, [self._script(task), self.losing(task), [REFUSAL], [""]]))
            assert not problems, str(problems[0])

    def test_winning_beats_losing(self) -> None:
        """The winning script earns more than the losing one, on every task that has one."""
        tasks = [task for task in self._some() if self.winning(task) is not None]
        if not tasks:
            pytest.skip("no `winning` script: define it to see that the verifier tells a solution from a failure")
        won = self._judged(self._perform([Play(task, self.winning(task) or ()) for task in tasks]), "`winning`")
        lost = self._judged(self._perform([Play(task, self.losing(task)) for task in tasks]), "`losing`")
        for task, winner, loser in zip(tasks, won.rollouts, lost.rollouts, strict=True):
            better, worse = winner.reward or 0.0, loser.reward or 0.0
            assert better > worse, (
                f"task {task.task_id!r}: the winning script earns {better:g} and the losing one {worse:g}; "
                f"the verifier said {dict(winner.info)} {dict(winner.reward_components)}"
            )
