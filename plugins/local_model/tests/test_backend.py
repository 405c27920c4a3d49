"""The component `local` with the real model: calls, answers, options, errors and token ids."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gym_core import CallContext, Request, Response, UsageError, errors
from gym_local_model import gym_model_backends
from gym_local_model.client import LocalServerEnded

LocalModel = gym_model_backends()["local"]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather of one city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SNOW = '{"city": "Oslo", "condition": "snowy", "temperature_c": -3}'


class Running:
    """A started backend and the loop it lives in, so that one model serves many tests."""

    def __init__(self, **options: Any) -> None:
        self.loop = asyncio.Runner()
        self.backend: Any = LocalModel(LocalModel.Options(**options))
        self.run(self.backend.__aenter__())

    def run(self, coroutine: Any) -> Any:
        return self.loop.run(coroutine)

    def respond(self, body: dict[str, Any], **context: Any) -> Response:
        response: Response = self.run(self.backend.respond(Request(body), CallContext(**context)))
        return response

    def close(self) -> None:
        self.run(self.backend.__aexit__(None, None, None))
        self.loop.close()


@pytest.fixture(scope="module")
def local(model_file: Path) -> Iterator[Running]:
    running = Running(context_size=1024)
    yield running
    running.close()


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": text}], "tools": [WEATHER], **fields}


def test_a_question_becomes_a_call_and_its_result_an_answer(local: Running) -> None:
    body = ask("What is the weather in Oslo?")
    first = local.respond(body)
    (call,) = first.function_calls
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Oslo"})
    assert first.usage.output_tokens > 0
    result = {"type": "function_call_output", "call_id": call.call_id, "output": SNOW}
    second = local.respond({**body, "input": [*body["input"], *first.output, result]})
    assert second.function_calls == []
    assert "snowy" in second.output_text
    assert second.stop_reason == "completed"


def test_the_same_request_gives_the_same_response(local: Running) -> None:
    body = ask("What is the weather in Lima?")
    assert local.respond(body).output == local.respond(body).output


def test_a_call_without_support_is_refused_and_both_completions_are_counted(local: Running) -> None:
    response = local.respond(ask("What is the instrument called that measures air temperature?"))
    assert response.function_calls == []
    assert response.output_text
    assert "get_weather" in response.body["adapter"]["refused_call"]
    assert response.usage.input_tokens > 100


def test_without_tools_the_request_goes_as_it_is(local: Running) -> None:
    response = local.respond({"input": "Say hi.", "max_output_tokens": 3})
    assert response.usage.output_tokens == 3
    assert response.stop_reason == "max_output_tokens"
    assert response.body["model"] == "SmolLM2-135M-Instruct"


def test_log_probabilities_are_kept_when_asked_for_and_no_ids_are_said(local: Running) -> None:
    wanted = {"include": ["message.output_text.logprobs"], "max_output_tokens": 4}
    response = local.respond({"input": "Say hi.", **wanted})
    message = response.output[-1]
    assert len(message["content"][0]["logprobs"]) == 4
    assert response.tokens is None
    assert "prompt_token_ids" not in message


@pytest.fixture(scope="module")
def exact(model_file: Path) -> Iterator[Running]:
    running = Running(context_size=1024, tokens=True, tools="native", temperature=1.0, version="3")
    yield running
    running.close()


def test_tokens_are_those_of_the_models_own_template(exact: Running) -> None:
    body = ask("Say hello to Ann.", max_output_tokens=6)
    response = exact.respond(body, seed=2**40 + 7)
    tokens = response.tokens
    assert tokens is not None
    assert not tokens.problem
    assert len(tokens.prompt) == response.usage.input_tokens
    assert len(tokens.sampled) == len(tokens.logprobs) == 6
    assert all(value < 0 for value in tokens.logprobs)
    assert tokens.version == "3"
    assert "logprobs" not in response.output[-1]["content"][0]
    assert response.body["model"] == "SmolLM2-135M-Instruct"
    again = exact.respond(body, seed=2**40 + 7)
    assert again.output_text == response.output_text


def test_a_second_turn_goes_on_from_the_tokens_of_the_first(exact: Running) -> None:
    # one token, and which: the text of others, and of several, may tokenize otherwise when it comes back
    first = exact.respond({"input": "Say yes.", "logit_bias": [["Yes", 100.0]], "max_output_tokens": 1})
    assert first.output_text == "Yes"
    more = {"type": "message", "role": "user", "content": "Again."}
    second = exact.respond({"input": [{"role": "user", "content": "Say yes."}, *first.output, more]})
    assert first.tokens is not None
    assert second.tokens is not None
    known = [*first.tokens.prompt, *first.tokens.sampled]
    assert [*second.tokens.prompt][: len(known)] == known


@pytest.mark.parametrize("tools", ["auto", "adapter"])
def test_the_adapter_says_no_tokens_and_which_form_does(model_file: Path, tools: str) -> None:
    with pytest.raises(UsageError, match="nothing to train on") as raised:
        Running(tokens=True, tools=tools, context_size=256)
    assert "tools=native" in raised.value.hint


def test_sampling_with_a_seed_can_be_repeated(local: Running) -> None:
    body = {"input": "Name an animal.", "temperature": 1.5, "max_output_tokens": 8}
    texts = [local.respond(body, seed=seed).output_text for seed in (1, 1, 2, 3, 4)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_a_conversation_that_does_not_fit_is_told_apart(local: Running) -> None:
    with pytest.raises(errors.ContextLengthError, match="context_size"):
        local.respond({"input": "word " * 2000})


def test_what_the_endpoint_cannot_take_is_a_bad_request(local: Running) -> None:
    with pytest.raises(errors.BadRequestError, match="previous_response_id"):
        local.respond({"input": "Hi", "previous_response_id": "resp_1"})


def test_the_endpoint_is_offered_to_others(local: Running) -> None:
    import httpx

    listed = httpx.get(f"{local.backend.base_url}/models", trust_env=False).json()
    assert [model["id"] for model in listed["data"]] == local.run(local.backend.list_models())


@pytest.mark.slow
def test_a_file_of_ones_own_and_explicit_options_go_first(model_file: Path) -> None:
    own = Running(model=str(model_file), tools="native", max_output_tokens=2, slots=2, logprobs=True)
    try:
        assert own.backend.model_id == "SmolLM2-135M-Instruct.Q4_1"
        assert own.backend.max_inflight == 2
        response = own.respond(ask("What is the weather in Oslo?", max_output_tokens=50))
        assert response.usage.output_tokens == 2
        assert len(response.output[-1]["content"][0]["logprobs"]) == 2
    finally:
        own.close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("options", [{}, {"tokens": True, "tools": "native"}])
def test_a_server_that_died_stops_the_run(model_file: Path, options: dict[str, Any]) -> None:
    running = Running(context_size=256, **options)
    try:
        os.kill(running.backend._server.pid, signal.SIGKILL)
        with pytest.raises(LocalServerEnded, match="ended in the middle"):
            running.respond({"input": "Hi"})
        assert LocalServerEnded.fatal
    finally:
        running.close()


def test_a_file_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no model file .*missing\.gguf"):
        Running(model=str(tmp_path / "missing.gguf"))


@pytest.mark.parametrize("options", [{"threads": 0}, {"tools": "maybe"}, {"unknown": 1}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LocalModel.Options(**options)
