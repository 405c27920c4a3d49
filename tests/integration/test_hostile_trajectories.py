"""Whatever a model says and calls, every environment that is shipped here gives a verdict, and no full reward."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gym_core import ResourceServer, Task, encode_json
from gym_core.spi import Kind
from gym_testing.rehearsal import make, rehearse, run, shipped

PARTS = ["[" * 3000, "{" * 3000, "(" * 3000, "9" * 4400, "9" * 400, "1e999", "-1e999", "NaN", "\ud800", "\x00", "null"]
PARTS += ["\u0661", "31 february", "25:61", "9999-99-99", " °C", "humidity ", "Paris is warmer than Oslo, "]
PARTS += list('"\\\n,')
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=8).map("".join)
ODD: list[Any] = [2**70, 10**4000, float("nan"), float("inf"), None, True, [], {}, [[]], "Paris"]
VALUES = TEXTS | st.integers() | st.sampled_from(ODD)
WORDS = ["city", "counter", "by", "first", "query", "page", "to", "start", "minutes", "subject"]
WHOLE = ["", "null", "[]", '"x"', "{}", '{"a":' * 900 + "1" + "}" * 900, '{"a": 1, "a": 2}', '{"\\ud800": 1}']
ARGUMENTS = (
    TEXTS
    | st.sampled_from(WHOLE)
    | st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=4).map(lambda value: encode_json(value).decode())
)
SHIPPED = {
    "simple_weather": ["get_weather"],
    "stateful_counter": ["read", "increment", "double", "swap", "submit"],
    "workplace": ["search_contacts", "send_mail", "create_event", "list_events", "create_task"],
}


def tasks_of(server: ResourceServer) -> list[Task]:
    async def read() -> list[Task]:
        async with server:
            return await shipped(server, 40)

    return run(read())


def items(tools: list[str]) -> st.SearchStrategy[Any]:
    call_ids: st.SearchStrategy[Any] = st.sampled_from(["c1", "c2", "", None, 5, []])
    call = st.fixed_dictionaries(
        {"type": st.just("function_call"), "name": st.sampled_from([*tools, "none", "\ud800"]), "arguments": ARGUMENTS,
         "call_id": call_ids}
    )  # fmt: skip
    said = TEXTS | st.sampled_from([None, [], [None], [{"type": "output_text", "text": 5}], {"text": "x"}])
    message = st.fixed_dictionaries({"type": st.just("message"), "role": st.just("assistant"), "content": said})
    return st.lists(call | message | st.just({"type": "reasoning", "summary": []}), max_size=4)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_trajectory_has_a_verdict(name: str) -> None:
    server: ResourceServer = make(Kind.RESOURCE_SERVER, name)
    tasks = tasks_of(server)

    @settings(max_examples=40, deadline=None)
    @given(task=st.sampled_from(tasks), turns=st.lists(items(SHIPPED[name]), min_size=1, max_size=3))
    def judged(task: Task, turns: list[Any]) -> None:
        rollout = run(rehearse(name, *turns, "I am done.", task=task))
        assert rollout.status.has_verdict, rollout.error
        assert 0.0 <= (rollout.reward or 0.0) < 1.0
        encode_json(rollout.row)

    judged()
