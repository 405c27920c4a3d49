"""One sample: state, limits, sandbox, solver and scorers, as Inspect's own evaluation has them.

Inspect runs one evaluation at a time in a process, with a display and a log. What it does for a sample is done here by
its own parts, each of which keeps what it knows in context variables: samples that run at once do not see each other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from gym_core import Task, TaskFailed, Verdict
from gym_core.errors import EpisodeOver, GymError
from gym_core.spi import asked_to_end, described
from gym_inspect.model import Calls, model
from gym_inspect.scores import verdict

ROW = "inspect"
"""The field of a task that holds the sample: input, target, choices, metadata, files."""
_LIMITS = {"message": "max_turns", "turn": "max_turns", "token": "max_rollout_tokens", "cost": "max_rollout_tokens"}
_STOPS = {"max_tokens": "max_output_tokens", "model_length": "context_length", "content_filter": "content_filter"}


async def run_sample(task: Any, sample: Any, calls: Calls, epoch: int, reward: str | None) -> tuple[Verdict, str]:
    """The verdict on one sample, and why it stopped. Raises `TaskFailed`, and errors of models as they are."""
    from inspect_ai._eval.task.sandbox import sandboxenv_context

    state = _prepare(task, sample, calls, epoch)
    async with AsyncExitStack() as stack:
        active = await stack.enter_async_context(_active(task, sample, state))
        if task.sandbox is not None or sample.sandbox is not None:
            try:
                await stack.enter_async_context(sandboxenv_context(task.name, task.sandbox, None, True, sample))
            except Exception as error:
                raise _failed(error, "setup", "its sandbox did not start") from error
        try:
            state, stop = await _solve(task, state, calls, active)
            _require_answers(calls)
            await calls.conclude(state)
            calls.scoring = True
            scores = await _score(task, sample, state)
            _require_answers(calls)
        finally:
            if task.cleanup is not None:
                await _clean_up(task, state)
    return verdict(scores, reward), stop or _STOPS.get(_last(state), "completed")


def sample_of(task: Task) -> Any:
    """The sample that a task holds. Raises `TaskFailed`."""
    from inspect_ai.dataset import Sample

    held = task.get(ROW)
    if not isinstance(held, Mapping):
        raise TaskFailed(f"the task has no sample of Inspect in its field `{ROW}`", phase="setup")
    try:
        return Sample.model_validate(dict(held))
    except ValueError as error:
        raise TaskFailed(f"the task's field `{ROW}` is no sample: {error}"[:400], phase="setup") from error


def _prepare(task: Any, sample: Any, calls: Calls, epoch: int) -> Any:
    from inspect_ai._eval.context import init_task_context
    from inspect_ai._eval.task.util import sample_messages
    from inspect_ai._util.working import init_sample_working_time
    from inspect_ai.log._transcript import Transcript, init_transcript
    from inspect_ai.model import ModelName
    from inspect_ai.model._model import init_sample_model_data
    from inspect_ai.scorer import Target
    from inspect_ai.scorer._score import init_scoring_context
    from inspect_ai.solver import TaskState
    from inspect_ai.solver._task_state import set_sample_state
    from inspect_ai.util._store import init_subtask_store

    policy = calls.policy()
    init_task_context(policy, _roles(task, calls), task.config, task.approval)
    init_sample_model_data()
    init_sample_working_time(time.monotonic())
    state = TaskState(
        sample_id=sample.id,
        epoch=epoch,
        model=ModelName(policy),
        input=sample.input,
        target=Target(sample.target),
        choices=sample.choices,
        messages=sample_messages(sample),
        message_limit=task.message_limit,
        token_limit=task.token_limit,
        token_limit_type=task.token_limit_type or "all",
        cost_limit=task.cost_limit,
        metadata=sample.metadata or {},
    )
    init_transcript(Transcript())
    init_subtask_store(state.store)
    set_sample_state(state)
    if task.scorer:
        init_scoring_context(task.scorer, Target(sample.target))
    return state


def _roles(task: Any, calls: Calls) -> dict[str, Any]:
    """The models of the run by role, before those that the task names. A grader is the judge where there is none."""
    roles = {role: model(role) for role in calls.context.models if role != "policy"}
    if "judge" in roles:
        roles.setdefault("grader", roles["judge"])
    return {**(task.model_roles or {}), **roles}


def _active(task: Any, sample: Any, state: Any) -> Any:
    """The sample as Inspect knows those that are under way: its agents ask for that."""
    from inspect_ai.log._samples import active_sample
    from inspect_ai.log._transcript import transcript

    return active_sample(
        task=task.name,
        log_location="",
        model=str(state.model),
        sample=sample,
        epoch=state.epoch,
        message_limit=state.message_limit,
        token_limit=state.token_limit,
        cost_limit=state.cost_limit,
        time_limit=task.time_limit,
        working_limit=task.working_limit,
        fails_on_error=True,
        transcript=transcript(),
        eval_id="gym",
        sample_uuid=state.uuid,
    )


async def _solve(task: Any, state: Any, calls: Calls, active: Any) -> tuple[Any, str]:
    from anyio import create_task_group
    from inspect_ai._eval.task.run import resolve_plan
    from inspect_ai.solver._fork import set_task_generate
    from inspect_ai.solver._task_state import sample_state
    from inspect_ai.util import LimitExceededError, time_limit, turn_limit, working_limit

    generate = _generating(task, calls.policy())
    set_task_generate(generate)
    try:
        with ExitStack() as limits:
            for limit in (
                state._token_limit,
                state._cost_limit,
                state._message_limit,
                turn_limit(task.turn_limit),
                time_limit(task.time_limit),
                working_limit(task.working_limit),
            ):
                limits.enter_context(limit)
            async with create_task_group() as background:
                active.start(background)
                solved = await resolve_plan(task, None)(state, generate)
                background.cancel_scope.cancel()
            return solved, ""
    except BaseException as error:
        if asked_to_end(error):
            raise
        for one in _flat(error):
            if isinstance(one, EpisodeOver):
                return sample_state() or state, "max_rollout_tokens"
            if isinstance(one, LimitExceededError):
                return sample_state() or state, _LIMITS.get(one.type, f"{one.type}_limit")
            if type(one).__name__ == "TerminateSampleError":
                return sample_state() or state, "terminated"
        raise _failed(error, "agent", "its solver failed") from error


async def _clean_up(task: Any, state: Any) -> None:
    try:
        await task.cleanup(state)
    except Exception as error:  # as Inspect has it: what was scored stands
        logging.getLogger("gym").warning("the cleanup of a task of Inspect failed: %s", described(error))


def _generating(task: Any, policy: Any) -> Any:
    from inspect_ai._eval.task.generate import task_generate

    async def generate(state: Any, tool_calls: Any = "loop", **settings: Any) -> Any:
        # an answer that was kept from another rollout is none of this one's
        settings.pop("cache", None)
        return await task_generate(policy, state, tool_calls, False, task.config.merge(settings))

    return generate


async def _score(task: Any, sample: Any, state: Any) -> Mapping[str, Any]:
    from inspect_ai.scorer import Target
    from inspect_ai.scorer._scorer import unique_scorer_name
    from inspect_ai.solver._task_state import set_sample_state
    from inspect_ai.util import time_limit

    state.completed = True
    set_sample_state(state)
    by_solver = dict(state.scores or {})
    state.scores = state.scores or {}
    found: dict[str, Any] = {}
    with time_limit(task.time_limit / 2 if task.time_limit else None):
        for scorer in task.scorer or ():
            name = unique_scorer_name(scorer, [*by_solver, *found])
            try:
                score = await scorer(state, Target(sample.target))
            except BaseException as error:
                if asked_to_end(error):
                    raise
                raise _failed(error, "verify", f"the scorer {name} failed") from error
            if score is not None:
                found[name] = state.scores[name] = score
    return {**found, **by_solver}


def _require_answers(calls: Calls) -> None:
    """A model call that failed, and that nobody made good, is not passed over: what was scored would be its failure."""
    for error in calls.failed.values():
        raise error


def _failed(error: BaseException, phase: str, what: str) -> BaseException:
    for one in _flat(error):
        if isinstance(one, GymError):
            return one
    last = _flat(error)[0]
    words = f"it left with sys.exit({last.code!r})" if isinstance(last, SystemExit) else described(last)
    return TaskFailed(" ".join(f"{what}: {words}".split())[:500], phase=phase)


def _flat(error: BaseException) -> list[BaseException]:
    """An error, or those of a group, each with what it came of."""
    if isinstance(error, BaseExceptionGroup):
        return [inner for one in error.exceptions for inner in _flat(one)]
    cause = error.__cause__
    return [error, *(_flat(cause) if cause is not None else ())]


def _last(state: Any) -> str:
    return state.output.stop_reason if state.output.choices else ""
