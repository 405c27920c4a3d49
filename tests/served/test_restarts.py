"""A server that is started again on the same port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from gym_core import Task
from gym_testing import Served
from tests.served.environments import Anything
from tests.support.loop import asynchronous

MANY = 450
"""More than two pages."""


class Many(Anything):
    """Ships many tasks."""

    def tasks(self) -> Iterator[Task]:
        for number in range(MANY):
            yield Task.ask(f"Say {number}.", task_id=f"t{number}")


@asynchronous
async def test_a_listing_of_tasks_goes_on_where_it_was() -> None:
    async with AsyncExitStack() as stack:
        async with Served(Many) as first:
            remote = await stack.enter_async_context(first.remote())
            listing = remote.tasks()
            ids = [(await anext(listing)).task_id]
        await stack.enter_async_context(Served(Many, port=int(first.url.rpartition(":")[2])))
        ids += [task.task_id async for task in listing]
    assert ids == [f"t{number}" for number in range(MANY)]


@asynchronous
async def test_what_an_earlier_process_gave_out_opens_nothing() -> None:
    row = {"responses_create_params": {"input": "x"}}
    async with Served(Many) as first, aiohttp.ClientSession(first.url) as http:
        async with http.post("/seed_session", json=row) as reply:
            cookie = reply.cookies["gym_session"].coded_value
        async with http.post("/v1/sessions", json={"task": {"row": row}}) as reply:
            opened = await reply.json()
    owner, by_cookie = {"Authorization": f"Bearer {opened['token']}"}, {"Cookie": f"gym_session={cookie}"}
    judged: dict[str, Any] = {"trajectory": {"input": [], "items": []}}
    port = int(first.url.rpartition(":")[2])
    async with Served(Many, port=port) as second, aiohttp.ClientSession(second.url) as http:
        for path, body, headers in (
            ("/verify", {"response": {"output": []}}, by_cookie),
            ("/say", {"text": "x"}, by_cookie),
            (f"/v1/sessions/{opened['id']}/verify", judged, owner),
        ):
            async with http.post(path, json=body, headers=headers) as reply:
                assert reply.status == 404
                assert "started again" in (await reply.json())["error"]["hint"]
