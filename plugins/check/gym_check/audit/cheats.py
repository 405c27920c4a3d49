"""What the rewards of the scripted policies say about the verifier."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from gym_check.audit.finding import Finding, error, info, warning
from gym_check.audit.policies import CallEverything, Policy
from gym_check.audit.report import PolicyResult, Report
from gym_core import Rollout

NEARLY = 0.999
MOSTLY = 0.5
"""The share of tasks above which a full reward for no work is a finding."""


def full_reward(rollouts: Mapping[str, Sequence[Rollout]]) -> float:
    """What counts as a full reward: 1, or the most that any policy earned where that is more."""
    rewards = [rollout.reward for played in rollouts.values() for rollout in played if rollout.reward is not None]
    return NEARLY * max(1.0, *rewards) if rewards else NEARLY


def result_of(name: str, rollouts: Sequence[Rollout], full: float) -> PolicyResult:
    """How a policy fared that played every task once."""
    rewards = [rollout.reward for rollout in rollouts if rollout.reward is not None]
    return PolicyResult(
        name,
        verdicts=len(rewards),
        failed=len(rollouts) - len(rewards),
        full=sum(reward >= full for reward in rewards),
        mean=sum(rewards) / len(rewards) if rewards else None,
        best=max(rewards, default=None),
    )


def cheat_findings(
    policies: Sequence[Policy],
    rollouts: Mapping[str, Sequence[Rollout]],
    results: Mapping[str, PolicyResult],
    full: float,
    lucky: Collection[str] = (),
) -> Iterator[Finding]:
    """The policies that a full reward on most tasks shows to be a cheat. `lucky`: those that won by chance."""
    for policy in policies:
        result = results[policy.name]
        if result.share <= MOSTLY:
            continue
        example = next(r.task_id for r in rollouts[policy.name] if r.reward is not None and r.reward >= full)
        earned = f"earns a full reward on {result.full} of {result.verdicts} tasks"
        if isinstance(policy, CallEverything) and len(policy.tools.get(example, ())) == 1:
            # With one tool to call, calling it and saying what it returned may be all that was asked for.
            problem = f"calling the one tool once and repeating what it returns {earned}"
            fix = "fine if that is the task; else ask for something that has to be worked out"
            yield warning("one-call-suffices", problem, fix, example, result.full)
            continue
        if policy.name in lucky:
            problem = f"a policy that {policy.does} {earned}, though by chance: with other seeds it loses them"
            yield info("won-by-chance", problem, "fine in a game of chance; else draw less", example, result.full)
            continue
        problem = f"cheatable by `{policy.name}`: a policy that {policy.does} {earned}"
        fix = "make `verify` demand the work: what is right must be there, and what is wrong or missing must cost"
        yield error("cheatable", problem, fix, example, result.full)


def range_findings(rollouts: Mapping[str, Sequence[Rollout]]) -> Iterator[Finding]:
    """Rewards that say nothing or are outside of the usual range."""
    played = [rollout for several in rollouts.values() for rollout in several if rollout.reward is not None]
    strange = [rollout for rollout in played if not 0 <= (rollout.reward or 0.0) <= 1]
    if strange:
        problem = f"a reward of {strange[0].reward:g} is outside of 0 to 1"
        fix = "scale rewards to 0 to 1, which means and histograms are made for"
        yield warning("reward-range", problem, fix, strange[0].task_id, len(strange))
    rewards = {rollout.reward for rollout in played}
    if len(played) > 1 and len(rewards) == 1:
        (reward,) = rewards
        if reward and 0 < reward < NEARLY:
            problem = f"all policies earn {reward:g} on every task, whatever they do"
            yield warning("reward-constant", problem, "make `verify` look at the trajectory", played[0].task_id)


def never_won(report: Report, model: str) -> Iterator[Finding]:
    """A verifier that nobody could please: it may be right and the tasks hard, but nothing has shown it."""
    rewards = report.sample.rewards if report.sample is not None else []
    if rewards and not report.rewarded:
        problem = f"nothing was ever rewarded: neither a scripted policy nor {model} earned more than 0 on any task"
        fix = "solve a task by hand (`gym_testing.run_rollout`) and see that `verify` rewards it"
        yield warning("never-won", problem, fix)


def failure_findings(rollouts: Mapping[str, Sequence[Rollout]]) -> Iterator[Finding]:
    """Rollouts without a verdict, by what failed and where."""
    failed: dict[tuple[str, str], list[tuple[str, Rollout]]] = {}
    for name, played in rollouts.items():
        for rollout in played:
            if rollout.error is not None:
                phase, status = str(rollout.error.get("phase", "")), rollout.status.value
                failed.setdefault((phase, status), []).append((name, rollout))
    for (phase, status), several in failed.items():
        name, rollout = several[0]
        what = rollout.error or {}
        problem = (
            f"{len(several)} rollouts failed in `{phase}` ({status}); with the policy `{name}`: "
            f"{what.get('class')}: {what.get('message')}"
        )
        fix = "it must hold for whatever a model does"
        if phase == "verify":
            fix = "`verify` must cope with any trajectory, an empty one as well"
        yield error(f"{phase or 'rollout'}-fails", problem, fix, rollout.task_id, len(several))
