"""The way to one model: every call of a run to it passes here, with its slot, its retries and its counting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Unpack

from gym_core.contract.model import CallContext, ModelBackend
from gym_core.domain import errors
from gym_core.domain.abandoned import within
from gym_core.domain.arguments import is_whole
from gym_core.domain.blame import asked_to_end, described
from gym_core.domain.responses import FunctionCallOutput, Item, Request, Response
from gym_core.domain.sampling import Sampling, inherited, sampling_fields
from gym_core.domain.tool_calls import whole_call
from gym_core.engine.bounds.alarms import Alarm, Scope
from gym_core.engine.bounds.deadlines import DeadlineExceeded, Deadlines
from gym_core.engine.events.logs import log_decrease, log_retry
from gym_core.engine.model_calls.placement import Place, Placement
from gym_core.engine.model_calls.prices import Price
from gym_core.engine.model_calls.rate_limits import Limiter, Limiters
from gym_core.engine.model_calls.reservations import Reservation
from gym_core.engine.model_calls.retries import FailedAttempts
from gym_core.engine.model_calls.weights import Weights
from gym_core.wiring.config_file import POLICY

SEVERAL = 5
"""So many rollouts in a row that found nobody mean that nobody is there."""


@dataclass(slots=True)
class Clock:
    """Time as the engine sees it, so that tests need not wait for it. Times are seconds on one steady clock."""

    time: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random


@dataclass(slots=True)
class GateCounts:
    """What went through a gate so far."""

    calls: int = 0
    retries: int = 0
    failures: int = 0
    slept: float = 0.0
    waited: float = 0.0


@dataclass(slots=True)
class Answer:
    """A response with what it took.

    `latency`: seconds of the attempt that worked; `waited`: all seconds before it. `endpoint`: which of several
    answered, None where there is one.
    """

    response: Response
    latency: float
    waited: float
    attempts: int
    endpoint: str | None = None


class ModelGate:
    """One model backend with its limiters and retry policy. Shared by all rollouts of a run.

    `limiters`: where those of its endpoints are found. `price`: None where nobody knows it.
    """

    def __init__(
        self,
        role: str,
        backend: ModelBackend,
        *,
        limiters: Limiters,
        deadlines: Deadlines,
        clock: Clock,
        price: Price | None = None,
    ) -> None:
        self.role = role
        self.backend = backend
        self.info = backend.describe()
        self.price = price
        self.placement: Placement | None = None
        if backend.endpoints:
            self.placement = Placement(backend, limiters, clock.time, self.info.max_inflight)
            self._limiter = Limiter()  # each endpoint has its own
        else:
            self._limiter = limiters.of(self.info.endpoint, self.info.max_inflight)
        self.deadlines = deadlines
        self.clock = clock
        self.counts = GateCounts()
        self.answered = False
        self.last_answer = float("-inf")
        self.weights: Weights | None = None
        """The weights of its model, where somebody trains them."""
        self.versioned = False
        """Whether their version stands with the tokens of its calls."""
        self._lost: set[tuple[str, int]] = set()

    async def call(
        self,
        request: Request,
        context: CallContext,
        alarm: Alarm,
        reservation: Reservation | None = None,
        *,
        retry: bool = True,
    ) -> Answer:
        """One model call with all its attempts, or with `retry` off one. Raises the `ModelError` of the last attempt.

        The deadlines of `alarm` stand still while the call waits for a slot or for its next attempt. `reservation`:
        what the budget has to spare before an attempt may start.
        """
        clock, limiter, placement, weights = self.clock, self._limiter, self.placement, self.weights
        place: Place | None = None
        version: str | None = None
        waited = 0.0
        failed: FailedAttempts | None = None
        attempt = 0
        # While the backend answers, what the attempt holds is in `alarm.held`: a slot, what the budget has reserved. It
        # is given back once, by whoever takes it off that list: this attempt, however it ends, or those who give the
        # rollout up since its task does not end. A cancelled call cancels `respond`, by which the backend closes it at
        # its server; what that has generated until then nobody says, so it counts as the worst case.
        while True:
            attempt += 1
            if placement is not None:
                place = placement.of(context.key, probe=failed is None)
                limiter, context = place.limiter, replace(context, endpoint=place.name)
            if not limiter.try_acquire():
                was_up = place is not None and place.up
                waited += await self._wait(limiter.acquire(), alarm)
                if was_up and place is not None and not place.up:  # it went down meanwhile: another has room
                    limiter.release()
                    attempt -= 1
                    continue
            if reservation is not None or (weights is not None and weights.paused):
                waited += await self._afford(reservation, limiter, alarm)
            bound = alarm.within("model_call", self.deadlines.model_call)
            held = (limiter, reservation, weights, bound)
            alarm.held.append(held)
            epoch = limiter.epoch
            started = clock.time()
            if weights is not None:
                version = weights.begun(bound)
            try:
                with bound:
                    answering = self.backend.respond(request, context)
                    if alarm.detached:
                        answering = within(answering, None, f"the model backend `{self.backend.context.name}`")
                    response = await answering
                latency = clock.time() - started
                response = self._checked(response)
                if reservation is not None:
                    reservation.settle(response.usage)
                if version is not None and self.versioned and response.tokens is not None:
                    response.tokens.version = version
                limiter.succeeded()
                self.answered = True
                self.last_answer = started + latency
                if self._lost:
                    self._lost.clear()
                self.counts.calls += 1
                answer = Answer(response, latency, waited, attempt)
                if place is not None:
                    place.answered()
                    answer.endpoint = place.name
                return answer
            except DeadlineExceeded as exceeded:
                if exceeded.phase != "model_call":
                    raise
                if weights is not None and weights.was_aborted(bound):  # half an answer is none
                    self._retried(context, errors.BrokenReplyError("the weights are being replaced"), attempt, 0.0)
                    continue
                error: errors.ModelError = errors.ModelTimeoutError(
                    f"the model did not answer within {self.deadlines.model_call:g} s"
                )
            except errors.ModelError as caught:
                error = caught
                if reservation is not None:
                    reservation.failed(error)
                if isinstance(error, errors.RateLimitError | errors.OverloadedError):
                    decreases = limiter.decreases
                    limiter.overloaded(epoch)
                    if limiter.decreases > decreases:
                        log_decrease(context.endpoint or self.info.endpoint, limiter.limit)
            except BaseException as defect:
                if asked_to_end(defect):
                    raise
                raise errors.BackendError(
                    f"model backend `{self.backend.context.name}`: {described(defect)}"
                ) from defect
            finally:
                if held in alarm.held:  # else it was released when the call was given up
                    alarm.held.remove(held)
                    release(*held)
            if error.status is not None:
                self.answered = True
                self.last_answer = clock.time()
            if place is not None:
                error = self._failed_at(place, error)
                if error.unsent and placement is not None and placement.any_up:
                    # Nothing was sent, so nothing is tried again: another endpoint gets the call, and at once.
                    failed = failed or FailedAttempts(clock.time(), self.info.max_retries)
                    self._retried(context, error, attempt, 0.0)
                    continue
            if not retry:
                self.counts.failures += 1
                raise error
            now = clock.time()
            if failed is None:
                failed = FailedAttempts(now, self.info.max_retries)
            delay = failed.delay(error, now=now, jitter=clock.jitter(), answered=self.answered)
            if delay is None:
                self.counts.failures += 1
                raise self._final(error, attempt, failed.began, context.key)
            self.counts.slept += delay
            self._retried(context, error, attempt, delay)
            waited += await self._wait(clock.sleep(delay), alarm)

    def _retried(self, context: CallContext, error: errors.ModelError, attempt: int, delay: float) -> None:
        """Count and log that a call is tried again, after `delay` seconds."""
        self.counts.retries += 1
        log_retry(self.role, context.key, error, attempt=attempt, delay=delay)

    def _failed_at(self, place: Place, error: errors.ModelError) -> errors.ModelError:
        """Count a failure at one endpoint of several. One that cannot be reached is no reason to stop the run."""
        place.failed(error, self.clock.time())
        if error.unsent and error.fatal:
            error = errors.ConnectionFailedError(error.message, hint=error.hint)
            error.unsent = True
        return error

    @property
    def limiters(self) -> list[Limiter]:
        """The limiters of all its endpoints."""
        if self.placement is not None:
            return self.placement.limiters
        return [self._limiter]

    def _checked(self, response: Response) -> Response:
        """The response with whole calls. Raises what shows that a backend broke its contract, or the model off."""
        output = response.body["output"]
        if type(output) is not list:
            raise TypeError(f"the response's output is {type(output).__name__}, not a list")
        whole = True
        for item in output:
            if type(item) is not dict:
                raise TypeError(f"the response's output holds {type(item).__name__}, not an item")
            if item.get("type") == "function_call" and not is_whole(item):
                whole = False
        if response.unfinished:
            raise errors.BrokenReplyError(
                f"model backend `{self.backend.context.name}` gave a response that is not finished: "
                f"{response.unfinished}"
            )
        if whole:
            return response
        calls = [whole_call(item) if item.get("type") == "function_call" else item for item in output]
        return Response({**response.body, "output": calls}, response.tokens)

    async def _afford(self, reservation: Reservation | None, limiter: Limiter, alarm: Alarm) -> float:
        """Have the budget reserved for an attempt that has its slot, outside of any pause for new weights.

        Returns the seconds that it waited. A refusal gives the slot back.
        """
        # The slot comes first and the budget last: what is reserved keeps others from beginning, so nobody holds it
        # while standing in line. While one of the two is waited for the other may be lost: both hold in the end.
        weights, waited = self.weights, 0.0
        try:
            while True:
                if weights is not None and weights.paused:
                    waited += await self._wait(weights.resumed(), alarm, "the pause for new weights did not end")
                if reservation is None or reservation.try_take():
                    return waited
                waited += await self._wait(reservation.take(), alarm, "open calls did not settle")
                if weights is None or not weights.paused:
                    return waited
                reservation.give_back()  # another attempt that is under way may need it
        except BaseException:
            limiter.release()
            raise

    async def _wait(self, waiting: Awaitable[Any], alarm: Alarm, failure: str = "no request slot came free") -> float:
        """Wait without any deadline of the rollout coming nearer; returns the seconds."""
        started = self.clock.time()
        try:
            with alarm.waiting(self.deadlines.waiting):
                await waiting
        except DeadlineExceeded:
            raise errors.OverloadedError(
                f"{failure} within {self.deadlines.waiting:g} s",
                hint="lower the concurrency or raise `-M max_inflight=`",
            ) from None
        finally:
            seconds = self.clock.time() - started
            self.counts.waited += seconds
        return seconds

    def _final(self, error: errors.ModelError, attempts: int, began: float, key: tuple[str, int]) -> errors.ModelError:
        """The error that leaves the gate.

        A connection that nobody got all the while is fatal: at once where nothing has ever answered, else when it has
        cost several rollouts in a row. One alone may be a request that its server does not survive.
        """
        if not isinstance(error, errors.ConnectionFailedError):
            return error
        if self.last_answer >= began:
            self._lost.clear()
        self._lost.add(key)
        if not self.answered or len(self._lost) >= SEVERAL:
            fatal = errors.EndpointError(
                f"{error.message} (nothing has answered in {attempts} attempts)", hint=error.hint
            )
            fatal.__cause__ = error
            return fatal
        return error


def release(limiter: Limiter, reservation: Reservation | None, weights: Weights | None, bound: Scope) -> None:
    """Give back what an attempt holds: its slot, what the budget has reserved for it, the weights that answer it."""
    limiter.release()
    if reservation is not None:
        reservation.close()
    if weights is not None:
        weights.ended(bound)


class Ask(Protocol):
    """Asks the model of a role. `actor`: who does, by default the one named like the role.

    `sampling`: what of the request differs from the task's; all of its fields by default.
    """

    def __call__(
        self, role: str, request: Request, *, actor: str = "", sampling: Mapping[str, Any] | None = None
    ) -> Awaitable[Response]:
        """One model call."""
        ...


class BoundModel:
    """A model as a session sees it: `await self.models["judge"].respond("...")`. Calls are recorded."""

    __slots__ = ("_actor", "_ask", "_role")

    def __init__(self, role: str, ask: Ask, actor: str = "") -> None:
        self._role = role
        self._ask = ask
        self._actor = actor

    async def respond(self, request: Request | str, /, **sampling: Unpack[Sampling]) -> Response:
        """One recorded model call; a string is one user message, `sampling` goes over the request's fields."""
        if isinstance(request, str):
            request = Request.ask(request)
        if sampling:
            request = Request({**request.body, **sampling_fields(sampling)})
        return await self._ask(self._role, request, actor=self._actor)

    def named(self, actor: str) -> BoundModel:
        """The same, asked by another actor."""
        return BoundModel(self._role, self._ask, actor)


