"""`POST /run` of a served agent: rows in, result rows out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gym_core import Session, Trajectory, Verdict, tool
from gym_core.domain import errors
from gym_testing.clock import FakeClock
from tests.serve.serving import served_agent
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel, call
from tests.support.running import collect, timeless_calls
from tests.support.tokens import TokenModel


class Counting(Session[Any]):
    """Counts to what its task says."""

    def setup(self) -> None:
        self.count = 0

    @tool
    def add(self, by: int) -> int:
        """Add to the count."""
        self.count += by
        return self.count

    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(float(self.count == self.task["target"]), {"count": float(self.count)}, {"seed": self.seed})


class Broken(PlainSession):
    """Fails where its task says."""

    def setup(self) -> Any:
        if self.task.get("fail") == "setup":
            raise OSError("no such place: sk-12345678")
        if self.task.get("fail") == "hang":
            return asyncio.Event().wait()
        return None

    def verify(self, trajectory: Trajectory) -> Any:
        if self.task.get("fail") == "verify":
            raise ZeroDivisionError("oh")
        if self.task.get("fail") == "info":
            return Verdict(1.0, {}, {"n": object()})
        return 1.0


def failing(error: Exception) -> ScriptedModel:
    """A model whose calls fail, and are not tried again."""
    model = ScriptedModel(error)
    model.retries = 0
    return model


def counting(*adds: int) -> ScriptedModel:
    """A model that adds, then is done."""
    return ScriptedModel([call("add", {"by": by}, f"c{place}") for place, by in enumerate(adds)], "done")


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """A result row without what differs from one run to the next."""
    about = {name: value for name, value in result["rollout"].items() if name not in ("run_id", "timing")}
    return {**result, "rollout": timeless_calls(about)}


@asynchronous
async def test_a_row_comes_back_with_its_verdict() -> None:
    task = row(1, target=5, _ng_task_index=7, _ng_rollout_index=2, agent_ref={"name": "mine"}, extra=[1, {"a": None}])
    async with served_agent(counting(2, 3), env(Counting)) as server:
        status, result = await server.post("/run", task)
        assert status == 200
        assert {name: result[name] for name in task} == task
        assert (result["reward"], result["rollout"]["reward_components"]) == (1.0, {"count": 5.0})
        assert "reward_components" not in result, "they do not sum to the reward"
        assert [item["type"] for item in result["response"]["output"]] == [
            "function_call",
            "function_call",
            "function_call_output",
            "function_call_output",
            "message",
        ]
        assert (result["task_id"], result["rollout"]["repeat"], result["rollout"]["task_index"]) == ("t1", 2, 7)


def test_the_row_is_the_one_that_a_run_writes() -> None:
    task = row(0, target=4)
    ran = collect(counting(4), env(Counting, [task]))[0].row
    served: list[dict[str, Any]] = []

    @asynchronous
    async def serve() -> None:
        async with served_agent(counting(4), env(Counting)) as server:
            served.append((await server.post("/run", task))[1])

    serve()
    (answered,) = served
    parts = answered["rollout"].pop("reward_components")  # which do not sum to the reward
    assert comparable({**answered, "reward_components": parts}) == comparable(ran)


@asynchronous
async def test_a_result_can_be_run_again() -> None:
    async with served_agent(counting(4), env(Counting)) as server:
        _, first = await server.post("/run", row(0, target=4))
        status, second = await server.post("/run", first)
        assert status == 200
        assert comparable(first)["rollout"]["seed"] == comparable(second)["rollout"]["seed"]
        assert second["reward"] == 0.0  # the script was at its end: nothing was added


@asynchronous
async def test_equal_rows_are_one_task_and_repeats_have_seeds_of_their_own() -> None:
    plain = {"responses_create_params": {"input": "hello"}, "target": 0}
    rows = [plain, dict(reversed(plain.items())), {**plain, "_ng_rollout_index": 1}, {**plain, "_ng_task_index": 3}]
    async with served_agent(server=env(Counting)) as server:
        results = [(await server.post("/run", task))[1] for task in rows]
        assert results[0]["task_id"] == results[1]["task_id"] != results[3]["task_id"] == "3"
        seeds = [result["rollout"]["info"]["seed"] for result in results]
        assert seeds[0] == seeds[1]
        assert len(set(seeds)) == 3


@asynchronous
async def test_the_model_is_seeded_by_the_row_alone() -> None:
    model = ScriptedModel()
    seeded = row(1)
    seeded["responses_create_params"]["seed"] = 5
    async with served_agent(model, seed=3) as server:
        _, result = await server.post("/run", row(0))
        assert result["rollout"]["seed_sent"] is False
        await server.post("/run", seeded)
        assert [context.seed for context in model.contexts] == [None, None]
        assert [request.body.get("seed") for request in model.requests] == [None, 5]


@asynchronous
async def test_many_at_once_take_turns() -> None:
    running = peak = 0
    full = asyncio.Event()

    async def think(request: Any, context: Any) -> str:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        if running == 4:
            full.set()
        await full.wait()
        running -= 1
        return "done"

    async with served_agent(ScriptedModel(think), concurrency=4) as server:
        replies = await asyncio.gather(*(server.post("/run", row(number)) for number in range(60)))
        assert [status for status, _ in replies] == [200] * 60
        assert [result["task_id"] for _, result in replies] == [f"t{number}" for number in range(60)]
        assert peak == 4
        assert (server.rollouts.running, server.rollouts.waiting) == (0, 0)


@asynchronous
async def test_more_than_may_wait_are_refused() -> None:
    busy, free = asyncio.Event(), asyncio.Event()

    async def think(request: Any, context: Any) -> str:
        busy.set()
        await free.wait()
        return "done"

    async with served_agent(ScriptedModel(think), concurrency=1, waiting=0) as server:
        first = asyncio.create_task(server.post("/run", row(0)))
        await busy.wait()
        async with server.http.post(f"{server.url}/run", json=row(1)) as reply:
            assert reply.status == 429
            assert int(reply.headers["Retry-After"]) > 0
            error = (await reply.json())["error"]
            assert (error["code"], error["retryable"]) == ("too_many_rollouts", True)
        free.set()
        assert (await first)[0] == 200


@pytest.mark.parametrize(
    ("fields", "status", "code", "kind", "phase"),
    [
        ({"fail": "setup"}, 500, "env_error", "OSError", "setup"),
        ({"fail": "verify"}, 500, "verifier_error", "ZeroDivisionError", "verify"),
        ({"fail": "info"}, 500, "verifier_error", "SessionError", "verify"),
        ({"fail": "hang"}, 504, "timed_out", "DeadlineExceeded", "setup"),
    ],
)
@asynchronous
async def test_a_failure_is_a_status_and_no_reward(
    fields: dict[str, Any], status: int, code: str, kind: str, phase: str
) -> None:
    from gym_core.spi import Deadlines

    async with served_agent(server=env(Broken), deadlines=Deadlines(setup=0.05), secrets=("sk-12345678",)) as server:
        found, body = await server.post("/run", row(0, **fields))
        assert found == status
        assert (body["error"]["code"], body["error"]["class"], body["error"]["phase"]) == (code, kind, phase)
        assert "sk-12345678" not in str(body)
        assert body["row"]["reward"] is None
        assert body["row"]["rollout"]["status"] == code
        assert body["row"]["task_id"] == "t0"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.RateLimitError("slow down", status=429, retry_after=9), 503, "model_error"),
        (errors.OverloadedError("busy", status=503), 503, "model_error"),
        (errors.ServerError("oops", status=500), 502, "model_error"),
        (errors.BadRequestError("no such option", status=400), 502, "model_error"),
        (errors.BadRequestError("the request cannot be sent"), 422, "model_error"),
        (errors.AuthenticationError("wrong key", status=401), 502, "cancelled"),
        (ZeroDivisionError("oh"), 502, "model_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@asynchronous
async def test_a_failure_of_the_model_is_told_apart(error: Exception, status: int, code: str) -> None:
    async with (
        served_agent(failing(error), clock=FakeClock().clock) as server,
        server.http.post(f"{server.url}/run", json=row(0)) as reply,
    ):
        body = await reply.json()
        assert (reply.status, body["error"]["code"]) == (status, code)
        assert body["row"]["reward"] is None
        if isinstance(error, errors.RateLimitError):
            assert reply.headers["Retry-After"] == "9"


@asynchronous
async def test_a_cut_rollout_is_a_result() -> None:
    async with served_agent(failing(errors.ContextLengthError("too long", status=400))) as server:
        status, result = await server.post("/run", row(0))
        assert (status, result["rollout"]["status"], result["reward"]) == (200, "truncated", 1.0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "responses_create_params"),
        ({"responses_create_params": 3}, "responses_create_params"),
        ({"responses_create_params": {}}, "responses_create_params.input"),
        ({**row(0), "reward": 1.0}, "reward"),
        ({**row(0), "_ng_task_index": "one"}, "_ng_task_index"),
        ({**row(0), "_ng_rollout_index": -1}, "_ng_rollout_index"),
        ([], "body"),
    ],
)
@asynchronous
async def test_what_is_no_row_is_refused(body: Any, field: str) -> None:
    async with served_agent() as server:
        status, reply = await server.post("/run", body)
        assert (status, reply["error"]["field"]) == (422, field)


@asynchronous
async def test_a_row_that_does_not_fit_the_environment_is_refused() -> None:
    task = row(0)
    task["responses_create_params"]["tools"] = [{"type": "function", "name": "fly", "parameters": {}}]
    async with served_agent() as server:
        status, body = await server.post("/run", task)
        assert status == 422
        assert "`fly`" in body["error"]["message"]
        assert body["row"]["reward"] is None


@asynchronous
async def test_a_client_that_leaves_ends_its_rollout() -> None:
    asked, ended, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Noticing(PlainSession):
        """Says when it is closed."""

        async def close(self) -> None:
            closed.set()

    async def think_forever(request: Any, context: Any) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    async with served_agent(ScriptedModel(think_forever), env(Noticing), concurrency=1) as server:
        leaving = asyncio.create_task(server.post("/run", row(0)))
        await asked.wait()
        asked.clear()
        waiting = asyncio.create_task(server.post("/run", row(1)))
        leaving.cancel()
        await ended.wait()
        await closed.wait()
        await asked.wait()  # the turn went to the one that waited
        waiting.cancel()


@asynchronous
async def test_exact_tokens_stand_on_items_for_trainers_that_read_them_there() -> None:
    model = TokenModel(call("add", {"by": 1}, "c1"), "done")
    async with served_agent(model, env(Counting)) as server:
        status, found = await server.post("/run", row(target=1))
    assert status == 200
    carrying = [item for item in found["response"]["output"] if "generation_token_ids" in item]
    assert [item["type"] for item in carrying] == ["function_call", "message"]
    for item, (prompt, sampled, logprobs) in zip(carrying, model.seen, strict=True):
        assert (item["prompt_token_ids"], item["generation_token_ids"]) == (prompt, sampled)
        assert item["generation_log_probs"] == logprobs
    assert found["rollout"]["model_calls"][1]["tokens"]["continues"] == 0


@asynchronous
async def test_a_failure_is_a_masked_row_where_that_is_asked_for() -> None:
    broken = failing(errors.ServerError("oops", status=500))
    async with served_agent(broken, clock=FakeClock().clock, masks_failures=True) as server:
        status, result = await server.post("/run", row(0))
        assert (status, result["reward"], result["mask_sample"]) == (200, 0.0, True)
        assert (result["_ng_failure_class"], result["rollout"]["status"]) == ("model_error", "model_error")
        assert "oops" in result["failure_reason"]
        assert {"id", "object", "output", "tools"} <= set(result["response"]), "whole, as its types want it"
    unsaid = failing(errors.BadRequestError("the request cannot be sent"))
    async with served_agent(unsaid, masks_failures=True) as server:
        assert (await server.post("/run", row(0)))[0] == 422, "what the asker did wrong stays an error"


def episode(task: dict[str, Any], rollout: str = "7-2") -> dict[str, Any]:
    """A row as NeMo Gym 0.7 asks its environment servers for it."""
    request = task["responses_create_params"]
    data = {name: value for name, value in task.items() if name not in ("responses_create_params", "task_id")}
    name = {"taskset": "theirs", "task_id": task["task_id"]}
    given = {"responses_create_params": request, "task_data": data}
    return {"episode_id": {"rollout_id": rollout, "attempt": 1}, "task": {"task_id": name, "task_input": given}}


@asynchronous
async def test_an_episode_is_answered_with_an_episodes_result() -> None:
    asked = episode(row(1, target=5))
    async with served_agent(counting(2, 3), env(Counting)) as server:
        status, answered = await server.post("/run", asked)
    assert status == 200
    assert set(answered) == {"episode_id", "task_id", "result"}
    assert (answered["episode_id"], answered["task_id"]) == (asked["episode_id"], asked["task"]["task_id"])
    result = answered["result"]
    assert (result["reward"], result["task_id"], result["target"]) == (1.0, "t1", 5)
    assert (result["rollout"]["task_index"], result["rollout"]["repeat"]) == (7, 2)
    assert not [name for name in result if name.startswith("_ng_")], "collectors refuse names of their own"


@pytest.mark.parametrize("fail", ["setup", "verify"])
@asynchronous
async def test_an_episode_that_failed_says_so_without_a_reward(fail: str) -> None:
    async with served_agent(server=env(Broken)) as server:
        status, answered = await server.post("/run", episode(row(0, fail=fail)))
        assert (status, set(answered)) == (200, {"episode_id", "task_id", "failure"})
        failure = answered["failure"]
        assert failure["stage"] == {"setup": "seed", "verify": "verification"}[fail]
        assert failure["terminal"] is True
        wrong = episode(row(0))
        wrong["task"]["task_input"] = {"task_data": {}}
        assert (await server.post("/run", wrong))[0] == 422
        del wrong["episode_id"]["rollout_id"]
        assert (await server.post("/run", wrong))[0] == 422
