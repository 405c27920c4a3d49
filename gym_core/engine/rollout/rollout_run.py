"""One rollout while it runs: whatever happens in it, it ends within its bounds and leaves one row.

What is done in it is a function: an agent works in a session (`agent_rollout`), a stored rollout is replayed, a whole
task is carried out elsewhere. Here is what they share: the bounds, the model calls of other roles, and the boundary at
which every failure becomes a row.

What may be lost, and when. What was recorded stands in the row however the rollout ends: by an error, a bound, or from
outside. What it was waiting for is lost: a model call under way is closed at its server and counts as its worst case, a
tool may have done half of its work. Code that ignores its cancellation is left to itself after a grace; what it does
then stands nowhere. Only a killed process loses the record itself, and the rollout then runs again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from gym_core.contract.model import CallContext
from gym_core.contract.resource_server import SessionContext
from gym_core.domain.abandoned import abandon, background, end
from gym_core.domain.blame import asked_to_end
from gym_core.domain.conversation import MAIN
from gym_core.domain.errors import EpisodeOver, GymError, ModelTimeoutError, UsageError, error_text
from gym_core.domain.responses import Request, Response
from gym_core.domain.rollout import Rollout, Status, Trajectory, Verdict
from gym_core.domain.task import Task
from gym_core.domain.tool_calls import sent_request
from gym_core.engine.bounds.alarms import OUTSIDE, Alarm, Scope
from gym_core.engine.bounds.deadlines import DeadlineExceeded
from gym_core.engine.model_calls.gate import Ask, ModelGate, Models, release
from gym_core.engine.model_calls.reservations import Reservations
from gym_core.engine.rollout.failure import Failure, blame_row, failure_of
from gym_core.engine.rollout.live_session import LiveSession
from gym_core.engine.rollout.recording import Recording
from gym_core.engine.rollout.row import build_row, response_of, with_places
from gym_core.engine.rollout.speaker import Speaker
from gym_core.engine.rollout.stage import Stage
from gym_core.engine.storage.requests import Cited

CANCELLED = "the run was cancelled"
"""What rows say of rollouts that were ended for no other reason."""
SESSION = "session"
"""The actor as which a session asks the policy's model."""
USED_UP = "the rollout has used up its tokens (--max-rollout-tokens)"
_SELF_CANCELLED = "a plugin's code has cancelled its task"

Work: TypeAlias = "Callable[[RolloutRun], Awaitable[tuple[str, Verdict | None]]]"
"""What is done in a rollout; returns why it stopped and the verdict, None where nobody was asked for one."""


