"""A rollout in which an agent works on a task in a session, and the session's verifier judges what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias, TypeVar, Unpack

from gym_core.contract.agent import Actor, Agent, Stop, checked_stop
from gym_core.contract.gateway import Endpoint
from gym_core.contract.resource_server import Done
from gym_core.contract.sandbox import Sandbox
from gym_core.domain.blame import as_exception, asked_to_end
from gym_core.domain.errors import ContextLengthError, EpisodeOver, GymError, ModelError, PolicyError
from gym_core.domain.responses import FunctionCallOutput, Item, Request, Response
from gym_core.domain.rollout import Rollout, Verdict
from gym_core.domain.sampling import Sampling, inherited, sampling_fields
from gym_core.domain.stop_reasons import SESSION_DONE, StopReason
from gym_core.domain.task import Task
from gym_core.engine.model_calls.gate import lacking_model
from gym_core.engine.rollout.live_session import LiveSession
from gym_core.engine.rollout.rollout_run import USED_UP, RolloutRun, carry_out
from gym_core.engine.rollout.row import trajectory
from gym_core.engine.rollout.speaker import Speaker
from gym_core.engine.rollout.stage import Stage
from gym_core.wiring.config_file import POLICY

AnswerT = TypeVar("AnswerT")
_USED_UP = Done(reason=StopReason.MAX_ROLLOUT_TOKENS)


async def run_rollout(stage: Stage, task: Task, repeat: int = 0) -> Rollout:
    """Run one rollout to its row. Raises nothing but a cancellation from outside."""
    return await carry_out(RolloutRun(stage, task, repeat, 1, agent_rollout))


async def agent_rollout(run: RolloutRun) -> tuple[str, Verdict | None]:
    """All phases in order: setup, agent, verify."""
    async with run.open_session() as session:
        stop_reason = await _converse(run, session)
        # What the agent has left behind makes no calls any more; what the session has may, until the verdict.
        if run.alarm.others:
            await run.end_others(run.alarm.others - run.asking)
        return stop_reason, await run.verify(session, trajectory(run.recording, stop_reason))


async def conversation(run: RolloutRun) -> tuple[str, Verdict | None]:
    """The same without its end: agent and session talk, and nobody judges."""
    async with run.open_session() as session:
        return await _converse(run, session), None


async def _converse(run: RolloutRun, session: LiveSession) -> str:
    """Set the session up and have the agent work in it; returns why it stopped."""
    body = run.request.body
    opening = await session.set_up(body.get("tools"), run.stage.tool_called)
    if opening is not None:
        run.recording.opened(opening)
    body = {**body, "input": run.recording.visible}
    schemas = session.toolbox.schemas
    if schemas:
        body["tools"] = schemas
    run.cited = run.stage.requests.of(body)
    live = _Live(run, session, Request(body))
    run.phase = "agent"
    agent = run.stage.agent
    assert isinstance(agent, Agent)
    over = False
    try:
        stop = await agent.run(LiveEpisode(live))
    except EpisodeOver:
        over = True
    except ContextLengthError:
        stop = Stop(StopReason.CONTEXT_LENGTH)
    except PolicyError:
        stop = Stop(StopReason.CONTENT_FILTER)
    live.over = "the agent's work on this rollout is over"
    run.raise_broken()  # an agent that caught the environment's error does not make it undone
    if live.done is not None:
        return live.done.reason
    if over:
        return ""
    stop = checked_stop(stop)
    if stop.detail:
        run.about = {**run.about, "stop_detail": stop.detail}
    return stop.reason.value


_Ran: TypeAlias = tuple[FunctionCallOutput, float, float, str | None]
"""What a tool answered, when it was asked, how long it took, and what was wrong with the call."""


class _Live:
    """What is behind an episode. `over`: why nothing more is done.

    `unseen`: the latest response, where the session is to see it before its calls run.
    """

    __slots__ = ("done", "over", "request", "run", "session", "toolbox", "unseen")

    def __init__(self, run: RolloutRun, session: LiveSession, request: Request) -> None:
        self.run = run
        self.session = session
        self.toolbox = session.toolbox
        self.request = request
        self.done: Done | None = None
        self.over = ""
        self.unseen: Response | None = None

    def check(self) -> None:
        """Raise `EpisodeOver` for what the agent has left running: it would be paid for and stand in no row."""
        if self.over or self.run.over:
            raise EpisodeOver(self.over or "the rollout is over")

    async def call_tools(self, speaker: Speaker, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """The calls of one response of an actor; their outputs are recorded in the order of the calls."""
        recording = self.run.recording
        if self.unseen is not None and speaker is recording.main:
            response, self.unseen = self.unseen, None
            await self.answer("tool", self.session.answer_calls(response))
        for call in calls:
            if not call.get("call_id"):
                calls = recording.named(speaker, calls)
                break
        try:
            if len(calls) > 1 and self.session.info.concurrent_tools:
                outputs = await self._at_once(speaker, calls)
            else:
                outputs = []
                for call in calls:
                    outputs.append(self._note(speaker, call, await self._call(call)))
        except GymError as error:
            raise self.run.breaks("tool", error) from error.__cause__
        self.done = self.done or self.toolbox.done
        return outputs

    async def _call(self, call: Mapping[str, Any]) -> _Ran:
        """One tool call with its time and the kind of its fault."""
        toolbox, clock = self.toolbox, self.run.stage.clock
        began = clock.time()
        output = await toolbox.call(call)
        fault = toolbox.fault  # nothing else has run since the call ended: it is of this one
        if fault is not None:
            toolbox.fault = None
        return output, began, clock.time() - began, fault

    def _note(self, speaker: Speaker, call: Mapping[str, Any], ran: _Ran) -> FunctionCallOutput:
        output, began, seconds, fault = ran
        run = self.run
        number = run.recording.call_number(speaker, call)
        run.recording.ran(speaker, number, output, began - (run.started or 0.0), seconds, fault)
        return output

    async def _at_once(self, speaker: Speaker, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        ran: list[_Ran | None] = [None] * len(calls)
        outputs: list[FunctionCallOutput] = []

        async def carry_out(number: int) -> None:
            ran[number] = await self._call(calls[number])
            # In the order of the calls, as soon as may be: what was done is on record also where the rest is cut off.
            while len(outputs) < len(ran) and (first := ran[len(outputs)]) is not None:
                outputs.append(self._note(speaker, calls[len(outputs)], first))

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(calls)):
                    group.create_task(carry_out(number))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            for number in range(len(outputs), len(ran)):
                if (late := ran[number]) is not None:
                    self._note(speaker, calls[number], late)
        return outputs

    async def answer(self, phase: str, asked: Awaitable[AnswerT]) -> AnswerT:
        """What the session answers. What it raises ends the rollout."""
        try:
            return await asked
        except BaseException as error:
            if asked_to_end(error):
                raise
            raised = as_exception(error)
            raise self.run.breaks(phase, raised) from raised.__cause__


class LiveActor:
    """An actor of the agent's. Its attributes have mangled names: nobody reaches behind by accident.

    `request`: what its requests have in common.
    """

    __slots__ = ("__context", "__gate", "__live", "__request", "__speaker")

    def __init__(self, live: _Live, speaker: Speaker, request: Request) -> None:
        self.__live = live
        self.__speaker = speaker
        self.__request = request
        self.__context = live.run.call_context(speaker.role)
        self.__gate = live.run.stage.gates[speaker.role]

    @property
    def name(self) -> str:
        """By what it is known in the record."""
        return self.__speaker.name

    @property
    def role(self) -> str:
        """The model that it asks."""
        return self.__speaker.role

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools its model may call."""
        return self.__request.tools

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        """A call of its model, recorded as part of its conversation."""
        live, speaker = self.__live, self.__speaker
        live.check()
        if live.run.broken is not None:
            raise live.run.broken[1]
        if live.done is not None:
            raise EpisodeOver(USED_UP if live.done is _USED_UP else "the session has ended the episode")
        if live.run.stage.max_rollout_tokens is not None and live.run.used_up and speaker.role == POLICY:
            live.done = _USED_UP
            raise EpisodeOver(USED_UP)
        if not isinstance(items, list):
            items = list(items)
        params = sampling_fields(sampling) if sampling else {}
        request = self.__request.with_input(items, params)
        try:
            response = await live.run.respond(speaker, self.__gate, self.__context, request, params)
        except ModelError as error:
            if error.fatal:  # it hits all rollouts alike, whatever the agent makes of it
                raise live.run.breaks("model", error) from error.__cause__
            raise
        if live.session.info.answers_calls and speaker is live.run.recording.main:
            live.unseen = response
        return response

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Run one function call."""
        return (await self.call_tools([call]))[0]

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """The calls of one response; their outputs are recorded in the order of the calls."""
        self.__live.check()
        return await self.__live.call_tools(self.__speaker, calls)


class LiveEpisode(LiveActor):
    """The episode that an agent works on: its own actor, and what else there is."""

    __slots__ = ("__live",)

    def __init__(self, live: _Live) -> None:
        super().__init__(live, live.run.recording.main, live.request)
        self.__live = live

    @property
    def request(self) -> Request:
        """The task's request, with the opening observation and the tools."""
        return self.__live.request

    def actor(self, name: str, role: str = POLICY) -> Actor:
        """Another actor."""
        live = self.__live
        if role not in live.run.stage.gates:
            raise lacking_model(role, "agent")
        speaker = live.run.recording.actor(name, role)
        if speaker is live.run.recording.main:
            return self
        return LiveActor(live, speaker, Request(inherited(live.request.body, tools=True) if role == POLICY else {}))

    async def reply(self, response: Response) -> Sequence[Item]:
        """The environment's answer to a response without calls."""
        live = self.__live
        live.check()
        answer = await live.answer("reply", live.session.reply(response))
        if isinstance(answer, Done):
            if answer.reason != SESSION_DONE:
                live.done = answer
            answer = ()
        if live.session.info.replies:
            live.run.recording.replied(answer)
        return answer

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """The sandboxes that the session has opened."""
        return self.__live.session.sandboxes

    def endpoint(self, actor: str = POLICY) -> AbstractAsyncContextManager[Endpoint]:
        """All of this for a program."""
        return self.__live.run.stage.gateway.offer(self, actor)
