"""The routes that NeMo Gym's agents and trainers ask."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import Task, Trajectory, Verdict, tool
from gym_nemo.foreign_verdict import NotMeasured, read_verdict
from gym_nemo.metrics import aggregate_metrics
from tests.serve.environments import Answer, CounterSession, Served, counter, serving
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous

COOKIE = "gym_session"
ANSWERED = {"output": [{"type": "message", "role": "assistant", "content": "8"}]}


class Rollout:
    """A rollout of NeMo Gym's agent, which threads the cookie by hand."""

    def __init__(self, served: Served, task: dict[str, Any], cookie: str) -> None:
        self.served = served
        self.task = task
        self.cookie = cookie

    @classmethod
    async def seed(cls, served: Served, task: dict[str, Any]) -> Rollout:
        answer = await served.ask("POST", "/seed_session", task)
        assert answer.status == 200, answer.body
        served.client.cookies.clear()
        return cls(served, task, answer.headers["set-cookie"].partition(";")[0].partition("=")[2])

    async def post(self, path: str, body: Any) -> Answer:
        return await self.served.ask("POST", path, body, headers={"Cookie": f"{COOKIE}={self.cookie}"})


@asynchronous
async def test_a_rollout_of_nemo_gym() -> None:
    async with serving(counter()) as served:
        task = row(start=3, _ng_task_index=5, _ng_rollout_index=2)
        seeded = await served.ask("POST", "/seed_session", task)
        assert seeded.body == {}
        assert "HttpOnly" in seeded.headers["set-cookie"]
        assert "samesite=lax" in seeded.headers["set-cookie"].lower()
        rollout = await Rollout.seed(served, task)
        called = await rollout.post("/add", {"by": 5})
        assert (called.status, called.body) == (200, "8")
        assert called.headers["content-type"].startswith("text/plain")
        for _ in range(2):
            verified = await rollout.post("/verify", {**task, "response": ANSWERED})
            assert verified.body == {**task, "response": ANSWERED, "reward": 9.0}


@asynchronous
async def test_sessions_are_told_apart_by_their_cookies() -> None:
    async with serving(counter()) as served:
        rollouts = await asyncio.gather(*(Rollout.seed(served, row(number, start=number)) for number in range(8)))
        totals = await asyncio.gather(*(rollout.post("/add", {"by": 10}) for rollout in rollouts))
        assert [total.body for total in totals] == [str(10 + number) for number in range(8)]


@asynchronous
async def test_a_bad_call_is_answered_to_the_model() -> None:
    async with serving(counter()) as served:
        rollout = await Rollout.seed(served, row())
        for path, body in (("/add", {"bye": 1}), ("/nothing", {}), ("/fail", {})):
            answer = await rollout.post(path, body)
            assert answer.status == 200
            assert answer.body.startswith('{"error":')
        broken = await served.ask("POST", "/add", content=b"{", headers={"Cookie": f"{COOKIE}={rollout.cookie}"})
        assert "not valid JSON" in broken.body


@pytest.mark.parametrize("path", ["/add", "/verify"])
@asynchronous
async def test_without_a_session_nothing_is_answered(path: str) -> None:
    async with serving(counter()) as served:
        body = {**row(), "response": ANSWERED}
        assert (await served.ask("POST", path, body)).status == 401
        rollout = await Rollout.seed(served, row())
        forged = Rollout(served, {}, rollout.cookie[:-2] + "xx")
        assert (await forged.post(path, body)).status == 404
        ident = rollout.cookie.partition(".")[0]
        assert (await Rollout(served, {}, ident).post(path, body)).status == 404


class Awkward(PlainSession):
    """Its tools are called like routes, and its verifier keeps fields that the row has."""

    @tool
    def verify_(self) -> str:
        """Not a route."""
        return "a tool"

    @tool(name="verify")
    def also_verify(self) -> str:
        """Called like a route."""
        return "the tool"

    @tool(name="health")
    def health(self) -> str:
        """Called like another."""
        return "healthy"

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(
            0.5, {"half": 0.5}, {"note": "kept", "answer": "lost", "reward": 9, "count": len(trajectory.items)}
        )


