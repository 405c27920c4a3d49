"""Rollouts on demand: rows come in, result rows go out, with the engine of a run in between and no files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gym_core import Group, JsonError, Rollout, Runner, Task, encode_json
from gym_core.errors import SessionError
from gym_core.spi import (
    REQUEST_FIELD,
    Failure,
    Job,
    Redactor,
    RolloutRun,
    Rollouts,
    check_row,
    content_id,
    conversation,
    error_json,
    log_rollout,
    own_task_id,
    unwritable,
)
from gym_http.protocol.errors import ServeError
from gym_http.protocol.nemo import NumberedRow
from gym_http.protocol.shapes import read
from gym_http.serve.agent.conversation import answer_of
from gym_nemo.rows import summing_components, with_tokens

logger = logging.getLogger("gym")

WAITING = 16_384
"""How many rollouts may wait for their turn; one more is refused."""
RETRY_AFTER = "5"


class ServedRollouts:
    """Rollouts of one environment, agent and model for those who ask over HTTP; `waiting` may wait for their turn."""

    def __init__(self, rollouts: Rollouts, *, waiting: int = WAITING, redactor: Redactor | None = None) -> None:
        self.stage = rollouts.stage
        self.redactor = redactor if redactor is not None else Redactor()
        self._rollouts = rollouts
        self._most = waiting

    @property
    def name(self) -> str:
        """What answers call the agent where a model's name belongs: the name of its own model."""
        return str(self.stage.about.get("model") or type(self.stage.agent).__name__)

    @property
    def running(self) -> int:
        """How many run now."""
        return self._rollouts.running

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return self._rollouts.waiting

    async def run(self, row: Any) -> tuple[bytes, Failure | None]:
        """One rollout of a row: the result row as JSON, and why it failed if it did.

        Raises `ServeError` for what is no row, and when too many wait already. Cancelling it ends the rollout.
        """
        task, repeat = task_of(row)
        run = self._rollouts.begin(Job(task, repeat, 1))
        (rollout,) = await self._in_turn([run])
        _, encoded, failure = self._written(run, rollout)
        return self.redactor.redact_bytes(encoded), failure

    async def run_group(self, row: Any, size: int) -> tuple[bytes, Failure | None]:
        """`size` rollouts of a row, scored together where the environment does that; the repeats begin with the row's.

        Returns them as the JSON of a `GroupResult`, and the failure of the first where all of them failed. Raises as
        `run` does.
        """
        task, first = task_of(row)
        runs = [self._rollouts.begin(Job(task, repeat, 1)) for repeat in range(first, first + size)]
        written = [self._written(*each) for each in zip(runs, await self._in_turn(runs), strict=True)]
        group = await self._rollouts.score([rollout for rollout, _, _ in written])
        rows = b",".join(encoded for _, encoded, _ in written)
        encoded = _result(group)[:-1] + b',"rollouts":[' + rows + b"]}"
        failures = [failure for _, _, failure in written if failure is not None]
        return self.redactor.redact_bytes(encoded), failures[0] if len(failures) == size else None

    def _written(self, run: RolloutRun, rollout: Rollout) -> tuple[Rollout, bytes, Failure | None]:
        """A rollout as it is told, as JSON, and why it failed if it did."""
        failure = run.failure
        try:
            encoded = encode_json(_for_trainers(rollout))
        except JsonError as error:
            rollout = unwritable(rollout, error)
            encoded = encode_json(rollout.row)
            failure = Failure(rollout.status, dict(rollout.error or {}), cause=error)
        if logger.isEnabledFor(logging.INFO):
            log_rollout(rollout, self.stage.run_id)
        return rollout, encoded, failure

    async def converse(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], Failure | None]:
        """The agent's answer to a Responses request, in a fresh session that is not asked for a verdict.

        The answer is a Responses body whose `output` holds all items, tool outputs among them. Raises as `run` does.
        """
        if isinstance(self.stage.agent, Runner):
            raise ServeError(501, "a runner works on whole tasks and is no model", hint="POST /run", code="not_offered")
        task, repeat = task_of({REQUEST_FIELD: dict(request)})
        run = RolloutRun(self.stage, task, repeat, 1, conversation)
        (rollout,) = await self._in_turn([run])
        return answer_of(run, rollout.stop_reason), run.failure

    async def _in_turn(self, runs: Sequence[RolloutRun]) -> list[Rollout]:
        rollouts = self._rollouts
        if rollouts.full and rollouts.waiting + len(runs) > self._most:
            raise ServeError(
                429,
                f"{rollouts.running} rollouts run and {rollouts.waiting} wait",
                code="too_many_rollouts",
                hint="send fewer at once, or serve with a higher --concurrency",
                headers={"Retry-After": RETRY_AFTER},
            )
        return await rollouts.carry_out(runs)


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
    try:
        task_id = own_task_id(row) or (str(index) if index is not None else content_id(row))
    except JsonError as error:
        raise ServeError(422, f"the row cannot be told from others: {error}", field="body") from None
    return Task(row, task_id=task_id, index=index or 0), repeat or 0


def _result(group: Group) -> bytes:
    """What is said of a group beside its rollouts."""
    try:
        verdicts = [{"repeat": repeat, **verdict.to_wire()} for repeat, verdict in group.verdicts.items()]
        said = {"task_id": group.task_id, "rewards": group.rewards, "verdicts": verdicts, "error": group.error}
        return encode_json(said)
    except JsonError as error:
        problem = SessionError(f"what `score_group` returned is no JSON: {error}")
        described = error_json(problem, "score_group", retryable=False)
        return _result(Group(group.task_id, group.rollouts, error=described))


def _for_trainers(rollout: Rollout) -> dict[str, Any]:
    """The row as trainers of NeMo's read it.

    Where it has exact tokens, they stand on the items, too. Components that do not sum to the reward stand below
    `rollout` instead.
    """
    row = rollout.row
    components = row["reward_components"]
    if not summing_components(row["reward"], components):
        row = {**row}
        del row["reward_components"]
        if components:
            row["rollout"] = {**row["rollout"], "reward_components": components}
    if not any("tokens" in call for call in rollout.model_calls):
        return row
    trajectory = rollout.trajectory
    items = with_tokens(trajectory.items, trajectory)
    return {**row, "response": {**row["response"], "output": items}}


def _field_of(problem: str) -> str:
    """The field that a sentence about a row names first."""
    parts = problem.split("`")
    return parts[1] if len(parts) > 2 else ""