def derive_seed(seed: int, task_id: str, repeat: int) -> int:
    """The seed of one rollout, 0 to 2**31 - 1: the same for the same run seed, task and repeat, everywhere."""
    digest = hashlib.blake2b(f"{seed}/{task_id}/{repeat}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


class RolloutRun:
    """One rollout while it runs. `work`: what is done in it. `rewritten`: makes another row of its row, where it
    does not stay as it is. `request`: what the policy is asked, where that is not what the task's row says.

    `phase`: what it is about, and so whose failure a failure is. `broken`: the phase and the error that end it whatever
    an author's code makes of that. `session`: while it has one. `over`: whether it has ended; its models are asked no
    more then. `about`: what its row says of model, env and agent; `cited`: what it cites of tools and sampling. Once it
    has ended there is its `rollout`; `error`: a defect that kept it from being carried out.
    """

    alarm: Alarm
    rollout: Rollout
    _task: asyncio.Task[None]

    def __init__(
        self,
        stage: Stage,
        task: Task,
        repeat: int,
        attempt: int,
        work: Work,
        *,
        rewritten: Callable[[Rollout], Rollout] | None = None,
        seed: int | None = None,
        request: Request | None = None,
    ) -> None:
        self.stage = stage
        self.task = task
        self.repeat = repeat
        self.attempt = attempt
        self._work = work
        self._rewritten = rewritten
        self.seed = derive_seed(stage.seed, task.task_id, repeat) if seed is None else seed
        self.about = stage.about
        self.cited: Cited = ()
        self.request = task.request if request is None else request
        self.recording = Recording(self.request.input)
        self.session: LiveSession | None = None
        self.tools: tuple[int, Mapping[str, int]] = (0, {})
        self.phase = "setup"
        self.broken: tuple[str, BaseException] | None = None
        self.asking: set[asyncio.Task[Any] | None] = set()
        self.over = False
        self.error: Exception | None = None
        self.closing: asyncio.Future[Any] | None = None
        """The closing of the session of a rollout that was given up: it may take longer."""
        self.failure: Failure | None = None
        self.reservations = Reservations(stage.budget, stage.meters) if stage.budget is not None else None
        self.started: float | None = None
        self.verifying: float | None = None
        self._ended: Callable[[RolloutRun], None] | None = None
        self._ending: tuple[str, str | None] = (CANCELLED, None)

    def start(self, ended: Callable[[RolloutRun], None]) -> None:
        """Begin, in a task of its own in the running event loop. `ended` is called with it once, when it has ended."""
        self._ended = ended
        self._task = asyncio.get_running_loop().create_task(self._carry_out())

    async def _carry_out(self) -> None:
        try:
            rollout = await self._run()
        except BaseException as error:  # somebody asked for the end; all else is in the row
            if isinstance(error, Exception):
                self.error = error
            self._report(self.cancelled(*self._ending))
            if not isinstance(error, Exception):
                raise
        else:
            self._report(rollout)

    def _report(self, rollout: Rollout) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:  # else it was given up, and has ended after all
            self.rollout = rollout
            ended(self)

    async def _run(self) -> Rollout:
        """Do the work; the row says how far it came."""
        self.started = self.stage.clock.time()
        stop_reason: str | None = None
        verdict: Verdict | None = None
        alarm = self.alarm = self.stage.watch.alarm()
        alarm.give_up = self._overdue
        try:
            with alarm.within("rollout", self.stage.deadlines.rollout):
                stop_reason, verdict = await self._work(self)
        except BaseException as error:
            # The boundary: every failure of a rollout becomes its row, and nothing of it passes on.
            if asked_to_end(error):
                if not isinstance(error, asyncio.CancelledError) or await self._is_to_end():
                    raise
                error = asyncio.CancelledError(": ".join(filter(None, (_SELF_CANCELLED, error_text(error)))))
            self.failure = failure_of(blame_row(error, self.task) if self.phase == "setup" else error, self.phase)
        finally:
            alarm.close()
            self._let_go()  # from here on its models refuse: tasks that its code has left get no answer into the row
        if alarm.others:
            await self.end_others(alarm.others)
        if alarm.held:  # of calls that were abandoned
            self._release_held()
        return self._concluded(stop_reason, verdict)

    def _let_go(self) -> None:
        self.over = True
        if self.session is not None:
            self.tools = self.session.tool_counts
            # They hold each other; letting go here frees both at once, without the garbage collector.
            self.session = None

    def _concluded(self, stop_reason: str | None, verdict: Verdict | None) -> Rollout:
        if self.reservations is not None and self.reservations.denied is not None:
            # Whatever agent and session made of the refusal: without the call the result would say nothing.
            verdict, self.failure = None, failure_of(self.reservations.denied, self.phase)
        return self._row(stop_reason, verdict, self.failure)

    def _row(self, stop_reason: str | None, verdict: Verdict | None, failure: Failure | None) -> Rollout:
        now = self.stage.clock.time()
        rollout = build_row(
            task=self.task,
            repeat=self.repeat,
            attempt=self.attempt,
            seed=self.seed,
            run_id=self.stage.run_id,
            said=self.about,
            recording=self.recording,
            tools=self.tools,
            seconds=now - self.started if self.started is not None else 0.0,
            verify_seconds=now - self.verifying if self.verifying is not None else None,
            unreported=self.reservations.unreported if self.reservations is not None else None,
            stop_reason=stop_reason,
            verdict=verdict,
            failure=failure,
            cited=self.cited,
        )
        return rollout if self._rewritten is None else self._rewritten(rollout)

    @property
    def session_name(self) -> str:
        """The class of the session, empty until it is open."""
        return self.session.name if self.session is not None else ""

    def response(self) -> dict[str, Any]:
        """All that was said so far as one Responses body, with the policy's tokens added up."""
        recording = self.recording
        return response_of(recording, with_places(recording).output, recording.policy_usage.to_wire())

    def breaks(self, phase: str, error: BaseException) -> BaseException:
        """Note an error that ends the rollout, whoever catches it; the first one stands. Returns it."""
        if self.broken is None:
            self.broken = (phase, error)
        self.phase = phase
        return error

    def raise_broken(self) -> None:
        """Raise what ends the rollout, where somebody has caught it."""
        if self.broken is not None:
            self.phase, error = self.broken
            raise error

    # Ended by others

    def end(self, reason: str = CANCELLED, stop_reason: str | None = None) -> None:
        """Cancel it. It may take a moment, until `ended` is called; `reason` and `stop_reason` stand in its row."""
        self._ending = (reason, stop_reason)
        if self.started is not None:
            self.alarm.end()
        else:  # its task has not begun, and never will
            self._task.cancel()
            self._report(self.cancelled(*self._ending))

    async def _is_to_end(self) -> bool:
        """Whether the cancellation that came just now was asked for by those who run it, and not by its own code."""
        if self.alarm.ended is None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)  # where all tasks of the loop are cancelled, theirs hears of it in the same turn
        return self.alarm.ended is not None

    def _overdue(self, scope: Scope) -> None:
        """Its task goes on although it was cancelled, by a bound or, with `OUTSIDE`, by `end`: it is over all the same.

        What model calls under way hold is released, and the session is closed, which `closing` waits for.
        """
        # No code that catches its cancellation can be ended from outside. So all but its task goes on without it: the
        # row has what was recorded until now, its slot is another's, what was reserved for an open call counts as
        # spent. What its code does from here on stands nowhere, and its models refuse it.
        watch, what = self.stage.watch, f"task {self.task.task_id!r}, repeat {self.repeat}: its {self.phase}"
        session, alarm = self.session, self.alarm
        self._let_go()
        alarm.close()
        self._release_held()
        for task in alarm.others:
            task.cancel()
            abandon(task)
        alarm.task.cancel()
        # One author's mistake is every rollout's: one warning will do, the rows and the log have them all.
        abandon(alarm.task, what, logging.INFO if watch.abandoned else logging.WARNING)
        watch.abandoned += 1
        if session is not None and session.name:
            self.closing = background(session.__aexit__(None, None, None))
        if scope is OUTSIDE:
            self._report(self.cancelled(*self._ending))
            return
        error: GymError = DeadlineExceeded(scope.phase, scope.seconds)
        if scope.phase == "model_call":
            error = ModelTimeoutError(error.message)
        self.failure = failure_of(error, self.phase)
        self._report(self._concluded(None, None))

    async def end_others(self, others: Iterable[asyncio.Task[Any]]) -> None:
        """End tasks of the author's own that are not to go on."""
        late = [*others]
        if late:
            self.alarm.others.difference_update(late)
            await end(late, f"task {self.task.task_id!r}, repeat {self.repeat}: a task that its code has started")

    def _release_held(self) -> None:
        for held in self.alarm.held:
            release(*held)
        self.alarm.held.clear()

    def cancelled(self, reason: str, stop_reason: str | None = None) -> Rollout:
        """The row of a rollout that was ended from outside."""
        error = {"class": "Cancelled", "message": reason, "phase": self.phase, "retryable": True}
        return self.failed(Failure(Status.CANCELLED, error, stop_reason))

    def failed(self, failure: Failure) -> Rollout:
        """The row of a rollout for whose failure others speak."""
        return self._row(None, None, failure)

    # What is asked on the way

    @property
    def used_up(self) -> bool:
        """Whether the policy's model has taken all tokens that one rollout may take."""
        most = self.stage.max_rollout_tokens
        return most is not None and self.recording.policy_usage.total_tokens >= most

    def open_session(self, ask: Ask | None = None) -> LiveSession:
        """Its session, to be entered. `ask`: how it asks models of other roles; by default they are asked and recorded.

        From then on it is closed with the rollout, also where that is given up.
        """
        stage = self.stage
        models = Models(stage.gates, self.ask if ask is None else ask, request=self.request)
        context = SessionContext(
            seed=self.seed,
            repeat=self.repeat,
            models=models,
            lend=stage.gateway.offer_model,
            actor=models.actor,
        )
        session = self.session = LiveSession(
            stage.server,
            self.task,
            context,
            executor=stage.executor,
            deadlines=stage.deadlines,
            alarm=self.alarm,
            provider=stage.sandboxes,
        )
        return session

    def verify(self, session: LiveSession, trajectory: Trajectory) -> Awaitable[Verdict]:
        """The session's verdict, which ends the rollout."""
        self.phase = "verify"
        self.verifying = self.stage.clock.time()
        return session.verify(trajectory)

    async def ask(
        self, role: str, request: Request, *, actor: str = "", sampling: Mapping[str, Any] | None = None
    ) -> Response:
        """A call of a session to one of its models, whose conversations are those of the actor of that name.

        `actor`: who asks instead. A session is not the policy's actor: that is whoever works in it.
        """
        if self.over:
            raise EpisodeOver("the rollout is over")
        if role not in self.stage.gates:
            raise UsageError(
                f"the verifier asks the `{role}` model, which is not asked again", hint="run the tasks again"
            )
        if sampling is None:
            sampling = {name: value for name, value in request.body.items() if name != "input"}
        speaker = self.recording.actor(actor or (role if role != MAIN else SESSION), role)
        task = asyncio.current_task()
        self.asking.add(task)
        try:
            return await self.respond(speaker, self.stage.gates[role], self.call_context(role), request, sampling)
        finally:
            self.asking.discard(task)

    async def respond(
        self, speaker: Speaker, gate: ModelGate, context: CallContext, request: Request, sampling: Mapping[str, Any]
    ) -> Response:
        """One model call of an actor, recorded once it was answered. `sampling`: what differs from the task's request.

        Whoever the actor is, its calls pass here: the limits, retries, budget and deadlines are the same for all.
        """
        recording, reservation = self.recording, None
        question = recording.asks(speaker, request.input)
        if recording.odd:
            request = sent_request(request)
        if self.reservations is not None:
            reservation = self.reservations.for_turn(
                speaker.name, speaker.role, request, sampling, goes_on=question.goes_on
            )
        began = self.stage.clock.time()
        answer = await gate.call(request, context, self.alarm, reservation)
        at = began - self.started if self.started is not None else 0.0
        verifies = self.phase == "verify"
        recording.answered(speaker, question, answer, at=at, sampling=sampling, price=gate.price, verifies=verifies)
        return answer.response

    def call_context(self, role: str) -> CallContext:
        """What a model is told of a call of this rollout."""
        key = (self.task.task_id, self.repeat)
        return CallContext(key, role, self.seed if self.stage.model_seeds else None)


async def carry_out(run: RolloutRun) -> Rollout:
    """A rollout in a task of its own. It ends when it is to, whether or not the code that works on it does.

    Raises nothing but a cancellation from outside.
    """
    ended = asyncio.get_running_loop().create_future()
    run.start(lambda run: ended.set_result(None))
    try:
        await asyncio.shield(ended)  # or it would be cancelled with whoever awaits it
    except asyncio.CancelledError:
        if not ended.done():
            run.end()
            await asyncio.shield(ended)
        raise
    if run.error is not None:
        raise run.error
    return run.rollout