@asynchronous
async def test_a_tool_called_like_a_route_is_reached_under_v1_only() -> None:
    async with serving(env(Awkward)) as served:
        rollout = await Rollout.seed(served, row())
        assert (await rollout.post("/verify_", {})).body == "a tool"
        assert (await rollout.post("/verify", {})).error["field"] == "response"
        assert (await rollout.post("/health", {})).status == 405
        session = await served.open()
        assert (await session.tool("verify")).body["output"] == "the tool"
        assert (await session.tool("health")).body["output"] == "healthy"


@asynchronous
async def test_what_the_verifier_keeps_stands_in_the_row_where_it_meets_nothing() -> None:
    async with serving(env(Awkward)) as served:
        task = row(answer="mine")
        rollout = await Rollout.seed(served, task)
        verified = await rollout.post("/verify", {**task, "response": ANSWERED})
        added = {"note": "kept", "count": 1, "reward": 0.5, "reward_components": {"half": 0.5}}
        assert verified.body == {**task, "response": ANSWERED, **added}


class FromTheRow(CounterSession):
    judges_trajectory = True

    async def verify(self, trajectory: Trajectory) -> float:
        return float(trajectory.output_text == self.task["answer"])


@asynchronous
async def test_a_row_is_judged_without_a_session_where_the_row_is_enough() -> None:
    async with serving(counter(FromTheRow), max_sessions=1) as served:
        for answer, reward in (("8", 1.0), ("9", 0.0)):
            verified = await served.ask("POST", "/verify", {**row(answer=answer), "response": ANSWERED})
            assert (verified.status, verified.body["reward"]) == (200, reward)
        assert CounterSession.closed == ["t0", "t0"]


@asynchronous
async def test_a_verified_session_is_not_kept_for_long() -> None:
    async with serving(counter(), session_idle=3600) as served:
        rollout = await Rollout.seed(served, row())
        await rollout.post("/verify", {**row(), "response": ANSWERED})
        served.clock.now += 61
        assert (await rollout.post("/add", {"by": 1})).status == 410


@asynchronous
async def test_the_opening_is_told_and_comes_before_what_the_model_said() -> None:
    async with serving(counter()) as served:
        task = row(observed=True)
        seeded = await served.ask("POST", "/seed_session", task)
        assert seeded.body == {"opening": [{"role": "user", "content": "Begin."}]}
        rollout = await Rollout.seed(served, task)
        verified = await rollout.post("/verify", {**task, "response": ANSWERED})
        assert verified.body["reward"] == 2.0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "responses_create_params"),
        ({"responses_create_params": {}}, "responses_create_params.input"),
        ({**row(), "_ng_task_index": "x"}, "_ng_task_index"),
        (
            {"responses_create_params": {"input": "", "tools": [{"type": "function", "name": "x"}]}},
            "responses_create_params",
        ),
    ],
)
@asynchronous
async def test_a_row_that_is_no_task_is_refused(body: dict[str, Any], field: str) -> None:
    async with serving(counter()) as served:
        answer = await served.ask("POST", "/seed_session", body)
        assert (answer.status, answer.error["field"]) == (422, field)


@asynchronous
async def test_metrics_over_verified_rows() -> None:
    async with serving(counter()) as served:
        rows = [{**row(), "_ng_task_index": 0, "reward": reward} for reward in (0.0, 1.0)]
        answer = await served.ask("POST", "/aggregate_metrics", {"verify_responses": rows})
        assert answer.body["key_metrics"]["mean/reward"] == 0.5
        refused = await served.ask("POST", "/aggregate_metrics", {"verify_responses": 1})
        assert (refused.status, refused.error["field"]) == (422, "verify_responses")


