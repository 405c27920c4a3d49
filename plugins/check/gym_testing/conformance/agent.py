"""Whether an agent keeps the contract."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from gym_core import Agent, CallContext, Request, Rollout, Status, Stop, errors
from gym_core.spi import Kind
from gym_testing.conformance.bench import AGAIN, ANSWER, Bench, SpiedAgent, SumModel, bench_task
from gym_testing.conformance.component import ComponentConformance
from gym_testing.conformance.over_http import over_http
from gym_testing.conformance.performance import Play, difference, perform, row_difference
from gym_testing.models import ModelTurn, ScriptedModel
from gym_testing.rehearsal import run
from gym_testing.replies import call

BAD_CALLS = (
    call("add", '{"a": 1, "b"', call_id="bad_json"),
    call("no_such_tool_", call_id="unknown_tool"),
    call("add", a="many", call_id="bad_arguments"),
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Episodes that are over: their rows, what their models were asked, and the agent that worked on them."""

    rollouts: Sequence[Rollout]
    models: Sequence[ScriptedModel]
    agent: SpiedAgent

    @property
    def rollout(self) -> Rollout:
        return self.rollouts[0]

    @property
    def requests(self) -> Sequence[Request]:
        return self.models[0].requests


class AgentConformance(ComponentConformance):
    """Subclass it for an agent, and name the agent with `reference`.

        class TestMyAgent(AgentConformance):
            reference = "my_agent"
            options = {"max_turns": 5}

    The model is a script that calls the tool `add` where it is offered, and then answers. `max_model_calls`: how many
    calls an episode may take in which the model never stops calling tools. `calls_tools`: False for an agent that uses
    no tools. `converses`: False for one that does not pass answers to the environment (`episode.reply`).
    """

    kind: ClassVar[Kind] = Kind.AGENT
    max_model_calls: int = 500
    calls_tools: bool = True
    converses: bool = True

    def test_an_answer_ends_the_episode(self) -> None:
        """A model that just answers is asked, and then the agent stops and says why."""
        seen = self._play("The answer is 3.")
        self._check(seen.rollout, "a model that answers at once")
        assert seen.requests, "the agent never asked the model"

    def test_it_says_why_it_stopped(self) -> None:
        """`run` returns why it stopped."""
        seen = self._play("The answer is 3.")
        for result in seen.agent.results:
            assert isinstance(result, Stop), f"`run` returned {result!r} and no Stop"

    def test_calls_are_run_and_answered(self) -> None:
        """The tool runs, and the model sees its call with the output."""
        self._require_tools()
        seen = self._play(SumModel((1, 2), (3, 4)))
        self._check(seen.rollout, "a model that calls a tool twice")
        assert seen.rollout.info["added"] == [3, 7], f"the tools added {seen.rollout.info['added']}, not [3, 7]"
        self._check_pairs(seen)

    def test_all_calls_of_a_response_are_answered(self) -> None:
        """Two calls of one response are both run before the model is asked again."""
        self._require_tools()
        seen = self._play(SumModel((1, 2), (3, 4), at_once=True))
        self._check(seen.rollout, "a model that makes two calls in one response")
        assert seen.rollout.info["added"] == [3, 7], f"the tools added {seen.rollout.info['added']}, not [3, 7]"
        self._check_pairs(seen)

    def test_an_episode_is_bounded(self) -> None:
        """A model that never stops calling tools is stopped."""
        self._require_tools()
        numbers = itertools.count()

        def forever(request: Request, context: CallContext) -> Any:
            number = next(numbers)
            if number >= self.max_model_calls:
                raise errors.BadRequestError("the agent goes on for ever")
            return call("add", call_id=f"call_{number}", a=number, b=1)

        seen = self._play(forever)
        assert next(numbers) <= self.max_model_calls, (
            f"the agent asked the model {self.max_model_calls} times and would have gone on; bound the turns"
        )
        self._check(seen.rollout, "a model that never stops calling tools")

    def test_bad_calls_are_survived(self) -> None:
        """Calls that cannot be run are answered to the model, and the episode goes on."""
        self._require_tools()
        seen = self._play(*BAD_CALLS, "The answer is 3.")
        self._check(seen.rollout, "a model that makes bad calls")
        outputs = {item.get("call_id") for item in seen.rollout.response.output
                   if item.get("type") == "function_call_output"}  # fmt: skip
        for item in BAD_CALLS:
            assert item["call_id"] in outputs, (
                f"the call {item['call_id']!r} got no answer: hand every call to the episode, which says what is wrong"
            )

    def test_the_end_of_an_episode_passes(self) -> None:
        """`EpisodeOver` passes through the agent, and the session's reason stands."""
        self._require_tools()
        seen = self._play(call("finish"), "Hello?")
        self._check(seen.rollout, "a session that ends the episode")
        assert not seen.agent.swallowed, "the agent caught EpisodeOver; let it pass"
        assert seen.rollout.stop_reason == "finished", f"the stop reason is {seen.rollout.stop_reason!r}"

    def test_replies_go_on(self) -> None:
        """What the environment replies to an answer reaches the model."""
        if not self.converses:
            pytest.skip("converses = False")
        seen = self._play("The answer is 3.", again=True)
        self._check(seen.rollout, "an environment that replies")
        said = [str(item.get("content")) for item in seen.requests[-1].input]
        assert any(AGAIN in text for text in said), (
            "the environment replied, and the model did not see it: pass responses without calls to `episode.reply`"
        )

    def test_episodes_share_nothing(self) -> None:
        """Two episodes at once come to what each comes to alone."""
        scripts = [SumModel((1, 2), (3, 4)), SumModel((10, 20), (30, 40), (50, 60))]
        alone = [self._run([(script, {})], first=number) for number, script in enumerate(scripts)]
        together = self._run([(script, {}) for script in scripts], together=True)
        for number, single in enumerate(alone):
            found = difference(single.rollout, together.rollouts[number])
            assert not found, (
                f"two episodes at once share state: alone and beside another one, {found}; keep it in `run`"
            )
            assert single.requests == [] or [request.body for request in single.requests] == [
                request.body for request in together.models[number].requests
            ], "an episode beside another one asks the model something else; keep all state in `run`"

    def test_the_request_is_left_alone(self) -> None:
        """The agent works on a copy of the conversation."""
        seen = self._play(SumModel((1, 2)))
        assert not seen.agent.changed, "the agent changed `episode.request.input`; begin with a copy of it"

    def test_a_model_error_keeps_its_name(self) -> None:
        """A model call that fails ends the episode as what it is, or the agent copes with it."""
        seen = self._play(errors.BadRequestError("no such parameter"))
        status = seen.rollout.status
        message = (seen.rollout.error or {}).get("message")
        assert status.has_verdict or status is Status.MODEL_ERROR, (
            f"a failed model call became {status.value}: {message}; let ModelError pass"
        )

    def test_served_is_the_same(self) -> None:
        """Served over HTTP the agent comes to the same rows, and asks the model the same."""
        scripts: list[tuple[Any, dict[str, Any]]] = [
            (("The answer is 3.",), {"again": True}),
            ((errors.BadRequestError("no such parameter"),), {}),
        ]
        if self.calls_tools:
            scripts += [
                (SumModel((1, 2), (3, 4)), {}),
                (SumModel((1, 2), (3, 4), at_once=True), {}),
                ((*BAD_CALLS, "The answer is 3."), {}),
                ((call("finish"), "Hello?"), {}),
            ]
        here, there = (self._run(scripts, served=served) for served in (False, True))
        for one, other in zip(here.rollouts, there.rollouts, strict=True):
            found = row_difference(one, other)
            assert not found, f"an episode comes to another row in process than over HTTP: {found}"
        for asked, again in zip(here.models, there.models, strict=True):
            bodies = [[request.body for request in model.requests] for model in (asked, again)]
            assert bodies[0] == bodies[1], "over HTTP the agent asks the model something else than in process"

    # Helpers

    def _require_tools(self) -> None:
        if not self.calls_tools:
            pytest.skip("calls_tools = False")

    def _play(self, *script: ModelTurn, **fields: Any) -> _Seen:
        return self._run([(script, fields)])

    def _run(
        self,
        episodes: Sequence[tuple[Any, Any]],
        *,
        first: int = 0,
        together: bool = False,
        served: bool | None = None,
    ) -> _Seen:
        agent: Agent = self.make()
        if self.over_http if served is None else served:
            agent = over_http(agent)
        spied = SpiedAgent(agent)
        plays = [
            Play(bench_task(number, **fields), script if isinstance(script, tuple) else (script,))
            for number, (script, fields) in enumerate(episodes, first)
        ]
        done = run(perform(Bench(), plays, agent=spied, together=together))
        return _Seen(done.rollouts, done.models, spied)

    def _check(self, rollout: Rollout, what: str) -> None:
        if rollout.status.has_verdict:
            return
        error = rollout.error or {}
        raise AssertionError(
            f"{what}: the rollout ended as {rollout.status.value}: {error.get('class')}: {error.get('message')}"
        )

    def _check_pairs(self, seen: _Seen) -> None:
        for number, request in enumerate(seen.requests):
            items = request.input
            outputs = {item.get("call_id") for item in items if item.get("type") == "function_call_output"}
            for item in items:
                if item.get("type") == "function_call":
                    assert item.get("call_id") in outputs, (
                        f"request {number + 1} holds the call {item.get('call_id')!r} without its output"
                    )
        answer = ANSWER.format(7)
        assert seen.rollout.info["answer"] == answer, (
            f"the answer is {seen.rollout.info['answer']!r}, not {answer!r}: the model was not shown the last output"
        )