class SessionActor:
    """An actor of a session's own. `inherited`: fields of the task's request that it begins with."""

    __slots__ = ("_ask", "_inherited", "name", "role")

    tools: Sequence[Mapping[str, Any]] = ()

    def __init__(self, name: str, role: str, ask: Ask, inherited: Mapping[str, Any]) -> None:
        self.name = name
        self.role = role
        self._ask = ask
        self._inherited = inherited

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        """One recorded model call."""
        fields = sampling_fields(sampling) if sampling else {}
        request = Request({**self._inherited, **fields, "input": [*items]})
        return await self._ask(self.role, request, actor=self.name, sampling=fields)

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Raises `UsageError`."""
        raise self._refused()

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """Raises `UsageError`."""
        raise self._refused()

    def _refused(self) -> Exception:
        return errors.UsageError(
            f"the tool calls of the actor `{self.name}` are carried out by the session or runner whose actor it is",
            hint="call the method, and show the actor its result as a function_call_output",
        )


def lacking_model(role: str, asker: str = "environment") -> errors.UsageError:
    """What is said of a role that there is no model for."""
    return errors.UsageError(f"the {asker} asks for a `{role}` model and the run has none", hint=f"--model {role}=REF")


class Models(Mapping[str, BoundModel]):
    """The bound models of one rollout by role; a role that there is no model for is the error that `lacking` makes."""

    __slots__ = ("_ask", "_lacking", "_request", "_roles")

    def __init__(
        self,
        roles: Mapping[str, ModelGate],
        ask: Ask,
        lacking: Callable[[str], Exception] = lacking_model,
        *,
        request: Request | None = None,
    ) -> None:
        self._request = request
        self._roles = roles
        self._ask = ask
        self._lacking = lacking

    def __contains__(self, role: object) -> bool:
        return role in self._roles

    def __getitem__(self, role: str) -> BoundModel:
        if role not in self._roles:
            raise self._lacking(role)
        return BoundModel(role, self._ask)

    def actor(self, name: str, role: str) -> SessionActor:
        """An actor that asks the model of a role, of the policy's with the task's sampling."""
        if name == POLICY or not name:
            raise errors.UsageError(f"another actor cannot be called {name!r}: that is the rollout's own")
        if role not in self._roles and role != POLICY:  # a replay has no policy, but what it answered
            raise self._lacking(role)
        of_task = inherited(self._request.body, tools=False) if role == POLICY and self._request is not None else {}
        return SessionActor(name, role, self._ask, of_task)

    def get(self, role: str, default: Any = None) -> Any:
        """The model of a role, `default` where there is none."""
        return self[role] if role in self._roles else default

    def __iter__(self) -> Any:
        return iter(self._roles)

    def __len__(self) -> int:
        return len(self._roles)