class SeedSession(PlainSession):
    def verify(self, trajectory: Trajectory) -> float:
        return float(self.seed)


@asynchronous
async def test_each_repeat_of_a_task_has_a_seed_of_its_own() -> None:
    async with serving(env(SeedSession)) as served:
        rewards = []
        for repeat in (0, 1, 0):
            task = {**dict(Task.ask("x", task_id="a").row), "_ng_rollout_index": repeat}
            rollout = await Rollout.seed(served, task)
            rewards.append((await rollout.post("/verify", {**task, "response": ANSWERED})).body["reward"])
        assert rewards[0] == rewards[2] != rewards[1]


def test_metrics_leave_out_what_was_not_measured() -> None:
    rows = [
        {"_ng_task_index": 0, "reward": 1.0},
        {"_ng_task_index": 0, "reward": 0.0, "mask_sample": True},
        {"_ng_task_index": 0, "reward": 0.0, "_ng_failure_class": "judge_failed", "reward_components": {"a": 0.0}},
        {"_ng_task_index": 0, "reward": 0.0, "error": "a field of the task"},
    ]
    metrics = aggregate_metrics({"verify_responses": rows})["agent_metrics"]
    assert (metrics["mean/reward"], metrics["left_out"], metrics["rollouts"]) == (0.5, 2, 4)
    assert "mean/reward_components/a" not in metrics


@pytest.mark.parametrize("prefix", ["/ng-rollout/0-0", "/ng-rollout/a.b_c-1/training-token-capture"])
@asynchronous
async def test_a_capture_prefix_leads_to_the_same_routes(prefix: str) -> None:
    async with serving(counter(), token="secret") as served:
        allowed = {"Authorization": "Bearer secret"}
        seeded = await served.ask("POST", f"{prefix}/seed_session", row(start=3), headers=allowed)
        assert seeded.status == 200
        assert (await served.ask("POST", f"{prefix}/add", {"by": 5}, headers=allowed)).body == "8"
        for path in ("/v1/component", "/seed_session"):
            assert (await served.ask("POST", prefix + path, row())).status == 401, "it opens nothing that is closed"
        for path in ("/ng-rollout/-x/health", "/ng-rollout/health", f"{prefix}{prefix}/health"):
            assert (await served.ask("GET", path, headers=allowed)).status in (404, 405)


class Halves(PlainSession):
    """Its components do not sum to the reward."""

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(1.0, {"calls": 1.0, "answer": 0.5}, {"calls": "of the info"})


@asynchronous
async def test_components_that_do_not_sum_to_the_reward_stand_at_the_top() -> None:
    async with serving(env(Halves)) as served:
        task = row()
        rollout = await Rollout.seed(served, task)
        verified = await rollout.post("/verify", {**task, "response": ANSWERED})
        assert verified.body == {**task, "response": ANSWERED, "reward": 1.0, "answer": 0.5, "calls": "of the info"}


def seeding(name: str = "s1", rollout: str = "4-2", **data: Any) -> dict[str, Any]:
    return {
        "resources_session_id": name,
        "episode_id": {"rollout_id": rollout, "attempt": 0},
        "task_id": {"taskset": "counters:train", "task_id": "a"},
        "task_data": {"start": 3, **data},
    }


def closing(name: str = "s1", rollout: str = "4-2") -> dict[str, Any]:
    return {"resources_session_id": name, "episode_id": {"rollout_id": rollout, "attempt": 0}}


