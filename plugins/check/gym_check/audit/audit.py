"""The audit of an environment: its tasks, its tools, its verifier, and policies that try to cheat it."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gym_check.audit.cheats import (
    MOSTLY,
    cheat_findings,
    failure_findings,
    full_reward,
    never_won,
    range_findings,
    result_of,
)
from gym_check.audit.finding import Finding, Severity, error, finding_of, findings_of, info, warning
from gym_check.audit.leaks import MOST_STRINGS, MOST_TASKS, LeakPlan
from gym_check.audit.policies import SIMPLE, Leak, Null, Policy, Row
from gym_check.audit.report import PolicyResult, Report, Sample
from gym_core import GymError, ResourceServer, Rollout, Task, UsageError
from gym_core.spi import (
    Configured,
    Deadlines,
    Kind,
    Loaded,
    Maker,
    PluginManager,
    Redactor,
    RunConfig,
    enter,
    input_source,
    open_run,
    run_config,
)
from gym_testing.agents import LoopAgent
from gym_testing.checks.groups import group_problems
from gym_testing.checks.tasks import TaskCheck, listing_problems
from gym_testing.checks.tool_schemas import tool_problems
from gym_testing.checks.watched import WatchedServer

POLICY = "policy"
SLOW = 1.0
LEAK_SECONDS = 20.0
AGAIN = 32
"""So often what won is tried again with other seeds, a quarter as often where `verify` is slow: chance loses once."""
OTHER_SEED = 7
FEW = 4
"""So many tasks are looked at for one that its row answers, and have their rollouts scored together."""
GROUP = 4
"""How many rollouts of a task are scored together."""
DEADLINES = Deadlines(rollout=300.0, setup=60.0, tool=60.0, verify=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """What to audit.

    `env`: a reference, `options` those of the environment. `input`: a file of tasks, None for those it ships. `limit`:
    how many tasks are looked at. `models` by role: the `policy` is what the sample is taken with, the others are for
    sessions that ask for them. `sandbox`: what makes the sandboxes of sessions. `sample`: tasks of the sample.
    `task_id`: what names a task, as in a run. `environ`: where options may also come from. `configured`: what a file
    gives each component.
    """

    env: str
    options: Mapping[str, Any] = field(default_factory=dict)
    input: str | None = None
    limit: int = 100
    models: Mapping[str, str] = field(default_factory=dict)
    model_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sandbox: str | None = None
    sandbox_options: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 10
    task_id: str | None = None
    disabled_plugins: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    configured: Mapping[str, Configured] = field(default_factory=dict)


class AuditAgent(LoopAgent):
    """Gives up on environments that always have a reply."""

    max_turns = 8


class Audit:
    """One audit. `report` is told what takes long. Raises `UsageError` and `PluginError` as a run does."""

    def __init__(
        self,
        config: AuditConfig,
        *,
        redactor: Redactor | None = None,
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.config = config
        self.redactor = redactor if redactor is not None else Redactor()
        self._say = report
        self._manager = PluginManager(config.disabled_plugins)
        self._loaded: Loaded = self._manager.load(Kind.RESOURCE_SERVER, config.env)

    async def run(self) -> Report:
        """Everything in order; a part that cannot be done is left out, and a finding says so."""
        plugin = self._loaded.plugin
        report = Report(self.config.env, plugin.distribution, plugin.version)
        async with self._open() as server:
            tasks = TaskCheck(self.config.task_id)
            problems = await listing_problems(server, tasks, self.config.limit)
            report.tasks = len(tasks.rows)
            report.findings += map(finding_of, [*problems, *tasks.problems()])
            if tasks.tasks:
                await self._try(server, tasks.tasks, report)
        report.sort()
        return report

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[WatchedServer]:
        loaded, config = self._loaded, self.config
        maker = Maker(self._manager, self.redactor, config.environ, config.configured)
        inner: ResourceServer = maker.make(Kind.RESOURCE_SERVER, loaded.reference, config.options).component
        listed = None
        if config.input is not None:
            source = input_source(config.input, inner, task_id=config.task_id)
            source.check()
            listed = partial(_tasks_of, source)
        async with AsyncExitStack() as stack:
            server = WatchedServer(
                await enter(stack, inner, Kind.RESOURCE_SERVER, loaded.plugin.distribution), DEADLINES, listed
            )
            stack.callback(server.executor.close)
            yield server

    async def _try(self, server: WatchedServer, tasks: Sequence[Task], report: Report) -> None:
        roles = _roles(server)
        if server.describe().sandbox_roles and self.config.sandbox is None:
            problem = "its sessions run commands in a sandbox, so that nothing was verified"
            report.findings.append(warning("needs-sandbox", problem, "--sandbox REF audits the verifier, too"))
            return
        missing = [role for role in roles if role not in self.config.models]
        if missing:
            problem = f"its sessions ask a `{missing[0]}` model, so that nothing was verified"
            report.findings.append(
                warning("needs-model", problem, f"--model {missing[0]}=REF audits the verifier, too")
            )
            return
        policies = [policy() for policy in SIMPLE]
        rollouts: dict[str, list[Rollout]] = {}
        for policy in policies:
            self._say(f"trying the policy `{policy.name}` on {_tasks(len(tasks))}")
            rollouts[policy.name] = await self._play(server, policy, tasks)
        full = full_reward(rollouts)
        results = {policy.name: result_of(policy.name, rollouts[policy.name], full) for policy in policies}
        report.policies += results.values()
        report.findings += self._tools(policies[0], report)
        report.findings += failure_findings(rollouts)
        report.findings += range_findings(rollouts)
        self._account(server, report)
        await self._try_groups(server, tasks[:FEW], report)
        lucky = await self._lucky(server, policies, tasks, rollouts, results, full, report)
        report.findings += cheat_findings(policies, rollouts, results, full, lucky)
        # What is cheated by less would be cheated by this as well; it takes many times as long, and as many paid calls
        # where the verifier asks a model.
        if results[Null.name].verdicts and not roles and not any(result.share > MOSTLY for result in results.values()):
            await self._try_leaks(server, tasks, policies[0], full, report)
        if not (report.rewarded or roles):
            row = Row(tasks[:FEW])
            played = await self._play(server, row, tasks[:FEW], row.repeats)
            report.solved = any((rollout.reward or 0.0) > 0 for rollout in played)
        if POLICY in self.config.models:
            try:
                await self._take_sample(server, tasks, report)
                report.findings += never_won(report, self.config.models[POLICY])
            except GymError as failed:  # what was found out until then is worth having
                message = f"no sample was taken: {failed.message}"
                report.findings.append(error("sample-not-taken", message, failed.hint or "look at --model and -M"))

    async def _play(
        self, server: WatchedServer, policy: Policy, tasks: Sequence[Task], repeats: int = 1, *, seed: int | None = None
    ) -> list[Rollout]:
        config = self.config
        others = {role: model for role, model in config.models.items() if role != POLICY}
        options = {role: given for role, given in config.model_options.items() if role in others}
        return await self._collect(
            tasks,
            run_config(
                models={**others, POLICY: policy},
                model_options=options,
                env=server,
                agent=self._preferred(Kind.RUNNER) or AuditAgent(),
                tasks=tasks,
                repeats=repeats,
                group=False,
                seed=seed,
                concurrency=8,
                deadlines=DEADLINES,
                disabled_plugins=config.disabled_plugins,
                configured={
                    place: given for place, given in config.configured.items() if place in (*others, "sandbox")
                },
                sandbox=config.sandbox,
                sandbox_options=config.sandbox_options,
            ),
        )

    async def _collect(self, tasks: Sequence[Task], config: RunConfig) -> list[Rollout]:
        rollouts: list[Rollout] = []
        async with open_run(config, redactor=self.redactor) as run:
            await run.execute(rollouts.append)
        if run.error is not None:
            raise run.error
        places = {task.task_id: place for place, task in enumerate(tasks)}
        rollouts.sort(key=lambda rollout: (places.get(rollout.task_id, 0), rollout.repeat))
        return rollouts

    def _preferred(self, *kinds: Kind) -> str | None:
        """The agent that the environment names, where it is of one of these kinds; a runner is its own loop."""
        preferred = self._loaded.component.preferred_agent
        try:
            return preferred if self._manager.find(Kind.AGENT, preferred).kind in kinds else None
        except UsageError:
            return None

    async def _try_groups(self, server: WatchedServer, tasks: Sequence[Task], report: Report) -> None:
        """Have rollouts of some tasks scored together, where the environment does that."""
        if not server.describe().scores_groups:
            return
        together: dict[str, list[Rollout]] = {}
        for rollout in await self._play(server, Null(), tasks, GROUP):
            together.setdefault(rollout.task_id, []).append(rollout)
        for rollouts in together.values():
            report.findings += map(finding_of, await group_problems(server, rollouts))

    def _tools(self, seen: Policy, report: Report) -> Iterator[Finding]:
        names: dict[str, None] = {}
        told: set[str] = set()
        for task_id, tools in seen.tools.items():
            names.update((str(tool.get("name") or tool.get("type")), None) for tool in tools)
            for problem in tool_problems(tools):
                if problem.message not in told:
                    told.add(problem.message)
                    yield finding_of(problem, task_id)
        report.tools = tuple(names)

    def _account(self, server: WatchedServer, report: Report) -> None:
        report.findings += findings_of(server.problems, Severity.WARNING if _roles(server) else Severity.ERROR)
        if not server.seconds:
            return
        report.verify_median, report.verify_max = statistics.median(server.seconds), max(server.seconds)
        if report.verify_max > SLOW:
            problem = f"`verify` took up to {report.verify_max:.1f} s (median {report.verify_median:.2f} s)"
            fix = "mark it `@gym_core.blocking` or `@gym_core.isolated`, so that other rollouts go on meanwhile"
            report.findings.append(warning("verify-slow", problem, fix, server.slowest))

    async def _try_leaks(
        self, server: WatchedServer, tasks: Sequence[Task], seen: Policy, full: float, report: Report
    ) -> None:
        verdicts = {task.task_id: seen.prompts[task.task_id] for task in tasks if task.task_id in seen.prompts}
        plan = LeakPlan(verdicts)
        cost = (report.verify_median or 0.0) * len(plan.prompts)
        if cost * plan.repeats > LEAK_SECONDS:
            plan = LeakPlan(verdicts, most=max(4, min(MOST_STRINGS, int(LEAK_SECONDS / cost))))
        chosen = [task for task in tasks if task.task_id in plan.prompts]
        self._say(f"answering {_tasks(len(chosen))} with strings of the prompts")
        server.twice = False
        played = await self._play(server, Leak(plan.places), chosen, plan.repeats)
        tries = [rollout for rollout in played if plan.is_try(*rollout.key)]
        rewarded: dict[str, list[int]] = {}
        best: dict[str, float] = {}
        for rollout in tries:
            reward = rollout.reward
            if reward is not None:
                best[rollout.task_id] = max(reward, best.get(rollout.task_id, reward))
                if reward >= full:
                    rewarded.setdefault(rollout.task_id, []).append(rollout.repeat)
        mean = statistics.fmean(best.values()) if best else None
        failed = len(chosen) - len(best)
        highest = max(best.values(), default=None)
        report.policies.append(PolicyResult(Leak.name, len(best), failed, len(rewarded), mean, highest))
        report.findings += failure_findings({Leak.name: tries})
        places = {task_id: [plan.places[task_id][repeats[0]]] * AGAIN for task_id, repeats in rewarded.items()}
        winners = [task for task in chosen if task.task_id in places]
        lost = await self._lost(server, Leak(places), winners, full, report)
        finding = plan.judge({task_id: repeats for task_id, repeats in rewarded.items() if task_id not in lost})
        if finding is not None:
            report.findings.append(finding)

    async def _lucky(
        self,
        server: WatchedServer,
        policies: Sequence[Policy],
        tasks: Sequence[Task],
        rollouts: Mapping[str, Sequence[Rollout]],
        results: Mapping[str, PolicyResult],
        full: float,
        report: Report,
    ) -> set[str]:
        """The policies whose rewards are a matter of chance: with other seeds, most tasks reward them no more."""
        lucky: set[str] = set()
        for policy in policies:
            result = results[policy.name]
            if result.share <= MOSTLY or _roles(server):  # more calls of a judge would be paid for
                continue
            won = {played.task_id for played in rollouts[policy.name] if (played.reward or 0.0) >= full}
            winners = [task for task in tasks if task.task_id in won]
            winners = winners[:: max(1, len(winners) // MOST_TASKS)][:MOST_TASKS]
            lost = await self._lost(server, policy, winners, full, report)
            if result.share * (1 - len(lost) / len(winners)) <= MOSTLY:
                lucky.add(policy.name)
        return lucky

    async def _lost(
        self, server: WatchedServer, policy: Policy, tasks: Sequence[Task], full: float, report: Report
    ) -> set[str]:
        """The tasks, of those that rewarded a policy fully, that do not with some other seed."""
        if not tasks:
            return set()
        slow = (report.verify_median or 0.0) * len(tasks) * AGAIN > LEAK_SECONDS
        server.twice = False
        played = await self._play(server, policy, tasks, AGAIN // 4 if slow else AGAIN, seed=OTHER_SEED)
        return {rollout.task_id for rollout in played if rollout.reward is None or rollout.reward < full}

    async def _take_sample(self, server: WatchedServer, tasks: Sequence[Task], report: Report) -> None:
        config = self.config
        chosen = tasks[: config.sample]
        self._say(f"asking {config.models[POLICY]} about {_tasks(len(chosen))}")
        server.twice = False
        rollouts = await self._collect(
            chosen,
            run_config(
                models=config.models,
                model_options=config.model_options,
                env=server,
                agent=self._preferred(*Kind.AGENT.accepted) or AuditAgent(),
                tasks=chosen,
                disabled_plugins=config.disabled_plugins,
                configured=config.configured,
                sandbox=config.sandbox,
                sandbox_options=config.sandbox_options,
            ),
        )
        rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
        report.sample = sample = Sample(config.models[POLICY], rewards, len(rollouts) - len(rewards))
        if sample.failed:
            failed = next(rollout for rollout in rollouts if rollout.reward is None)
            what = failed.error or {}
            cause = f"{what.get('class')}: {what.get('message')}"
            problem = f"{sample.failed} of {len(rollouts)} sampled rollouts failed: {cause}"
            report.findings.append(warning("sample-fails", problem, "see what failed with `gym run`", failed.task_id))
        if len(rewards) > 1 and len(set(rewards)) == 1:
            problem = f"the model earns {rewards[0]:g} on every sampled task"
            fix = "a set on which all rewards are equal tells models apart badly, and teaches them nothing"
            report.findings.append(info("sample-uniform", problem, fix))


def _roles(server: WatchedServer) -> tuple[str, ...]:
    """The models that sessions ask besides the policy, where that can be known before one is open."""
    return server.describe().roles


def _tasks_of(source: Any) -> Iterator[Task]:
    for batch in source.batches():
        yield from batch


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"
