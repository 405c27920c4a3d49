"""The look at the endpoint before the first call, and the model where none was named."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from gym_core import CallContext, Request, UsageError, errors
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.options import DEFAULT_MODEL, OpenAIOptions

from .scripted import Endpoint, Reply, text_reply

KEY = "sk-very-secret-0123456789"


def backend(base_url: str, **options: Any) -> OpenAIModel:
    return OpenAIModel(OpenAIOptions.model_validate({"base_url": base_url, "model": "some-model", **options}))


def check(base_url: str, **options: Any) -> Sequence[str]:
    return asyncio.run(backend(base_url, **options).check())


def resolve(base_url: str, **options: Any) -> str:
    async def main() -> str:
        async with backend(base_url, model=None, **options) as model:
            return model.model_id

    return asyncio.run(main())


def test_all_is_well(endpoint: Endpoint) -> None:
    assert check(endpoint.url, api_key=KEY) == []
    [seen] = endpoint.seen
    assert (seen.method, seen.path, seen.headers["authorization"]) == ("GET", "/v1/models", f"Bearer {KEY}")


@pytest.mark.parametrize(
    "listing", [[{"id": "some-model"}], {"models": [{"name": "x"}, {"name": "models/some-model"}]}]
)
def test_other_shapes_of_a_listing(endpoint: Endpoint, listing: Any) -> None:
    endpoint.models = Reply(listing)
    assert check(endpoint.url) == []


def test_a_model_that_is_not_listed_is_a_warning(endpoint: Endpoint) -> None:
    [warning] = check(endpoint.url, model="other")
    assert "'other'" in warning
    endpoint.models = Reply({"data": []})
    assert check(endpoint.url, model="other") == []


def test_a_model_that_is_refused_is_told_with_those_that_are_listed(endpoint: Endpoint) -> None:
    endpoint.models = Reply({"data": [{"id": name} for name in ("a", "b", "c", "d", "e", "f", "gpt-4.1-mini")]})
    endpoint.replies = [Reply({"error": {"message": "no such model", "code": "model_not_found"}}, status=404)]

    async def main() -> None:
        async with backend(endpoint.url, model="gpt-4-mini") as model:
            await model.check()
            await model.respond(Request.ask("Hi"), CallContext())

    with pytest.raises(errors.ModelNotFoundError) as raised:
        asyncio.run(main())
    assert raised.value.hint == "the endpoint lists gpt-4.1-mini, a, b, c, d and 2 more"


def test_a_listing_without_end_is_a_warning(endpoint: Endpoint) -> None:
    endpoint.models = Reply(b'{"data": [' + b" " * (17 << 20) + b"]}")
    [warning] = check(endpoint.url)
    assert "longer than 16 MB" in warning


def test_a_refused_key(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.models = Reply({"error": {"message": f"bad key {KEY}"}}, 401)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(errors.AuthenticationError, match="OPENAI_API_KEY"):
        check(endpoint.url, api_key=KEY)
    monkeypatch.setenv("GYM_OPENAI_API_KEY", KEY)
    with pytest.raises(errors.AuthenticationError, match="GYM_OPENAI_API_KEY") as caught:
        check(endpoint.url, api_key=KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(errors.AuthenticationError, match="none was sent"):
        check(endpoint.url)


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": {"message": "Missing scopes: api.model.read"}}, 403),
        Reply({"detail": "Not Found"}, 404),
        Reply(b"<html><title>404</title></html>", 404),
        Reply({"detail": "Method Not Allowed"}, 405),
        Reply({}, 500),
        Reply(b"not json"),
        Reply({"x": 1}),
    ],
    ids=["403", "404", "404 page", "405", "500", "no json", "other json"],
)
def test_what_is_no_proof_is_a_warning(endpoint: Endpoint, reply: Reply) -> None:
    endpoint.models = reply
    [warning] = check(endpoint.url)
    assert endpoint.url in warning
    with pytest.raises(errors.EndpointError):
        asyncio.run(backend(endpoint.url).list_models())


def test_a_web_page_is_no_endpoint(endpoint: Endpoint) -> None:
    endpoint.models = Reply(b"<!DOCTYPE html><title>Welcome</title>", 200, {"Content-Type": "text/html"})
    with pytest.raises(errors.EndpointError, match="Welcome") as caught:
        check(endpoint.url)
    assert endpoint.url in str(caught.value)
    assert "/v1" in caught.value.hint


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(errors.ConnectionFailedError, match="refused") as caught:
            check(url)
    assert url in str(caught.value)


def test_a_proxy_where_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ALL_PROXY", f"http://ann:secret@127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(
            errors.ConnectionFailedError, match="no connection to the proxy: connection refused"
        ) as caught:
            check("http://model.test/v1")
    assert "ALL_PROXY" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_no_such_host() -> None:
    with pytest.raises(errors.EndpointError, match=r"no-such-host\.invalid"):
        check("http://no-such-host.invalid/v1")


def test_openai_without_a_key_is_told_before_anything_is_sent() -> None:
    with pytest.raises(errors.AuthenticationError, match="OPENAI_API_KEY is not set") as caught:
        check("https://api.openai.com/v1")
    assert "export OPENAI_API_KEY=" in caught.value.hint
    with pytest.raises(errors.AuthenticationError):
        resolve("https://api.openai.com/v1")


def test_the_default_at_openai_needs_no_question() -> None:
    assert resolve("https://api.openai.com/v1", api_key=KEY) == DEFAULT_MODEL


def test_the_only_model_is_taken(endpoint: Endpoint) -> None:
    endpoint.script(text_reply("chat"))
    assert resolve(endpoint.url) == "some-model"


def test_several_models_are_listed(endpoint: Endpoint) -> None:
    endpoint.models = Reply({"data": [{"id": f"m{number}"} for number in range(30)]})
    with pytest.raises(UsageError, match=r"m0, m1, .*and 10 more") as caught:
        resolve(endpoint.url)
    assert "openai:m0" in caught.value.hint


@pytest.mark.parametrize("reply", [Reply({"data": []}), Reply({}, 404)])
def test_no_model_can_be_found(endpoint: Endpoint, reply: Reply) -> None:
    endpoint.models = reply
    with pytest.raises(UsageError, match="which model"):
        resolve(endpoint.url)


def test_listing_models(endpoint: Endpoint) -> None:
    endpoint.models = Reply({"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]})
    assert list(asyncio.run(backend(endpoint.url).list_models())) == ["a", "b"]


def test_an_unencrypted_key_and_an_unsent_seed_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from gym_openai_model import backend as module
    from gym_openai_model.preflight import Listing

    async def nothing(*_: Any, **__: Any) -> Listing:
        return Listing()

    monkeypatch.setattr(module, "list_models", nothing)
    [warning] = check("http://models.example.test/v1", api_key=KEY)
    assert "unencrypted" in warning
    [warning] = check("https://api.openai.com/v1", api_key=KEY, seed=3)
    assert "seed" in warning
