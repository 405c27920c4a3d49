"""Sessions over HTTP: what they answer, in what order, for how long."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gym_core import ResourceServer, Task, isolated, tool
from gym_testing import FakeOpenAI
from tests.serve.environments import CounterSession, Opened, Served, counter, serving, under_way
from tests.support.envs import PlainSession, env, row
from tests.support.loop import asynchronous, settle
from tests.support.models import ScriptedModel, say


@asynchronous
async def test_a_session_from_its_opening_to_its_end() -> None:
    async with serving(counter()) as served:
        session = await served.open(start=3, observed=True)
        assert session.said["opening"] == [{"role": "user", "content": "Begin."}]
        assert [schema["name"] for schema in session.said["tools"]] == ["add", "wait", "fail", "stop"]
        assert session.said["capabilities"] == {
            "roles": [],
            "optional_roles": [],
            "sandbox_roles": [],
            "open_tools": False,
            "concurrent_tools": False,
            "judges_trajectory": False,
            "replies": True,
            "sets_up": True,
            "lists_tools": False,
            "closes": True,
            "answers_calls": False,
        }
        assert (await session.tool("add", '{"by": 4}')).body == {"output": "7", "error": None, "done": None}
        assert (await session.tool("add", {"by": 1})).body["output"] == "8"
        assert (await session.reply("hello")).body == {
            "items": [{"role": "user", "content": "You said hello."}],
            "done": None,
        }
        assert (await session.reply("bye")).body == {"items": [], "done": {"reason": "bye", "output": ""}}
        for _ in range(2):
            verdict = await session.verify({"type": "message", "role": "assistant", "content": "8"})
            assert verdict.body == {"reward": 9.0, "components": {}, "info": {}}
        assert (await session.close()).status == 204
        assert CounterSession.closed == ["t0"]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("add", "{", "bad_json"),
        ("add", '{"bye": 1}', "bad_arguments"),
        ("add", [1], "bad_arguments"),
        ("add", None, "bad_arguments"),
        ("subtract", "{}", "unknown_tool"),
        ("a/b", "{}", "unknown_tool"),
        ("fail", "{}", "raised"),
    ],
)
@asynchronous
async def test_a_bad_call_is_an_answer_to_the_model(name: str, arguments: Any, error: str) -> None:
    async with serving(counter()) as served:
        session = await served.open()
        answer = await session.tool(name, arguments)
        assert answer.status == 200
        assert answer.body["error"] == error
        assert answer.body["output"].startswith('{"error":')
        assert (await session.tool("add", {"by": 1})).body == {"output": "1", "error": None, "done": None}


@asynchronous
async def test_a_tool_that_ends_the_episode_says_so_once() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        assert (await session.tool("stop")).body["done"] == {"reason": "won", "output": "that was it"}
        assert (await session.tool("add", {"by": 1})).body["done"] is None


class Parts(PlainSession):
    @tool
    def look(self) -> Any:
        """Look."""
        return [{"type": "input_image", "image_url": "data:,x"}]


@asynchronous
async def test_content_parts_stay_what_they_are() -> None:
    async with serving(env(Parts)) as served:
        session = await served.open()
        assert (await session.tool("look")).body["output"] == [{"type": "input_image", "image_url": "data:,x"}]


@asynchronous
async def test_calls_of_one_session_wait_for_each_other_and_those_of_others_do_not() -> None:
    async with serving(counter()) as served:
        one, other = await served.open(0), await served.open(1)
        waiting = await under_way(one.tool("wait"))
        adding = asyncio.create_task(one.tool("add", {"by": 1}))
        verifying = asyncio.create_task(one.verify())
        assert (await other.tool("add", {"by": 5})).body["output"] == "5"
        await settle()
        assert not adding.done()
        CounterSession.waiting["t0"].set()
        assert (await waiting).body["output"] == "over"
        assert (await adding).body["output"] == "1"
        assert (await verifying).body["reward"] == 1.0


class AtOnce(CounterSession):
    concurrent_tools = True


@asynchronous
async def test_a_session_may_want_its_calls_at_once_but_not_beside_its_verifier() -> None:
    async with serving(counter(AtOnce)) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        assert (await session.tool("fail")).body["error"] == "raised"
        assert (await session.tool("add", {"by": 2})).body == {"output": "2", "error": None, "done": None}
        verifying = asyncio.create_task(session.verify())
        late = asyncio.create_task(session.tool("add", {"by": 1}))
        await settle()
        assert not verifying.done()
        assert not late.done()
        CounterSession.waiting["t0"].set()
        assert (await waiting).body["error"] is None
        assert (await verifying).body["reward"] == 2.0
        assert (await late).body["output"] == "3"


@pytest.mark.parametrize("expired", [False, True])
@asynchronous
async def test_the_end_of_a_session_ends_what_is_under_way(expired: bool) -> None:
    async with serving(counter(), session_life=100) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        queued = asyncio.create_task(session.tool("add", {"by": 1}))
        await settle()
        if expired:
            served.clock.now += 101
            assert (await session.tool("add", {"by": 1})).status == 410
        else:
            assert (await session.close()).status == 204
        for call in (waiting, queued):
            answer = await call
            assert answer.status == 410
            assert ("expired" if expired else "closed") in answer.error["message"]
        await settle()
        assert CounterSession.closed == ["t0"]


@asynchronous
async def test_a_client_that_leaves_gives_its_turn_to_the_next() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        leaving = asyncio.create_task(session.tool("add", {"by": 100}))
        staying = asyncio.create_task(session.tool("add", {"by": 1}))
        await settle()
        leaving.cancel()
        CounterSession.waiting["t0"].set()
        await waiting
        assert (await staying).body["output"] == "1"


@asynchronous
async def test_closing_again_is_harmless_and_afterwards_the_session_is_gone() -> None:
    async with serving(counter()) as served:
        session = await served.open()
        assert [(await session.close()).status for _ in range(3)] == [204, 204, 204]
        assert CounterSession.closed == ["t0"]
        for answer in (await session.tool("add", {"by": 1}), await session.reply("x"), await session.verify()):
            assert answer.status == 410
            assert answer.error["code"] == "gone"


@asynchronous
async def test_an_idle_session_expires_and_one_that_is_asked_does_not() -> None:
    async with serving(counter(), session_idle=60, session_life=1000) as served:
        idle, busy = await served.open(0), await served.open(1)
        for _ in range(3):
            served.clock.now += 40
            assert (await busy.tool("add", {"by": 1})).status == 200
        answer = await idle.tool("add", {"by": 1})
        assert answer.status == 410
        assert "nothing was asked" in answer.error["message"]
        served.clock.now += 1000
        assert "too long" in (await busy.tool("add", {"by": 1})).error["message"]


@asynchronous
async def test_a_session_that_works_is_not_idle() -> None:
    async with serving(counter(), session_idle=60) as served:
        session = await served.open()
        waiting = await under_way(session.tool("wait"))
        served.clock.now += 100
        CounterSession.waiting["t0"].set()
        assert (await waiting).status == 200
        assert (await session.tool("add", {"by": 1})).status == 200


class Held(CounterSession):
    async def setup(self) -> None:
        self.count = 0
        await self.until_told()


@asynchronous
async def test_a_server_that_ends_closes_its_sessions() -> None:
    async with serving(counter()) as served:
        await served.open(0)
        await served.open(1)
    assert sorted(CounterSession.closed) == ["t0", "t1"]


class Bad(CounterSession):
    async def setup(self) -> Any:
        wrong = self.task["wrong"]
        if wrong == "items":
            return "words"
        if wrong == "cancelled":
            raise asyncio.CancelledError
        if wrong == "exit":
            raise SystemExit(3)
        if wrong == "late":
            await asyncio.Event().wait()
        raise ValueError(f"a value of {wrong}")

    async def verify(self, trajectory: Any) -> Any:
        return {}


@pytest.mark.parametrize(
    ("wrong", "status", "name"),
    [
        ("items", 500, "SessionError"),
        ("cancelled", 500, "SessionError"),
        ("exit", 500, "SessionError"),
        ("value", 500, "ValueError"),
        ("late", 504, "DeadlineExceeded"),
    ],
)
@asynchronous
async def test_a_setup_that_fails_leaves_no_session(wrong: str, status: int, name: str) -> None:
    from gym_core.spi import Deadlines

    async with serving(counter(Bad), max_sessions=1, deadlines=Deadlines(setup=0.05)) as served:
        for _ in range(2):
            answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row(wrong=wrong)}})
            assert answer.status == status
            assert answer.error["class"] == name
            assert answer.error["phase"] == "setup"
            assert "Traceback" not in str(answer.body)
        assert CounterSession.closed == ["t0", "t0"]


@asynchronous
async def test_a_field_that_the_row_lacks_is_named() -> None:
    async with serving(counter(Bad)) as served:
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row()}})
        assert answer.status == 422
        assert answer.error["field"] == "task.row.wrong"


class Unfinished(PlainSession):
    def verify(self, trajectory: Any) -> Any:
        return "good"


@asynchronous
async def test_a_verifier_that_gives_no_reward_is_an_error() -> None:
    async with serving(env(Unfinished)) as served:
        session = await served.open()
        answer = await session.verify()
        assert answer.status == 500
        assert answer.error["phase"] == "verify"


@asynchronous
async def test_a_tool_that_takes_too_long_is_ended() -> None:
    from gym_core.spi import Deadlines

    async with serving(counter(), deadlines=Deadlines(tool=0.05)) as served:
        session = await served.open()
        answer = await session.tool("wait")
        assert answer.status == 504
        assert answer.error["phase"] == "tool"
        assert answer.error["retryable"] is True
        assert (await session.tool("add", {"by": 1})).body["output"] == "1"


class Judged(PlainSession):
    roles = ("judge",)

    async def verify(self, trajectory: Any) -> float:
        response = await self.models["judge"].respond("How good?")
        return float(response.output_text)


@asynchronous
async def test_a_judge_of_the_server_is_asked() -> None:
    async with serving(env(Judged), models={"judge": ScriptedModel(say("0.5"))}) as served:
        about = (await served.ask("GET", "/v1/component")).body
        assert about["capabilities"]["roles"] == []
        session = await served.open()
        assert (await session.verify()).body["reward"] == 0.5


@asynchronous
async def test_a_judge_that_nobody_gives_is_asked_for() -> None:
    async with serving(env(Judged)) as served:
        about = (await served.ask("GET", "/v1/component")).body
        assert about["capabilities"]["roles"] == ["judge"]
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row()}})
        assert answer.status == 422
        assert answer.error["field"] == "models.judge"


class Apart(PlainSession):
    @isolated
    def verify(self, trajectory: Any) -> float:
        return 0.25


@pytest.mark.slow
@asynchronous
async def test_an_isolated_verifier_runs_in_its_process() -> None:
    async with serving(env(Apart)) as served:
        session = await served.open()
        assert (await session.verify()).body["reward"] == 0.25


def test_the_tasks_come_page_by_page() -> None:
    @asynchronous
    async def pages() -> None:
        async with serving(counter()) as served:
            first = await served.ask("GET", "/v1/tasks?limit=2")
            assert first.headers["content-type"].startswith("application/x-ndjson")
            assert ids(first.body) == ["t0", "t1"]
            cursor = first.headers["Gym-Next-Cursor"]
            for _ in range(2):  # a page may be asked for again
                second = await served.ask("GET", "/v1/tasks", params={"limit": 2, "cursor": cursor})
                assert ids(second.body) == ["t2", "t3"]
            last = await served.ask("GET", "/v1/tasks", params={"cursor": second.headers["Gym-Next-Cursor"]})
            assert ids(last.body) == ["t4"]
            assert "Gym-Next-Cursor" not in last.headers
            assert (await served.ask("GET", "/v1/tasks?cursor=2")).status == 404
            for limit in ("0", "1001", "x", "", "-1", "9" * 30):
                refused = await served.ask("GET", "/v1/tasks", params={"limit": limit})
                assert (refused.status, refused.error["field"]) == (422, "limit")

    pages()


def ids(lines: str) -> list[str]:
    import json

    return [json.loads(line)["task_id"] for line in lines.splitlines()]


class Endless(ResourceServer):
    """Tasks without end."""

    session_type = PlainSession

    def tasks(self) -> Any:
        number = 0
        while True:
            yield Task.ask("again", task_id=f"t{number}")
            number += 1


@asynchronous
async def test_tasks_without_end_are_read_on() -> None:
    async with serving(Endless()) as served:
        cursor: dict[str, str] = {}
        for page in range(3):
            answer = await served.ask("GET", "/v1/tasks", params={"limit": 2, **cursor})
            assert ids(answer.body) == [f"t{2 * page}", f"t{2 * page + 1}"]
            cursor = {"cursor": answer.headers["Gym-Next-Cursor"]}


class Tooled(PlainSession):
    def tools(self) -> Any:
        return ()


@asynchronous
async def test_tools_that_depend_on_the_task_are_not_listed() -> None:
    async with serving(env(Tooled)) as served:
        assert (await served.ask("GET", "/v1/tools")).body == {"tools": None}
    async with serving(counter()) as served:
        assert len((await served.ask("GET", "/v1/tools")).body["tools"]) == 4


@asynchronous
async def test_the_seed_is_the_openers_or_follows_from_the_task() -> None:
    class Lucky(PlainSession):
        def verify(self, trajectory: Any) -> float:
            return float(self.seed)

    async def seed(served: Served, **given: Any) -> float:
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row(4)}, **given})
        reward = (await Opened(served, answer.body).verify()).body["reward"]
        return float(reward)

    async with serving(env(Lucky)) as served:
        assert await seed(served, seed=17) == 17
        assert await seed(served) == await seed(served, repeat=0)
        assert await seed(served) != await seed(served, repeat=1)


@asynchronous
async def test_a_judge_whose_url_the_opener_gives_is_asked() -> None:
    async with FakeOpenAI("0.75") as judge, serving(env(Judged), max_sessions=1) as served:
        models = {"judge": {"base_url": judge.base_url, "token": "sk-for-the-judge"}}
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row()}, "models": models})
        session = Opened(served, answer.body)
        assert (await session.verify()).body["reward"] == 0.75
        assert judge.received[0].headers["authorization"] == "Bearer sk-for-the-judge"
        assert judge.received[0].items[0]["content"] == "How good?"
        await session.close()


@asynchronous
async def test_a_judge_that_fails_is_no_verdict() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    async with serving(env(Judged)) as served:
        models = {"judge": {"base_url": nobody, "token": ""}}
        answer = await served.ask("POST", "/v1/sessions", {"task": {"row": row()}, "models": models})
        failed = await Opened(served, answer.body).verify()
        assert failed.status == 502
        assert failed.error["code"] == "model_error"
        assert failed.error["phase"] == "verify"


@pytest.mark.parametrize("rounds", range(0, 24, 2))
@asynchronous
async def test_a_session_may_be_closed_in_any_moment(rounds: int) -> None:
    async with serving(counter()) as served:
        session = await served.open()
        calls = [await under_way(session.tool("wait"))]
        calls += [asyncio.create_task(session.tool("add", {"by": 1})) for _ in range(3)]
        calls += [asyncio.create_task(session.verify())]
        await settle()
        CounterSession.waiting["t0"].set()
        await settle(rounds)
        assert (await session.close()).status == 204
        assert {(await call).status for call in calls} <= {200, 410}
        assert CounterSession.closed == ["t0"]