@asynchronous
async def test_a_session_under_an_id_of_the_callers() -> None:
    async with serving(counter()) as served:
        seeded, again = await asyncio.gather(*(served.ask("POST", "/seed_session", seeding()) for _ in range(2)))
        assert seeded.body == again.body == {"resources_session_id": "s1"}, "any other field is refused there"
        served.client.cookies.clear()
        cookies = [answer.headers["set-cookie"].partition(";")[0].partition("=")[2] for answer in (seeded, again)]
        assert cookies[0] == cookies[1], "seeding again opens no other"
        rollout = Rollout(served, row(start=3), cookies[0])
        assert (await rollout.post("/add", {"by": 5})).body == "8"
        assert (await rollout.post("/verify", {**row(start=3), "response": ANSWERED})).body["reward"] == 9.0
        for _ in range(2):
            closed = await rollout.post("/close_session", closing())
            assert (closed.status, closed.body) == (200, {"resources_session_id": "s1"})
        assert CounterSession.closed == ["a"]
        assert (await rollout.post("/add", {"by": 5})).status == 410
        assert (await served.ask("POST", "/seed_session", seeding())).status == 410, "what was closed stays so"


@asynchronous
async def test_a_seed_that_arrives_after_its_close_opens_nothing() -> None:
    async with serving(counter()) as served:
        assert (await served.ask("POST", "/close_session", closing("late"))).status == 200
        assert (await served.ask("POST", "/seed_session", seeding("late"))).status == 410
        assert CounterSession.closed == []


@asynchronous
async def test_a_session_is_one_episodes_and_a_failed_seed_may_be_tried_again() -> None:
    async with serving(counter()) as served:
        assert (await served.ask("POST", "/seed_session", seeding())).status == 200
        for path, body in (("/seed_session", seeding(rollout="4-3")), ("/close_session", closing(rollout="4-3"))):
            refused = await served.ask("POST", path, body)
            assert (refused.status, refused.error["field"]) == (409, "resources_session_id")
        unknown = {"input": "", "tools": [{"type": "function", "name": "x"}]}
        wrong = seeding("s2", responses_create_params=unknown)
        assert (await served.ask("POST", "/seed_session", wrong)).status == 422
        assert (await served.ask("POST", "/seed_session", seeding("s2"))).status == 200
        for broken in ({**seeding(), "episode_id": "4-2"}, {"resources_session_id": 1}):
            assert (await served.ask("POST", "/seed_session", broken)).status == 422


@asynchronous
async def test_a_session_of_a_cookie_is_closed_by_it() -> None:
    async with serving(counter()) as served:
        rollout = await Rollout.seed(served, row(start=3))
        assert (await rollout.post("/close_session", {})).status == 200
        assert (await rollout.post("/add", {"by": 5})).status == 410
        assert (await served.ask("POST", "/close_session", {})).status == 401


class Unjudged(PlainSession):
    def verify(self, trajectory: Trajectory) -> float:
        raise RuntimeError("the judge is down")


@asynchronous
async def test_a_verdict_that_failed_is_a_masked_row_where_that_is_asked_for() -> None:
    for masks in (False, True):
        async with serving(env(Unjudged), masks_failures=masks) as served:
            task = row(instance_config={"image": "x"})
            rollout = await Rollout.seed(served, task)
            verified = await rollout.post("/verify", {**task, "response": ANSWERED})
            if not masks:
                assert verified.status == 500
                continue
            assert (verified.status, verified.body["reward"], verified.body["mask_sample"]) == (200, 0.0, True)
            assert verified.body["instance_config"] == {"image": "x", "mask_sample": True}
            assert "the judge is down" in verified.body["failure_reason"]
            with pytest.raises(NotMeasured):
                read_verdict(verified.body, task)
            assert (await rollout.post("/verify", {**task, "response": 1})).status == 422


class UnjudgedAlone(Unjudged):
    """Judges by what was said alone, so that it may be asked without a session."""

    judges_trajectory = True


@asynchronous
async def test_a_verdict_without_a_session_that_failed_is_a_masked_row_too() -> None:
    for masks, status in ((False, 500), (True, 200)):
        async with serving(env(UnjudgedAlone), masks_failures=masks) as served:
            verified = await served.ask("POST", "/verify", {**row(), "response": ANSWERED})
            assert verified.status == status
            assert (verified.body.get("mask_sample") is True) == masks
