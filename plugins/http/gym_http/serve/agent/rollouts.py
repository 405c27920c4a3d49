"""Rollouts on demand: rows come in, result rows go out, with the engine of a run in between and no files."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import orjson

from gym_core import JsonError, Rollout, Runner, Task, encode_json
from gym_core.spi import (
    REQUEST_FIELD,
    Assembly,
    Clock,
    Executor,
    Failure,
    Job,
    Limiter,
    Price,
    Redactor,
    RolloutRun,
    RunConfig,
    Stage,
    beginning,
    carry_out,
    check_row,
    conversation,
    log_rollout,
    make_gates,
    make_stage,
    own_task_id,
    unwritable,
    with_tokens_on_items,
)
from gym_http.protocol.errors import ServeError
from gym_http.protocol.nemo import NumberedRow
from gym_http.protocol.shapes import read
from gym_http.serve.agent.conversation import answer_of

logger = logging.getLogger("gym")

WAITING = 16_384
"""How many rollouts may wait for their turn; one more is refused."""
RETRY_AFTER = "5"


class Rollouts:
    """Runs rollouts of one environment, agent and model, `concurrency` at a time; `waiting` more may wait."""

    def __init__(
        self, stage: Stage, *, concurrency: int, waiting: int = WAITING, redactor: Redactor | None = None
    ) -> None:
        self.stage = stage
        self.redactor = redactor if redactor is not None else Redactor()
        self._begin = beginning(stage)
        self._turns = Limiter(concurrency)
        self._most = waiting

    @property
    def name(self) -> str:
        """What answers call the agent where a model's name belongs: the name of its own model."""
        return str((self.stage.about or {}).get("model") or type(self.stage.agent).__name__)

    @property
    def running(self) -> int:
        """How many run now."""
        return self._turns.inflight

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._turns.waiting

    async def run(self, row: Any) -> tuple[bytes, Failure | None]:
        """One rollout of a row: the result row as JSON, and why it failed if it did.

        Raises `ServeError` for what is no row, and when too many wait already. Cancelling it ends the rollout.
        """
        task, repeat = task_of(row)
        run = self._begin(Job(task, repeat, 1))
        rollout = await self._in_turn(run)
        failure = run.failure
        try:
            encoded = encode_json(_with_tokens(rollout))
        except JsonError as error:
            rollout = unwritable(rollout, error)
            encoded = encode_json(rollout.row)
            failure = Failure(rollout.status, dict(rollout.error or {}), cause=error)
        if logger.isEnabledFor(logging.INFO):
            log_rollout(rollout, self.stage.run_id)
        return self.redactor.redact_bytes(encoded), failure

    async def converse(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], Failure | None]:
        """The agent's answer to a Responses request, in a fresh session that is not asked for a verdict.

        The answer is a Responses body whose `output` holds all items, tool outputs among them. Raises as `run` does.
        """
        if isinstance(self.stage.agent, Runner):
            raise ServeError(501, "a runner works on whole tasks and is no model", hint="POST /run", code="not_offered")
        task, repeat = task_of({REQUEST_FIELD: dict(request)})
        run = RolloutRun(self.stage, task, repeat, 1, conversation)
        rollout = await self._in_turn(run)
        return answer_of(run, rollout.stop_reason), run.failure

    async def _in_turn(self, run: RolloutRun) -> Rollout:
        turns = self._turns
        if not turns.try_acquire():
            if turns.waiting >= self._most:
                raise ServeError(
                    429,
                    f"{turns.inflight} rollouts run and {turns.waiting} wait",
                    code="too_many_rollouts",
                    hint="send fewer at once, or serve with a higher --concurrency",
                    headers={"Retry-After": RETRY_AFTER},
                )
            await turns.acquire()
        try:
            return await carry_out(run)
        finally:
            turns.release()


def task_of(row: Any) -> tuple[Task, int]:
    """A row as a task, and which of its repeats it is. Raises `ServeError` that says what is wrong with it.

    The task is known by the row's `task_id` or `id`, else by its `_ng_task_index`, else by what it says, so that equal
    rows are one task. The repeat is its `_ng_rollout_index`.
    """
    try:
        row = check_row(row)
    except ValueError as error:
        raise ServeError(422, f"the row is no task: {error}", field=_field_of(str(error))) from None
    numbers = read(NumberedRow, row)
    index, repeat = numbers.get("_ng_task_index"), numbers.get("_ng_rollout_index")
    task_id = own_task_id(row) or (str(index) if index is not None else _digest(row))
    return Task(row, task_id=task_id, index=index or 0), repeat or 0


def _with_tokens(rollout: Rollout) -> dict[str, Any]:
    """The row as trainers of NeMo's read it: where it has exact tokens, they stand on the items, too."""
    row = rollout.row
    if not any("tokens" in call for call in rollout.model_calls):
        return row
    trajectory = rollout.trajectory
    items = with_tokens_on_items(trajectory.items, len(trajectory.input), trajectory.model_calls)
    return {**row, "response": {**row["response"], "output": items}}


def _field_of(problem: str) -> str:
    """The field that a sentence about a row names first."""
    parts = problem.split("`")
    return parts[1] if len(parts) > 2 else ""


def _digest(row: Mapping[str, Any]) -> str:
    try:
        content = encode_json(row, orjson.OPT_SORT_KEYS)
    except JsonError as error:
        raise ServeError(422, f"the row cannot be told from others: {error}", field="body") from None
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def open_rollouts(
    assembly: Assembly,
    config: RunConfig,
    stack: AsyncExitStack,
    *,
    prices: Mapping[str, Price] | None = None,
    redactor: Redactor | None = None,
    clock: Clock | None = None,
    waiting: int = WAITING,
) -> Rollouts:
    """Rollouts with the open components of `assembly`, wired as a run wires them; `stack` ends what they hold.

    `prices`: of the models by role, as far as they are known.

    Sessions are seeded as in a run, model calls are not: whoever asks twice for the same task wants two samples. A row
    may bring a `seed` for the model in its request.
    """
    clock = clock or Clock(asyncio.get_running_loop().time)
    executor = Executor()
    stack.callback(executor.close)
    stage = make_stage(
        config,
        assembly,
        make_gates(assembly.models, config.limits.deadlines, clock=clock, prices=prices or {}),
        executor,
        clock=clock,
        run_id=secrets.token_hex(6),
        budget=None,
        tool_called=None,
    )
    stage = replace(stage, model_seeds=False, about={**(stage.about or {}), "seed_sent": False})
    return Rollouts(stage, concurrency=config.execution.concurrency, waiting=waiting, redactor=redactor)
