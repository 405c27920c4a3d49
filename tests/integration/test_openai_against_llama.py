"""The openai backend against a real server: llama.cpp with a real model, over every dialect and transport."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, log, nan
from typing import Any, TypeVar

import httpx
import pytest

from gym_core import CallContext, ModelError, Request, Response, Tokens, errors
from gym_local_model.server import LlamaServer, ServerSettings
from gym_local_model.weights import find_default
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.llama_cpp import PartTokens, logprobs_of
from gym_openai_model.options import OpenAIOptions

T = TypeVar("T")
QUESTION = {"type": "message", "role": "user", "content": "What is the weather in Oslo?"}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo"]}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass
class Llama:
    """A running server and the event loop it lives on."""

    server: LlamaServer
    runner: asyncio.Runner

    def with_model(self, work: Callable[[OpenAIModel], Coroutine[Any, Any, T]], **options: Any) -> T:
        """Do something with an open backend that points at the server."""
        defaults = {"base_url": self.server.base_url, "temperature": 0, "max_output_tokens": 12}
        chosen = OpenAIOptions.model_validate({**defaults, **options})

        async def main() -> T:
            async with OpenAIModel(chosen) as model:
                return await work(model)

        return self.runner.run(main())

    def ask(self, request: Request | str, *, seed: int | None = None, **options: Any) -> Response:
        """One model call."""
        asked = Request.ask(request) if isinstance(request, str) else request
        return self.with_model(lambda model: model.respond(asked, CallContext(seed=seed)), **options)


@pytest.fixture(scope="module")
def llama() -> Iterator[Llama]:
    with asyncio.Runner() as runner:
        server = LlamaServer(ServerSettings(model=find_default(), alias="smol", context_size=1024))
        runner.run(server.__aenter__())
        try:
            yield Llama(server, runner)
        finally:
            runner.run(server.__aexit__(None, None, None))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["responses", "chat"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["httptools", "aiohttp", "sdk"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_only_model_is_found_and_the_endpoint_is_sound(llama: Llama) -> None:
    async def look(model: OpenAIModel) -> tuple[str, list[str], list[str]]:
        return model.model_id, list(await model.check()), list(await model.list_models())

    assert llama.with_model(look) == ("smol", [], ["smol"])


def test_an_answer(llama: Llama, api: str, transport: str) -> None:
    response = llama.ask("What is the capital of France?", api=api, transport=transport)
    assert response.output_text
    assert response.usage.input_tokens > 0
    assert 0 < response.usage.output_tokens <= 12


def test_every_transport_brings_the_same(llama: Llama, api: str) -> None:
    def ask(transport: str) -> tuple[str, int, list[str]]:
        response = llama.ask("What is the capital of France?", api=api, transport=transport)
        return response.output_text, response.usage.output_tokens, sorted(response.body)

    assert ask("httptools") == ask("aiohttp") == ask("sdk")


def test_a_whole_rollout_is_taken_back(llama: Llama, api: str, transport: str) -> None:
    first = llama.ask(Request({"input": [QUESTION], "instructions": "Be brief."}), api=api, transport=transport)
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Oslo."}],
    }
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "get_weather",
        "arguments": '{"city":"Oslo"}',
    }
    answer = {"type": "function_call_output", "call_id": "c1", "output": "cold"}
    items = [QUESTION, *first.output, QUESTION, thought, {**call, "id": "fc_1", "status": "completed"}, answer]
    request = Request({"input": items, "tools": [TOOL], "instructions": "Be brief."})
    assert llama.ask(request, api=api, transport=transport).output_text


def test_a_schema_binds_the_answer_in_chat(llama: Llama, transport: str) -> None:
    text = {"format": {"type": "json_schema", "name": "city", "schema": CITY, "strict": True}}
    request = Request({"input": "Which city is the capital of Norway?", "text": text})
    response = llama.ask(request, api="chat", transport=transport, max_output_tokens=40)
    assert json.loads(response.output_text) == {"city": "Oslo"}


def test_log_probabilities_in_chat(llama: Llama, transport: str) -> None:
    response = llama.ask("Say hello.", api="chat", transport=transport, logprobs=True, top_logprobs=1)
    entries = response.output[-1]["content"][0]["logprobs"]
    assert entries
    assert all(entry["logprob"] <= 0 for entry in entries)


def test_tokens_in_chat_are_an_error_that_says_what_is_not_there(llama: Llama, transport: str) -> None:
    with pytest.raises(ModelError, match="no ids of the prompt") as raised:
        llama.ask("Say hello.", api="chat", transport=transport, tokens=True)
    assert "token_server=llama.cpp" in raised.value.hint


def posted(llama: Llama, path: str, body: dict[str, Any]) -> Any:
    """What the server itself says."""
    return httpx.post(llama.server.root_url + path, json=body, trust_env=False, timeout=60).json()


def test_tokens_are_those_that_the_server_read_and_sampled(llama: Llama, transport: str) -> None:
    options = {"api": "chat", "transport": transport, "tokens": True, "token_server": "llama.cpp"}
    response = llama.ask("Say hello.", seed=5, temperature=0.7, **options)
    tokens = response.tokens
    assert tokens is not None
    assert not tokens.problem
    assert len(tokens.prompt) == response.usage.input_tokens
    assert len(tokens.sampled) == len(tokens.logprobs) == response.usage.output_tokens
    prompt = posted(llama, "/detokenize", {"tokens": tokens.prompt})["content"]
    assert prompt.endswith("<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n")
    assert response.output_text in posted(llama, "/detokenize", {"tokens": tokens.sampled})["content"]
    # From those very ids, the server gives the first sampled token that very probability.
    body = {"prompt": tokens.prompt, "n_predict": 1, "n_probs": 50_000, "post_sampling_probs": True, "temperature": 0.7}
    said = posted(llama, "/completion", {**body, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 1})
    (place,) = said["completion_probabilities"]
    known = {entry["id"]: entry["prob"] for entry in place["top_probs"]}
    assert tokens.logprobs[0] == pytest.approx(log(known[tokens.sampled[0]]), abs=0.01)


def test_a_second_turn_begins_with_the_tokens_of_the_first(llama: Llama) -> None:
    async def two_turns(model: OpenAIModel) -> tuple[Response, Response]:
        first = await model.respond(Request({"input": [QUESTION]}), CallContext())
        return first, await model.respond(Request({"input": [QUESTION, *first.output, QUESTION]}), CallContext())

    first, second = llama.with_model(two_turns, max_output_tokens=60, tokens=True, token_server="llama.cpp")
    assert first.tokens is not None
    assert second.tokens is not None
    known = [*first.tokens.prompt, *first.tokens.sampled]
    assert second.tokens.prompt[: len(known)] == known


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_characters_of_several_tokens_have_all_of_them(llama: Llama, temperature: float) -> None:
    ids = posted(llama, "/tokenize", {"content": "😀漢"})["tokens"]
    bias = dict.fromkeys(ids, 100.0)  # whatever is drawn, it is a part of one of these
    extra = {"logit_bias": [*bias.items()], "max_tokens": 7}
    options: dict[str, Any] = {
        "tokens": True,
        "token_server": "llama.cpp",
        "temperature": temperature,
        "extra_body": extra,
    }

    response = llama.ask("Go on.", seed=1, **options)
    tokens = response.tokens
    assert tokens is not None
    assert not tokens.problem
    assert len(tokens.sampled) == len(tokens.logprobs) == response.usage.output_tokens == 7
    assert {*tokens.sampled} <= bias.keys()
    assert all(isfinite(value) and value <= 1e-6 for value in tokens.logprobs)


def test_what_is_asked_for_later_is_what_the_server_says_where_it_says_it(llama: Llama) -> None:
    """Of whole characters it says both."""

    async def look(model: OpenAIModel) -> tuple[Tokens, Sequence[float]]:
        tokens = (await model.respond(Request.ask("Say hello."), CallContext(seed=5))).tokens
        assert tokens is not None
        unknown = PartTokens(tokens.prompt, tokens.sampled, [nan] * len(tokens.sampled), temperature=0.7)
        assert model._transport is not None
        return tokens, await logprobs_of(model._transport, model._endpoint, unknown)

    options = {"tokens": True, "token_server": "llama.cpp", "temperature": 0.7, "max_output_tokens": 6}
    tokens, asked = llama.with_model(look, **options)
    assert asked == pytest.approx(tokens.logprobs, abs=0.01)


def test_a_stop_word_that_is_cut_off_has_its_tokens(llama: Llama) -> None:
    extra = {"stop": ["bbb"], "logit_bias": [["b", 100.0]]}
    options: dict[str, Any] = {
        "tokens": True,
        "token_server": "llama.cpp",
        "temperature": 1.0,
        "extra_body": extra,
    }
    response = llama.ask("Say hello.", seed=5, **options)
    assert "bbb" not in response.output_text
    assert response.tokens is not None
    assert not response.tokens.problem
    assert len(response.tokens.sampled) == response.usage.output_tokens
    assert posted(llama, "/detokenize", {"tokens": response.tokens.sampled})["content"].endswith("bbb")


def test_under_a_grammar_tokens_of_parts_of_characters_are_unusable(llama: Llama) -> None:
    options: dict[str, Any] = {
        "tokens": True,
        "token_server": "llama.cpp",
        "extra_body": {"grammar": 'root ::= "Hi 😀!"'},
    }
    response = llama.ask("Go on.", **options)
    assert response.output_text == "Hi 😀!"
    assert response.tokens is not None
    assert "part of a character" in response.tokens.problem


def test_a_limit_on_tokens_is_told_in_chat(llama: Llama, transport: str) -> None:
    response = llama.ask("Count to a hundred.", api="chat", transport=transport, max_output_tokens=3)
    assert response.stop_reason == "max_output_tokens"


def test_a_seed_repeats_the_answer_in_chat(llama: Llama, transport: str) -> None:
    def ask(seed: int) -> str:
        options = {"api": "chat", "transport": transport, "temperature": 1.5}
        return llama.ask("Tell me a story.", seed=seed, **options).output_text

    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(4)}) > 1


def test_a_conversation_that_is_too_long(llama: Llama, api: str, transport: str) -> None:
    with pytest.raises(errors.ContextLengthError, match="1024 tokens"):
        llama.ask("word " * 3000, api=api, transport=transport)


def test_a_wrong_path(llama: Llama, api: str, transport: str) -> None:
    base_url = llama.server.root_url + "/nope"
    with pytest.raises(errors.EndpointError, match="/nope") as caught:
        llama.ask("Hi", api=api, transport=transport, base_url=base_url, model="smol")
    assert "/v1" in caught.value.hint
