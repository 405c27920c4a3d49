"""Models besides the policy: a judge, a simulated user."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from gym_core import Request, Session, Status, Trajectory, UsageError, tool
from gym_core.errors import AuthenticationError, BadRequestError, ServerError
from gym_core.spi import run_rollout
from tests.support.clock import FakeClock
from tests.support.envs import PlainSession, ask, env
from tests.support.models import ScriptedModel, call, say
from tests.support.running import gave, rollout, run, shown, stage


class Judged(Session[Any]):
    roles: ClassVar[tuple[str, ...]] = ("judge",)

    async def verify(self, trajectory: Trajectory) -> float:
        answer = await self.models["judge"].respond(f"Grade: {trajectory.output_text}", temperature=0)
        return float(answer.output_text)


def test_a_judges_call_is_recorded_in_place_and_is_no_part_of_the_conversation() -> None:
    judge = ScriptedModel("0.5", name="judge", role="judge")
    ended = rollout({"policy": ScriptedModel("my answer"), "judge": judge}, Judged)
    assert ended.reward == 0.5
    assert judge.requests[0].body == {
        "input": [{"type": "message", "role": "user", "content": "Grade: my answer"}],
        "temperature": 0,
    }
    assert ended.response.output == [say("my answer")]
    policy, judging = ended.model_calls
    assert (policy["role"], policy["gave"]) == ("policy", [[1, 2]])
    assert (judging["role"], judging["actor"], judging["verifies"]) == ("judge", "judge", True)
    assert shown(ended, 1) == judge.requests[0].input
    assert gave(ended, 1) == [say("0.5")]
    assert ended.row["rollout"]["items"] == [*judge.requests[0].input, say("0.5")]
    assert judge.contexts[0].role == "judge"


def test_a_parameter_of_a_judges_call_is_recorded() -> None:
    judge = ScriptedModel("0.5")
    ended = rollout({"policy": ScriptedModel(), "judge": judge}, Judged)
    assert ended.model_calls[1].get("sampling") == {"temperature": 0}


def test_tokens_of_all_roles_count_and_the_response_holds_those_of_the_policy() -> None:
    ended = rollout({"policy": ScriptedModel("x"), "judge": ScriptedModel("1")}, Judged)
    assert (ended.usage.input_tokens, ended.usage.output_tokens, ended.usage.cached_tokens) == (20, 4, 8)
    assert ended.row["response"]["usage"]["input_tokens"] == 10


def test_a_request_of_the_sessions_own_reaches_its_model() -> None:
    class Asking(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            request = Request.ask("Hm?", instructions="Grade.")
            return float((await self.models["judge"].respond(request)).output_text)

    judge = ScriptedModel("1")
    assert rollout({"policy": ScriptedModel(), "judge": judge}, Asking).reward == 1.0
    assert judge.requests[0].instructions == "Grade."


def test_keywords_go_over_the_request_and_one_that_there_is_not_fails_the_verifier() -> None:
    class Asking(PlainSession):
        async def verify(self, trajectory: Trajectory) -> float:
            await self.models["judge"].respond("Hm?", temperature=0, extra={"top_k": 20})
            return float((await self.models["judge"].respond("Hm?", tempratur=0)).output_text)  # type: ignore[call-arg]

    judge = ScriptedModel("1")
    ended = rollout({"policy": ScriptedModel(), "judge": judge}, Asking)
    assert ended.error is not None
    assert "did you mean `temperature`?" in ended.error["message"]
    assert ended.status is Status.VERIFIER_ERROR
    assert [request.body["top_k"] for request in judge.requests] == [20]


def test_a_judge_that_fails_is_a_failure_of_the_verifier() -> None:
    ended = rollout({"policy": ScriptedModel(), "judge": ScriptedModel(BadRequestError("no", status=400))}, Judged)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert (ended.error["class"], ended.error["phase"]) == ("BadRequestError", "verify")


def test_a_judge_whose_answer_cannot_be_read_is_a_failure_of_the_verifier() -> None:
    ended = rollout({"policy": ScriptedModel(), "judge": ScriptedModel("great")}, Judged)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert ended.error["class"] == "ValueError"


def test_a_judge_with_a_wrong_key_stops_the_run() -> None:
    models = {"policy": ScriptedModel(), "judge": ScriptedModel(AuthenticationError("bad key"), role="judge")}
    ended = run(models, env(Judged, 20), concurrency=1)
    assert ended.statuses() == ["cancelled"]
    assert isinstance(ended.error, AuthenticationError)


def test_a_run_without_a_role_that_the_sessions_need_is_refused_before_it_starts() -> None:
    policy = ScriptedModel()
    with pytest.raises(UsageError, match=r"judge.*--model judge=REF"):
        run(policy, env(Judged, 3))
    assert policy.requests == []


def test_a_role_that_was_not_declared_is_missed_with_what_to_do() -> None:
    class Undeclared(Judged):
        roles = ()

    ended = rollout(session=Undeclared)
    assert ended.status is Status.VERIFIER_ERROR
    assert ended.error is not None
    assert "--model judge=REF" in ended.error["message"]


def test_a_tool_may_ask_a_model_and_its_failure_is_not_the_policys() -> None:
    class Helped(PlainSession):
        roles = ("user",)

        @tool
        async def ask(self, what: str) -> str:
            """Ask the user."""
            return (await self.models["user"].respond(what)).output_text

    policy = ScriptedModel(call("ask", {"what": "When?"}), "done")
    fine = rollout({"policy": policy, "user": ScriptedModel("Now.")}, Helped)
    assert policy.outputs() == ["Now."]
    assert [one["role"] for one in fine.model_calls] == ["policy", "user", "policy"]
    policy = ScriptedModel(call("ask", {"what": "When?"}), "done")
    ended = rollout({"policy": policy, "user": ScriptedModel(BadRequestError("no"))}, Helped)
    assert ended.status is Status.ENV_ERROR
    assert ended.error is not None
    assert (ended.error["class"], ended.error["phase"]) == ("BadRequestError", "tool")


def test_options_for_a_role_that_the_run_lacks_are_refused() -> None:
    with pytest.raises(UsageError, match="judge"):
        run(ScriptedModel(), model_options={"judge": {"temperature": 0}})


def test_a_judges_waiting_does_not_bring_the_verifiers_deadline_nearer() -> None:
    async def main() -> None:
        clock = FakeClock()

        async def really_sleep(seconds: float) -> None:
            await asyncio.sleep(0.15)

        clock.sleep = really_sleep  # type: ignore[method-assign]
        judge = ScriptedModel(ServerError("x", status=500), ServerError("x", status=500), "0.5")
        models = {"policy": ScriptedModel(), "judge": judge}
        ended = await run_rollout(stage(models, Judged, clock=clock, verify=0.1), ask())
        assert ended.reward == 0.5

    asyncio.run(main())


def test_the_summary_says_what_each_role_took() -> None:
    ended = run({"policy": ScriptedModel("x"), "judge": ScriptedModel("1")}, env(Judged))
    roles = ended.summary["roles"]
    assert sorted(roles) == ["judge", "policy"]
    assert roles["judge"]["calls"] == roles["policy"]["calls"] == ended.summary["rollouts"]["with_verdict"]
    assert roles["judge"]["usage"]["input_tokens"] == 10 * roles["judge"]["calls"]


def test_one_model_alone_is_not_told_apart() -> None:
    assert run(ScriptedModel("x"), env(PlainSession)).summary["roles"] == {}
