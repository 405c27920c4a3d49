"""What users set, and what it does to the request."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gym_core import CallContext, Request, UsageError
from gym_openai_model import gym_model_backends
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.endpoint import parse_endpoint
from gym_openai_model.options import DEFAULT_MODEL, OpenAIOptions

from .scripted import Caller, Endpoint, text_reply

OPENAI = "https://api.openai.com/v1"


def backend(**options: Any) -> OpenAIModel:
    return OpenAIModel(OpenAIOptions.model_validate(options))


def test_the_plugin_offers_the_backend() -> None:
    assert gym_model_backends() == {"openai": OpenAIModel}


def test_importing_it_loads_no_client() -> None:
    code = (
        "import sys, gym_openai_model; assert 'pydantic' not in sys.modules; gym_openai_model.gym_model_backends(); "
        "print({'aiohttp', 'httpx', 'httpx2', 'openai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_call_loads_no_client_but_its_own(endpoint: Endpoint) -> None:
    """Each of the others costs as much as a quarter of a second of CPU, or twice that."""
    endpoint.script(text_reply("chat"))
    code = (
        "import asyncio, sys; from gym_core import CallContext, Request; import gym_openai_model as plugin\n"
        "backend = plugin.gym_model_backends()['openai']\n"
        "async def main():\n"
        f"    async with backend(backend.Options(base_url={endpoint.url!r}, model='m')) as model:\n"
        "        await model.check(); await model.respond(Request.ask('Hi'), CallContext())\n"
        "asyncio.run(main()); print({'aiohttp', 'httpx', 'httpx2', 'openai'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert [seen.method for seen in endpoint.seen] == ["GET", "POST"]


def test_every_option_is_described() -> None:
    assert all(field.description for field in OpenAIOptions.model_fields.values())


@pytest.mark.parametrize(("option", "value"), [("top_p", 2), ("temperature", -1), ("max_inflight", 0), ("nope", 1)])
def test_impossible_values_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        OpenAIOptions.model_validate({option: value})


def test_an_option_goes_over_the_request_and_the_request_over_nothing(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    request = Request({"input": "Hi", "model": "row", "temperature": 0.1, "top_p": 0.2, "reasoning": {"effort": "low"}})
    call(request, temperature=0.9, reasoning_effort="high", max_output_tokens=7)
    sent = call.endpoint.sent
    assert (sent["model"], sent["temperature"], sent["top_p"]) == ("some-model", 0.9, 0.2)
    if call.dialect == "chat":
        assert (sent["reasoning_effort"], sent["max_tokens"]) == ("high", 7)
    else:
        assert (sent["reasoning"], sent["max_output_tokens"]) == ({"effort": "high"}, 7)
    call("Hi")
    assert not {"temperature", "top_p", "reasoning", "max_tokens", "max_output_tokens"} & set(call.endpoint.sent)


def test_extra_fields_go_over_everything(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    call("Hi", temperature=1, extra_body={"temperature": 0.3, "top_k": 4, "nested": {"a": None}})
    sent = call.endpoint.sent
    assert (sent["temperature"], sent["top_k"], sent["nested"]) == (0.3, 4, {"a": None})


def test_the_name_of_the_limit_can_be_chosen(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    call("Hi", max_output_tokens=7, max_tokens_field="max_completion_tokens")
    name = "max_completion_tokens" if call.dialect == "chat" else "max_output_tokens"
    assert call.endpoint.sent[name] == 7


def test_headers_and_query(carried: Caller) -> None:
    carried.endpoint.script(text_reply(carried.dialect))
    carried(
        "Hi",
        base_url=carried.endpoint.url + "/?a=1",
        api_key="sk-one",
        organization="org",
        project="proj",
        extra_headers={"user-agent": "mine", "X-Extra": "x"},
        extra_query={"api-version": "2026-01-01"},
    )
    seen = carried.endpoint.seen[-1]
    assert seen.headers["authorization"] == "Bearer sk-one"
    assert seen.headers["openai-organization"] == "org"
    assert seen.headers["openai-project"] == "proj"
    assert seen.headers["user-agent"] == "mine"
    assert seen.headers["x-extra"] == "x"
    assert seen.headers["content-type"] == "application/json"
    assert seen.path.endswith("?a=1&api-version=2026-01-01")


def test_no_key_no_header(carried: Caller) -> None:
    carried.endpoint.script(text_reply(carried.dialect))
    carried("Hi")
    assert "authorization" not in carried.endpoint.seen[-1].headers


def test_the_key_can_stand_in_a_file(call: Caller, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-from-file\n")
    call.endpoint.script(text_reply(call.dialect))
    call("Hi", api_key="sk-other", api_key_file=path)
    assert call.endpoint.seen[-1].headers["authorization"] == "Bearer sk-from-file"
    assert backend(api_key_file=path).secrets == ("sk-from-file",)


@pytest.mark.parametrize(("content", "problem"), [(None, "cannot be read"), ("\n", "is empty"), ("a b", "characters")])
def test_a_key_file_that_is_of_no_use(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=problem) as caught:
        backend(api_key_file=path)
    assert str(path) in str(caught.value)


def test_azure_takes_its_key_in_a_header_of_its_own() -> None:
    from gym_openai_model.identity import identify

    for key, expected in (("abc123", {"api-key": "abc123"}), ("eyJtoken", {"Authorization": "Bearer eyJtoken"})):
        options = OpenAIOptions.model_validate({"api_key": key})
        endpoint = parse_endpoint("https://x.openai.azure.com/openai/v1")
        headers = identify(options, endpoint).headers
        assert expected.items() <= headers.items()
        assert len({"api-key", "Authorization"} & headers.keys()) == 1


@pytest.mark.parametrize(
    ("url", "dialect", "limit"),
    [
        (OPENAI, "responses", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "responses", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/v1/", "responses", "max_completion_tokens"),
        ("https://x.openai.azure.com/openai/deployments/d?api-version=1", "chat", "max_completion_tokens"),
        ("http://localhost:8000/v1", "chat", "max_tokens"),
        ("https://api.openai.com.evil.test/v1", "chat", "max_tokens"),
        ("https://openrouter.ai/api/v1", "chat", "max_tokens"),
    ],
)
def test_the_host_decides_the_dialect(url: str, dialect: str, limit: str) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.dialect, endpoint.max_tokens_field) == (dialect, limit)


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("http://h:1/v1", "http://h:1/v1/models"),
        (" http://h:1/v1/ ", "http://h:1/v1/models"),
        ("http://h/v1/chat/completions", "http://h/v1/models"),
        ("http://h/v1/responses/", "http://h/v1/models"),
        ("http://h", "http://h/models"),
        ("http://h/v1?api-version=2#x", "http://h/v1/models?api-version=2"),
        ("http://u:p@h/v1", "http://u:p@h/v1/models"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/models"),
    ],
)
def test_base_urls_as_people_write_them(written: str, called: str) -> None:
    endpoint = parse_endpoint(written)
    assert endpoint.url("/models") == called
    assert "p@" not in endpoint.base_url
    assert "u:p" not in repr(endpoint)


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "h", "", "ftp://h/v1", "http://", "http://h:x/v1", "http://u:pw@:1"]
)
def test_what_is_no_base_url(url: str) -> None:
    with pytest.raises(UsageError, match="base_url") as caught:
        backend(base_url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::1]/v1", True),
        ("http://gpu-box:8000/v1", True),
        ("http://vllm.local/v1", True),
        ("https://api.groq.com/v1", False),
        ("http://8.8.8.8/v1", False),
    ],
)
def test_private_endpoints(url: str, private: bool) -> None:
    assert parse_endpoint(url).is_private is private


def test_what_the_engine_reads() -> None:
    model = backend(base_url="http://u:pw@h/v1/", model="m", max_inflight=3, max_retries=0)
    assert (model.model_id, model.endpoint, model.max_inflight, model.max_retries) == ("m", "http://h/v1", 3, 0)
    assert (backend().max_inflight, backend().max_retries, backend().model_id) == (None, None, DEFAULT_MODEL)


def test_seeds(call: Caller) -> None:
    call.endpoint.script(text_reply(call.dialect))
    context = CallContext(seed=11)
    is_chat = call.dialect == "chat"
    assert OpenAIModel(call.options()).sends_seed is is_chat
    call("Hi", context=context)
    assert call.endpoint.sent.get("seed") == (11 if is_chat else None)
    call(Request({"input": "Hi", "seed": 5}), context=context)
    assert call.endpoint.sent["seed"] == 5
    call(Request({"input": "Hi", "seed": 5}), context=context, seed=3)
    assert call.endpoint.sent["seed"] == 3
    call("Hi", context=context, send_seed=False)
    assert "seed" not in call.endpoint.sent
    assert OpenAIModel(call.options(send_seed=False)).sends_seed is False


def test_it_has_to_be_opened() -> None:
    model = backend(base_url="http://127.0.0.1:1/v1", model="m")
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(model.respond(Request.ask("Hi"), CallContext()))
