"""Several addresses in `base_url`, and the headers that name a rollout."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gym_core import CallContext, Request, UsageError, errors
from gym_openai_model.addresses import read_addresses
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.options import OpenAIOptions
from gym_testing import FakeOpenAI
from gym_testing.replies import Reply

A, B = "http://a.internal:8000/v1", "http://b.internal:8000/v1"


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def model(base_url: str, **options: Any) -> OpenAIModel:
    return OpenAIModel(OpenAIOptions(base_url=base_url, **options))


def test_one_address_is_one_endpoint() -> None:
    assert model(A).endpoint == A
    assert model(A).endpoints == ()


def test_addresses_stand_between_commas_or_one_a_line(tmp_path: Path) -> None:
    assert model(f"{A}, {B}/").endpoints == (A, B)
    assert OpenAIModel(OpenAIOptions.model_validate({"base_url": [A, B]})).endpoints == (A, B)
    listed = tmp_path / "endpoints.txt"
    listed.write_text(f"# two of them\n\n{A}  # the first\n{B}\n")
    assert model(f"@{listed}").endpoints == (A, B)
    assert model(str(listed)).endpoints == (A, B)
    listed.write_text(A)
    assert model(f"@{listed}").endpoints == (A,)  # another may come


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        (f"{A},,{B}", "an address is missing"),
        (f"{A},", "an address is missing"),
        (f"{A},{A}/", "is there twice"),
        (f"{A},b.internal", "'b.internal' is no URL"),
        (f"{A},https://api.openai.com/v1", "in different ways"),
        ("", "'' is no URL"),
        ("@/no/such/file", "/no/such/file cannot be read"),
        ("nowhere.txt", "'nowhere.txt' is no URL"),
    ],
)
def test_what_is_no_list_is_refused(base_url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_addresses(base_url)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "names no endpoint"), ("# none\n", "names no endpoint"), (f"{A}\n{A}", "twice"), ("what", "is no URL")],
)
def test_a_file_that_is_none_is_refused_by_its_name(tmp_path: Path, text: str, said: str) -> None:
    listed = tmp_path / "listed"
    listed.write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        read_addresses(f"@{listed}")
    assert str(listed) in refused.value.message
    listed.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is no text"):
        read_addresses(f"@{listed}")


async def ask(asked: OpenAIModel, *contexts: CallContext) -> None:
    async with asked:
        for context in contexts:
            await asked.respond(Request.ask("Hi"), context)


@asynchronous
async def test_calls_go_where_the_engine_says_or_always_to_the_same() -> None:
    async with FakeOpenAI() as one, FakeOpenAI() as other:
        asked = model(f"{one.base_url},{other.base_url}", model="m")
        await ask(asked, *[CallContext(("t", 0), endpoint=other.base_url)] * 3)
        assert (len(one.received), len(other.received)) == (0, 3)
        await ask(asked, *[CallContext((f"t{number}", 0)) for number in range(40) for _ in range(2)])
        for server in (one, other):
            names = [request.headers["x-session-id"] for request in server.received]
            assert len(names) > 6
            assert all(names.count(name) % 2 == 0 for name in names if name != "t/0")


@pytest.mark.parametrize("transport", ["httptools", "aiohttp", "sdk"])
@asynchronous
async def test_headers_name_the_rollout(transport: str) -> None:
    async with FakeOpenAI() as server:
        given = {"model": "m", "transport": transport}
        await ask(model(server.base_url, **given), CallContext(("a b/ü\r\nx: y", 3)), CallContext(("", 0)))
        named, nameless = server.received
        assert named.headers["x-session-id"] == named.headers["x-smg-routing-key"] == "a%20b%2F%C3%BC%0D%0Ax%3A%20y/3"
        assert "x-session-id" not in nameless.headers
        await ask(model(server.base_url, session_header="x-session-affinity", **given), CallContext(("t", 0)))
        assert server.received[-1].headers["x-session-affinity"] == "t/0"
        assert "x-session-id" not in server.received[-1].headers
        await ask(model(server.base_url, session_header="", **given), CallContext(("t", 0)))
        assert "x-session-id" not in server.received[-1].headers
        fixed = {"extra_headers": {"X-Session-ID": "mine"}}
        await ask(model(server.base_url, **fixed, **given), CallContext(("t", 0)))
        assert server.received[-1].headers["x-session-id"] == "mine"
        assert server.received[-1].headers["x-smg-routing-key"] == "t/0"


@pytest.mark.parametrize("name", ["Authorization", "Host", "a b", "x:y", "content-length"])
def test_a_header_that_cannot_name_a_rollout_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a rollout"):
        model(A, session_header=name)


def test_openai_gets_no_such_header() -> None:
    assert model("https://api.openai.com/v1")._session_names == ()


@asynchronous
async def test_each_endpoint_is_looked_at() -> None:
    async with FakeOpenAI(models=["m"]) as one, FakeOpenAI(models=["n"]) as other:
        both = f"{one.base_url},{other.base_url}"
        assert await model(both, model="m").list_models() == ["m", "n"]
        (warning,) = await model(both, model="m").check()
        assert warning == f"{other.base_url} does not list the model 'm'"
        with pytest.raises(UsageError, match=f"serves m and {other.base_url} serves n"):
            await ask(model(both))
        other.models = ["m"]
        async with model(both) as agreed:
            assert agreed.model_id == "m"
        absent = "http://127.0.0.1:9/v1"
        (warning,) = await model(f"{absent},{one.base_url}").check()
        assert absent in warning
        other.models_reply = Reply({"error": {"message": "no"}}, status=401)
        with pytest.raises(errors.AuthenticationError, match=other.base_url):
            await model(both, model="m").check()
    with pytest.raises(errors.ConnectionFailedError, match=r"127\.0\.0\.1:9"):
        await model("http://127.0.0.1:9/v1,http://127.0.0.1:19/v1").check()


@asynchronous
async def test_a_file_is_followed_until_the_backend_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gym_openai_model.addresses.LOOK_SECONDS", 0.01)
    listed = tmp_path / "listed"
    listed.write_text(A)
    async with model(f"@{listed}", model="m") as followed:
        before = followed.endpoints
        listed.write_text(f"{B}\n{A}")
        async with asyncio.timeout(10):
            while followed.endpoints == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert followed.endpoints == (B, A)
        listed.write_text("https://api.openai.com/v1")  # the key would go elsewhere
        await asyncio.sleep(0.1)
        assert followed.endpoints == (B, A)
    assert len(asyncio.all_tasks()) == 1
