"""What a served agent offers to trainers beside single rollouts: groups, tasks, and a sign of life while one waits."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest

from gym_core import ComponentContext, ResourceServer, Rollout, Session, Trajectory, Verdict
from gym_core.domain import errors
from gym_testing.clock import FakeClock
from tests.serve.serving import served_agent
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous
from tests.support.models import ScriptedModel
from tests.support.tokens import TokenModel


def odd(first: int = 0) -> type[Session[Any]]:
    """Sessions whose rewards count up, in the order in which they are opened; they break where the task says."""
    numbers = itertools.count(first)

    class Odd(Session[Any]):
        def setup(self) -> None:
            self.number = next(numbers)

        def verify(self, trajectory: Trajectory) -> Verdict:
            if self.number in self.task.get("breaks", []):
                raise ZeroDivisionError("no verdict for sk-12345678")
            return Verdict(float(self.number))

    return Odd


class Ranked(ResourceServer):
    """The rank of each in its group."""

    def score_group(self, rollouts: Sequence[Rollout]) -> Any:
        if rollouts[0].row.get("fail") == "raise":
            raise LookupError("no rank")
        if rollouts[0].row.get("fail") == "json":
            return [Verdict(1.0, {}, {"what": object()}) for _ in rollouts]
        return [Verdict(10.0 + place, {"rank": float(place)}) for place, _ in enumerate(rollouts)]


def ranked(first: int = 0) -> ResourceServer:
    class Server(Ranked):
        session_type = odd(first)

    return Server(None, ComponentContext(name="ranked"))


@asynchronous
async def test_a_group_has_its_rollouts_and_what_they_came_to() -> None:
    async with served_agent(ScriptedModel(), ranked(2)) as server:
        asked = row(3, _ng_rollout_index=2, breaks=[3], mine=[1])
        status, group = await server.post("/run_group", {"task": asked, "size": 3})
    assert status == 200
    assert group["task_id"] == "t3"
    assert [one["rollout"]["repeat"] for one in group["rollouts"]] == [2, 3, 4]
    assert [one["reward"] for one in group["rollouts"]] == [2.0, None, 4.0]
    assert group["rewards"] == [10.0, None, 11.0]
    assert [(one["repeat"], one["reward"], one["components"]) for one in group["verdicts"]] == [
        (2, 10.0, {"rank": 0.0}),
        (4, 11.0, {"rank": 1.0}),
    ]
    assert group["error"] is None
    assert all({name: one[name] for name in asked} == asked for one in group["rollouts"])


@asynchronous
async def test_without_scores_of_a_group_rewards_are_those_of_its_rollouts() -> None:
    async with served_agent(server=env(odd())) as server:
        status, group = await server.post("/run_group", {"task": row(0), "size": 4})
    assert (status, group["rewards"], group["verdicts"]) == (200, [0.0, 1.0, 2.0, 3.0], [])
    assert len({one["rollout"]["seed"] for one in group["rollouts"]}) == 4


@pytest.mark.parametrize("fail", ["raise", "json"])
@asynchronous
async def test_a_group_that_cannot_be_scored_keeps_its_rollouts(fail: str) -> None:
    async with served_agent(server=ranked()) as server:
        status, group = await server.post("/run_group", {"task": row(0, fail=fail), "size": 2})
    assert (status, group["rewards"], group["verdicts"]) == (200, [0.0, 1.0], [])
    assert group["error"]["phase"] == "score_group"


@asynchronous
async def test_a_group_of_failures_is_a_status_and_no_reward() -> None:
    async with served_agent(server=env(odd()), secrets=("sk-12345678",)) as server:
        status, body = await server.post("/run_group", {"task": row(0, breaks=[0, 1]), "size": 2})
    assert (status, body["error"]["status"], body["error"]["code"]) == (500, 500, "verifier_error")
    assert body["group"]["rewards"] == [None, None]
    assert "sk-12345678" not in str(body)


@asynchronous
async def test_a_busy_model_says_when_to_ask_for_a_group_again() -> None:
    model = ScriptedModel(*(errors.RateLimitError("slow down", status=429, retry_after=9) for _ in range(2)))
    model.retries = 0
    async with (
        served_agent(model, clock=FakeClock().clock) as server,
        server.http.post(f"{server.url}/run_group", json={"task": row(0), "size": 2}) as reply,
    ):
        assert (reply.status, reply.headers["Retry-After"]) == (503, "9")


@asynchronous
async def test_exact_tokens_stand_on_the_items_of_all_rollouts() -> None:
    model = TokenModel("done", "done")
    async with served_agent(model, env(odd())) as server:
        _, group = await server.post("/run_group", {"task": row(0), "size": 2})
    items = [one["response"]["output"][-1] for one in group["rollouts"]]
    assert [item["generation_token_ids"] for item in items] == [sampled for _, sampled, _ in model.seen]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "task"),
        ({"task": row(0)}, "size"),
        ({"task": row(0), "size": 0}, "size"),
        ({"task": row(0), "size": 1025}, "size"),
        ({"task": row(0), "size": "8"}, "size"),
        ({"task": row(0), "size": True}, "size"),
        ({"task": row(0), "size": 2, "repeats": 3}, "repeats"),
        ({"task": {}, "size": 2}, "responses_create_params"),
        ({"task": {**row(0), "reward": 1.0}, "size": 2}, "reward"),
        ({"task": {**row(0), "_ng_rollout_index": -1}, "size": 2}, "_ng_rollout_index"),
    ],
)
@asynchronous
async def test_what_is_no_group_is_refused(body: Any, field: str) -> None:
    async with served_agent() as server:
        status, reply = await server.post("/run_group", body)
        assert status == 422
        assert field in reply["error"]["field"]


@asynchronous
async def test_a_group_that_cannot_wait_is_refused_whole() -> None:
    busy, free = asyncio.Event(), asyncio.Event()

    async def think(request: Any, context: Any) -> str:
        busy.set()
        await free.wait()
        return "done"

    async with served_agent(ScriptedModel(think), concurrency=1, waiting=3) as server:
        first = asyncio.create_task(server.post("/run", row(0)))
        await busy.wait()
        assert (await server.post("/run_group", {"task": row(1), "size": 4}))[0] == 429
        second = asyncio.create_task(server.post("/run_group", {"task": row(2), "size": 3}))
        while server.rollouts.waiting < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        free.set()
        assert [(await first)[0], (await second)[0]] == [200, 200]


@asynchronous
async def test_a_client_that_leaves_ends_its_group() -> None:
    asked = asyncio.Event()

    async def think_forever(request: Any, context: Any) -> str:
        asked.set()
        await asyncio.Event().wait()
        return "never"

    for headers in ({}, {"Gym-Keep-Alive": "0.1"}):
        asked.clear()
        async with served_agent(ScriptedModel(think_forever), concurrency=2) as server:
            url, body = f"{server.url}/run_group", {"task": row(0), "size": 3}
            leaving = asyncio.create_task(server.http.post(url, json=body, headers=headers).__aenter__())
            await asked.wait()
            leaving.cancel()
            async with asyncio.timeout(30):
                while server.rollouts.running or server.rollouts.waiting:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


@asynchronous
async def test_tasks_come_a_page_at_a_time_and_by_index() -> None:
    tasks = [row(number) for number in range(5)]
    async with served_agent(server=env(PlainSession, tasks)) as server:

        async def page(query: str) -> tuple[list[str], str | None]:
            async with server.http.get(f"{server.url}/v1/tasks{query}") as reply:
                assert reply.status == 200
                names = [json.loads(line)["task_id"] for line in (await reply.text()).splitlines()]
                return names, reply.headers.get("Gym-Next-Cursor")

        first, cursor = await page("?limit=2")
        second, last = await page(f"?limit=4&cursor={cursor}")
        assert (first, second, last) == (["t0", "t1"], ["t2", "t3", "t4"], None)
        assert (await page("?start=3&limit=1"))[0] == ["t3"]
        assert await page("?start=5") == ([], None)
        for query, status, field in [
            ("?start=6", 404, "start"),
            ("?start=-1", 422, "start"),
            ("?start=1000000", 422, "start"),
            ("?cursor=mine", 404, "cursor"),
            ("?limit=0", 422, "limit"),
        ]:
            async with server.http.get(f"{server.url}/v1/tasks{query}") as reply:
                assert (reply.status, (await reply.json())["error"]["field"]) == (status, field)


@asynchronous
async def test_a_task_of_a_page_is_what_a_group_is_asked_for_with() -> None:
    async with served_agent(server=env(odd(), [row(7)])) as server:
        async with server.http.get(f"{server.url}/v1/tasks?limit=1") as reply:
            task = json.loads(await reply.text())
        assert (await server.post("/run_group", {"task": task, "size": 2}))[1]["rewards"] == [0.0, 1.0]


async def slow(request: Any, context: Any) -> str:
    await asyncio.sleep(0.5)
    return "done"


@pytest.mark.parametrize("path", ["/run", "/run_group"])
@asynchronous
async def test_white_space_goes_ahead_of_an_answer_that_is_long_in_coming(path: str) -> None:
    body = row(0) if path == "/run" else {"task": row(0), "size": 2}
    async with served_agent(ScriptedModel(slow, slow), secrets=("sk-12345678",)) as server:
        headers = {"Gym-Keep-Alive": "0.1"}
        async with server.http.post(server.url + path, json=body, headers=headers) as reply:
            whole = await reply.read()
            assert reply.status == 200
            assert reply.content_type == "application/json"
            assert whole.startswith(b"  ")
            found = await reply.json()
            assert found.get("reward", 1.0) == 1.0
            assert found["task_id"] == "t0"


@asynchronous
async def test_an_answer_in_time_is_as_without_it() -> None:
    async with served_agent(server=env(odd())) as server:
        headers = {"Gym-Keep-Alive": "30"}
        async with server.http.post(f"{server.url}/run", json=row(0), headers=headers) as reply:
            assert (await reply.read()).startswith(b"{")
            assert "Content-Length" in reply.headers
        async with server.http.post(f"{server.url}/run", json=row(0, breaks=[1]), headers=headers) as reply:
            assert reply.status == 500


@asynchronous
async def test_a_failure_after_white_space_is_no_reward() -> None:
    async with served_agent(ScriptedModel(slow), env(odd())) as server:
        headers = {"Gym-Keep-Alive": "0.1"}
        async with server.http.post(f"{server.url}/run", json=row(0, breaks=[0]), headers=headers) as reply:
            body = await reply.json()
    assert reply.status == 200
    assert "reward" not in body
    assert (body["error"]["status"], body["error"]["code"], body["row"]["reward"]) == (500, "verifier_error", None)


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf", "1e9"])
@asynchronous
async def test_what_is_no_time_is_refused(value: str) -> None:
    async with served_agent() as server:
        headers = {"Gym-Keep-Alive": value}
        async with server.http.post(f"{server.url}/run", json=row(0), headers=headers) as reply:
            assert (reply.status, (await reply.json())["error"]["field"]) == (422, "Gym-Keep-Alive")
