"""Tokens as servers say them: every form is read whole, or is an error that says what is not there."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest

from gym_core import ModelError, Request, Response, Tokens, UsageError, errors
from gym_openai_model.backend import OpenAIModel
from gym_openai_model.options import OpenAIOptions

from .scripted import Caller, Endpoint, Reply, completion, response

PROMPT, SAMPLED, LOGPROBS = [11, 12, 13], [7, 8], [-0.25, -0.5]
ENTRIES = [{"token": "t", "logprob": value, "bytes": [1], "top_logprobs": []} for value in LOGPROBS]
THREE = {"prompt_token_ids": PROMPT, "generation_token_ids": SAMPLED, "generation_log_probs": LOGPROBS}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT: dict[str, Any] = {"role": "assistant", "content": "Hi"}
MESSAGES: dict[str, dict[str, Any]] = {
    "text": TEXT,
    "call": {"role": "assistant", "content": None, "tool_calls": [CALL]},
    "text and call": {**TEXT, "tool_calls": [CALL]},
    "two calls": {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "b"}]},
    "reasoning and call": {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
    "nothing": {"role": "assistant", "content": ""},
}


def vllm(message: dict[str, Any]) -> dict[str, Any]:
    """As a real one of 0.32 says it: with empty content beside calls, and null where it has nothing to say."""
    nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
    said = completion(
        {**nothing, **message, "content": message["content"] or ""},
        token_ids=[*SAMPLED],
        logprobs={"content": ENTRIES},
        stop_reason=None,
        routed_experts=None,
    )
    extensions = dict.fromkeys(
        ("prompt_logprobs", "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics")
    )
    return {**said, **extensions, "prompt_token_ids": PROMPT}


def vllm_ids_as_text(message: dict[str, Any]) -> dict[str, Any]:
    entries = [{**entry, "token": f"token_id:{number}"} for entry, number in zip(ENTRIES, SAMPLED, strict=True)]
    return {**completion(message, logprobs={"content": entries}), "prompt_token_ids": PROMPT}


def sglang_choice(message: dict[str, Any]) -> dict[str, Any]:
    return completion(message, prompt_token_ids=PROMPT, token_ids=SAMPLED, logprobs={"content": ENTRIES})


def sglang_meta_info(message: dict[str, Any]) -> dict[str, Any]:
    wrote = [[value, number, None] for value, number in zip(LOGPROBS, SAMPLED, strict=True)]
    meta = {"output_token_logprobs": wrote, "weight_version": "17", "id": "x"}
    return completion(message, prompt_token_ids=PROMPT, meta_info=meta)


def sglang_sglext(message: dict[str, Any]) -> dict[str, Any]:
    said = completion(message, logprobs={"content": ENTRIES})
    return {**said, "sglext": {"input_ids": [PROMPT], "output_ids": [SAMPLED]}}


def dynamo(message: dict[str, Any]) -> dict[str, Any]:
    data = {"prompt_token_ids": PROMPT, "completion_token_ids": SAMPLED, "completion_logprobs": LOGPROBS}
    return {**completion(message), "nvext": {"engine_data": data}}


def dynamo_in_the_choice(message: dict[str, Any]) -> dict[str, Any]:
    data = {"prompt_token_ids": PROMPT, "completion_token_ids": SAMPLED}
    return completion(message, nvext={"engine_data": data}, logprobs={"content": ENTRIES})


def nemo(message: dict[str, Any]) -> dict[str, Any]:
    """As NeMo Gym's `vllm_model` 0.7 says it: null where vLLM has nothing to say, ids before the text."""
    nothing = dict.fromkeys(("routed_experts", "refusal", "annotations", "audio", "function_call", "reasoning"))
    said = completion({**THREE, **nothing, **message}, logprobs=None, stop_reason=None, routed_experts=None)
    return {**said, "moderation": None, "metrics": None, "prompt_logprobs": None, "prompt_text": None}


def llama_cpp(message: dict[str, Any]) -> dict[str, Any]:
    entries = [{**entry, "id": number} for entry, number in zip(ENTRIES, SAMPLED, strict=True)]
    return completion(message, logprobs={"content": entries})


FORMS = (
    *(vllm, vllm_ids_as_text, sglang_choice, sglang_meta_info, sglang_sglext),
    *(dynamo, dynamo_in_the_choice, nemo),
)
SILENT = {"nothing asked": completion(TEXT), "llama.cpp": llama_cpp(TEXT)}

MESSAGE = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}


def output_text(*tokens: str, text: str = "Hi") -> dict[str, Any]:
    """A text of vLLM's Responses API; the token that ended it has an entry, too, and of half a character no bytes."""
    entries = [
        {"token": token, "bytes": [*token.encode()], "logprob": value, "top_logprobs": []}
        for token, value in zip(tokens, LOGPROBS, strict=False)
    ]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": entries}


SAID = output_text("Hi", "<|im_end|>")
FUNCTION = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "status": "completed"}
RAW = {
    "input_messages": [{"type": "raw_message_tokens", "message": "...", "tokens": PROMPT}],
    "output_messages": [{"type": "raw_message_tokens", "message": "...", "tokens": SAMPLED}],
}


def chat(endpoint: Endpoint) -> Caller:
    return Caller(endpoint, "chat")


def exact(found: Response) -> Tokens:
    tokens = found.tokens
    assert tokens is not None
    assert (tokens.prompt, tokens.sampled) == (PROMPT, SAMPLED)
    assert tokens.logprobs == pytest.approx(LOGPROBS, abs=1e-12)
    whole = repr(found.body)
    assert not [name for name in (*THREE, "token_ids", "input_ids", "logprob'") if name in whole]
    return tokens


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_form_is_read_and_leaves_nothing_on_the_items(endpoint: Endpoint, form: Any, message: str) -> None:
    endpoint.script(form(MESSAGES[message]))
    tokens = exact(chat(endpoint)(tokens=True))
    assert tokens.version == ("17" if form is sglang_meta_info else None)


@pytest.mark.parametrize("form", SILENT)
def test_a_server_that_says_none_is_an_error_that_stops_the_run(endpoint: Endpoint, form: str) -> None:
    endpoint.script(SILENT[form])
    with pytest.raises(errors.EndpointError, match=r"no ids of the prompt .*looked for") as raised:
        chat(endpoint)(tokens=True)
    assert raised.value.fatal
    assert "vLLM" in raised.value.hint
    assert "token_server=llama.cpp" in raised.value.hint


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_server_that_refuses_the_words_ends_the_run_and_its_error_names_others(endpoint: Endpoint, api: str) -> None:
    name = "return_token_ids" if api == "chat" else "enable_response_messages"
    lacking = {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": True}
    endpoint.script(Reply({"detail": [lacking]}, 422))
    with pytest.raises(errors.EndpointError, match=name) as raised:
        Caller(endpoint, api)(tokens=True)
    assert raised.value.status == 422
    assert "token_server=nemo" in raised.value.hint


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_an_answer_that_no_model_made_says_nothing_of_an_endpoint(endpoint: Endpoint, api: str) -> None:
    """NeMo Gym's `vllm_model` makes up an empty one where the prompt is too long."""
    empty = {**MESSAGE, "content": [{"type": "output_text", "text": "", "annotations": [], "logprobs": None}]}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "usage": None}
    made_up = completion({"role": "assistant", "content": None}, finish_reason="length")
    endpoint.script({**made_up, "usage": None} if api == "chat" else {**response(empty), **cut})
    found = Caller(endpoint, api)(tokens=True, token_server="nemo")
    assert found.tokens is not None
    assert found.tokens.problem
    assert found.body["incomplete_details"] == {"reason": "max_output_tokens"}


def test_vllms_responses_say_the_tokens_of_texts(endpoint: Endpoint) -> None:
    endpoint.script(response({**MESSAGE, "content": [SAID]}, **RAW))
    exact(Caller(endpoint, "responses")(tokens=True))
    assert endpoint.sent["enable_response_messages"] is True
    assert endpoint.sent["include"] == ["message.output_text.logprobs"]


def test_vllms_responses_with_a_call_are_an_error_that_says_what_to_do(endpoint: Endpoint) -> None:
    endpoint.script(response(FUNCTION, **RAW))
    with pytest.raises(errors.EndpointError, match="api=chat"):
        Caller(endpoint, "responses")(tokens=True)


@pytest.mark.parametrize("items", [[{**MESSAGE, "content": [], **THREE}], [FUNCTION, {**FUNCTION, **THREE}]])
def test_nemos_model_server_says_them_on_the_last_item(endpoint: Endpoint, items: list[Any]) -> None:
    endpoint.script(response(*items))
    exact(Caller(endpoint, "responses")(tokens=True, token_server="nemo"))
    assert "enable_response_messages" not in endpoint.sent


def llama(prompt: Any = PROMPT, read: int = len(PROMPT), wrote: int = len(SAMPLED)) -> list[Any]:
    """A llama.cpp server's replies: probabilities, the prompt as text, and its ids."""
    entries = [
        {"id": number, "token": "t", "bytes": [1], "prob": exp(value), "top_probs": []}
        for value, number in zip(LOGPROBS, SAMPLED, strict=True)
    ]
    said = completion(TEXT, logprobs={"content": entries})
    usage = {"prompt_tokens": read, "completion_tokens": wrote}
    return [{**said, "usage": usage}, {"prompt": "<user>Hi"}, {"tokens": prompt}]


def test_llama_cpp_is_asked_for_the_ids_of_the_prompt_besides(endpoint: Endpoint) -> None:
    endpoint.script(*llama())
    exact(chat(endpoint)(tokens=True, token_server="llama.cpp"))
    asked, template, encoder = endpoint.seen
    assert [asked.path, template.path, encoder.path] == ["/v1/chat/completions", "/apply-template", "/tokenize"]
    assert template.body == asked.body
    assert encoder.body == {"content": "<user>Hi", "add_special": True, "parse_special": True}
    over = {"logprobs": True, "top_logprobs": 1, "post_sampling_probs": True, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
            "verbose": True, "return_tokens": True}  # fmt: skip
    assert {name: asked.body[name] for name in over} == over


def test_what_shapes_sampling_reaches_llama_cpp_where_it_is_asked_for(endpoint: Endpoint) -> None:
    endpoint.script(*llama())
    request = Request({"input": "Hi", "min_p": 0.1})
    chat(endpoint)(request, tokens=True, token_server="llama.cpp", top_p=0.9)
    body = endpoint.seen[0].body
    assert (body["top_k"], body["top_p"], body["min_p"]) == (0, 0.9, 0.1)


@pytest.mark.parametrize(("odd", "problem"), [({"read": 4}, "3 ids by /tokenize"), ({"wrote": 5}, "2 of 5 sampled")])
def test_counts_of_llama_cpp_that_do_not_agree_make_tokens_unusable(
    endpoint: Endpoint, odd: dict[str, int], problem: str
) -> None:
    endpoint.script(*llama(**odd))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.output_text == "Hi"
    assert found.tokens is not None
    assert problem in found.tokens.problem


def verbose(ids: list[int], entries: list[int], **settings: Any) -> list[Any]:
    """The replies where `entries` of the sampled ids have a log probability each, of `-ID`."""
    said = completion(
        TEXT, logprobs={"content": [{"id": number, "token": "t", "logprob": -number} for number in entries]}
    )
    about = {"tokens": ids, "prompt": "<user>Hi", "generation_settings": {"temperature": 1.0, **settings}}
    usage = {"prompt_tokens": len(PROMPT), "completion_tokens": len(ids)}
    return [{**said, "usage": usage, "__verbose": about}, {"prompt": "<user>Hi"}, {"tokens": PROMPT}]


def likely(*logprobs: float) -> dict[str, Any]:
    """How likely `/completion` says tokens are, by their ids from 0 on."""
    return {"completion_probabilities": [{"id": 0, "top_logprobs": [
        {"id": number, "token": "", "logprob": value} for number, value in enumerate(logprobs)
    ]}]}  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "entries", "asked"),
    [
        ([5, 1, 6], [5, 6], [1]),
        ([1, 2, 7], [7], [0, 1]),
        ([7, 2], [7], [1]),
        ([1, 1, 8], [1, 8], [0, 1]),  # the entry of 1 may be of either
        ([2], [], [0]),
    ],
)
def test_what_llama_cpps_entries_leave_out_is_asked_for_after_those_very_ids(
    endpoint: Endpoint, ids: list[int], entries: list[int], asked: list[int]
) -> None:
    endpoint.script(*verbose(ids, entries), *[likely(-10, -11, -12)] * len(asked))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert (found.tokens.problem, found.tokens.prompt, found.tokens.sampled) == ("", PROMPT, ids)
    wanted = [-10 - number if place in asked else -number for place, number in enumerate(ids)]
    assert found.tokens.logprobs == pytest.approx(wanted)
    assert [seen.path for seen in endpoint.seen[3:]] == ["/completion"] * len(asked)
    assert [seen.body["prompt"] for seen in endpoint.seen[3:]] == [[*PROMPT, *ids[:place]] for place in asked]
    assert "generation_settings" not in repr(found.body)


def test_a_token_that_is_unlikely_is_looked_for_among_all(endpoint: Endpoint) -> None:
    endpoint.script(*verbose([3, 9], [9]), likely(-1, -2), likely(-1, -2, -9, -14))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert found.tokens.logprobs == [-14, -9]
    assert endpoint.seen[3].body["n_probs"] < endpoint.seen[4].body["n_probs"]


def test_temperature_and_bias_scale_what_llama_cpp_says_of_the_model(endpoint: Endpoint) -> None:
    settings = {"temperature": 0.5, "logit_bias": [{"token": 2, "bias": 3.0}], "grammar": "", "top_k": 0, "min_p": 0}
    endpoint.script(*verbose([2, 9], [9], **settings), likely(-1, -2, -4))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    logits = [-1 / 0.5, -2 / 0.5, (-4 + 3) / 0.5]
    assert found.tokens.logprobs[0] == pytest.approx(logits[2] - log(sum(map(exp, logits))))


def test_what_is_likeliest_is_certain_at_temperature_0(endpoint: Endpoint) -> None:
    endpoint.script(*verbose([2, 9], [9], temperature=0.0))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert (found.tokens.sampled, found.tokens.logprobs) == ([2, 9], [0, 0])


@pytest.mark.parametrize(
    "settings",
    [{"grammar": "root ::= x"}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.05}, {"typical_p": 0.9},
     {"top_n_sigma": 2.0}, {"xtc_probability": 0.5}, {"repeat_penalty": 1.1}, {"presence_penalty": 1.0},
     {"frequency_penalty": -1.0}, {"dry_multiplier": 0.8}, {"mirostat": 2}, {"dynatemp_range": 0.1},
     {"adaptive_target": 0.5}, {"temperature": None}, {"top_k": None}],
)  # fmt: skip
@pytest.mark.parametrize("entries", [[9], [8], []])
def test_tokens_whose_probabilities_nothing_says_are_unusable(
    endpoint: Endpoint, settings: dict[str, Any], entries: list[int]
) -> None:
    endpoint.script(*verbose([2, 9], entries, **settings))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.output_text == "Hi"
    assert found.tokens is not None
    assert f"{len(entries)} of 2 sampled tokens" in found.tokens.problem


def test_what_shapes_nothing_leaves_tokens_usable(endpoint: Endpoint) -> None:
    off = {
        "top_k": -1, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "top_n_sigma": -1.0, "xtc_probability": 0.0,
        "repeat_penalty": 1.0, "dry_multiplier": 0.0, "mirostat": 0, "dynatemp_range": 0.0, "adaptive_target": -1.0,
    }  # fmt: skip
    endpoint.script(*verbose([2, 9], [9], **off), likely(-1, -2, -4))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert (found.tokens.problem, [*found.tokens.logprobs]) == ("", [-4, -9])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("unlikely", [8, 9])
def test_the_whole_vocabulary_is_asked_for_a_few_tokens_of_an_answer(
    endpoint: Endpoint, temperature: float, unlikely: int
) -> None:
    """Beyond that the tokens are unusable, which is known before any is asked for."""
    first = [likely(-1)] * unlikely if temperature == 1 else []
    said = [likely(-1, -2, -4)] * unlikely if unlikely == 8 else []
    endpoint.script(*verbose([2] * unlikely + [9], [9], temperature=temperature), *first, *said)
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert len(endpoint.seen) == 3 + len(first) + len(said)
    assert ("the whole vocabulary for each of 9 tokens, megabytes each time" in found.tokens.problem) == (unlikely == 9)
    assert len(found.tokens.logprobs) == (9 if unlikely == 8 else 0)


@pytest.mark.parametrize("message", ["text", "text about tool_calls", "text and call"])
def test_a_lazy_grammar_binds_where_a_tool_was_called(endpoint: Endpoint, message: str) -> None:
    said = verbose([2, 9], [9], grammar="root ::= x", grammar_lazy=True)
    said[0]["choices"][0]["message"] = MESSAGES.get(message, {**TEXT, "content": "I have no 'tool_calls'."})
    endpoint.script(*said, likely(-1, -2, -4))
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert [*found.tokens.logprobs] == ([] if message == "text and call" else [-4, -9])
    assert bool(found.tokens.problem) == (message == "text and call")


@pytest.mark.parametrize("reply", [{"content": "x"}, likely(-1), Reply({"error": "no"}, 404), Reply(b"<html>", 200)])
def test_a_completion_that_says_nothing_of_a_token_makes_tokens_unusable(endpoint: Endpoint, reply: Any) -> None:
    endpoint.script(*verbose([2, 9], [9]), reply, reply)
    found = chat(endpoint)(tokens=True, token_server="llama.cpp")
    assert found.tokens is not None
    assert "no log probabilities of all that was sampled: /completion" in found.tokens.problem


@pytest.mark.parametrize(
    ("replies", "why"),
    [
        ([Reply({"error": "no such path"}, 404)], "/apply-template answers with HTTP 404"),
        ([{"text": "x"}], "/apply-template answers without 'prompt'"),
        ([Reply(b"<html>", 200)], "/apply-template answers without 'prompt'"),
        ([{"prompt": "x"}, {"tokens": ["a"]}], "/tokenize answers with something else than ids"),
    ],
)
def test_a_server_that_is_none_of_llama_cpp_is_an_error(endpoint: Endpoint, replies: list[Any], why: str) -> None:
    endpoint.script(llama()[0], *replies)
    with pytest.raises(errors.EndpointError, match=why):
        chat(endpoint)(tokens=True, token_server="llama.cpp")


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("path", ["/apply-template", "/tokenize", "/completion"])
def test_what_passes_at_a_llama_cpp_server_is_tried_again(endpoint: Endpoint, path: str, status: int) -> None:
    """Also where it has said tokens before: else the answer would stand without any."""
    said = llama()
    before = verbose([2, 9], [9])[: 1 + ["/apply-template", "/tokenize", "/completion"].index(path)]
    endpoint.script(*said, *before, Reply({"error": {"message": "Loading model"}}, status, {"Retry-After": "7"}))
    with pytest.raises(ModelError, match="Loading model") as raised:
        chat(endpoint)("one", "two", tokens=True, token_server="llama.cpp")
    assert raised.value.retryable
    assert raised.value.retry_after == 7
    assert path in raised.value.message


def test_probabilities_that_are_none_are_a_broken_reply(endpoint: Endpoint) -> None:
    said = llama()[0]
    said["choices"][0]["logprobs"]["content"][0]["prob"] = 0
    endpoint.script(said)
    with pytest.raises(errors.BrokenReplyError, match="probabilities"):
        chat(endpoint)(tokens=True, token_server="llama.cpp")


def test_llama_cpp_says_tokens_in_chat_alone() -> None:
    options = {"base_url": "http://127.0.0.1/v1", "api": "responses", "tokens": True, "token_server": "llama.cpp"}
    with pytest.raises(UsageError, match="chat alone"):
        OpenAIModel(OpenAIOptions.model_validate(options))


def test_each_server_is_asked_in_its_own_words(endpoint: Endpoint) -> None:
    asked = {}
    for server in ("auto", "vllm", "sglang", "dynamo", "nemo"):
        endpoint.script(nemo(TEXT))
        chat(endpoint)(tokens=True, token_server=server)
        asked[server] = endpoint.sent.keys() - {"model", "messages"}
    assert asked["vllm"] == {"logprobs", "return_token_ids"}
    assert asked["sglang"] == {"logprobs", "return_token_ids", "return_prompt_token_ids", "return_meta_info"}
    assert asked["dynamo"] == {"logprobs", "nvext"}
    assert asked["nemo"] == set()
    assert asked["auto"] == asked["vllm"] | asked["sglang"] | asked["dynamo"]


@pytest.mark.parametrize("broken", [[-0.5], [-0.5, None], ["a", "b"]])
def test_ids_and_log_probabilities_that_do_not_fit_are_a_broken_reply(endpoint: Endpoint, broken: list[Any]) -> None:
    endpoint.script(completion({**TEXT, **THREE, "generation_log_probs": broken}))
    with pytest.raises(errors.BrokenReplyError, match="log probabilities"):
        chat(endpoint)(tokens=True)


def test_a_later_answer_without_tokens_stands_and_says_why_it_has_none(endpoint: Endpoint) -> None:
    endpoint.script(vllm(TEXT), completion(TEXT))
    found = chat(endpoint)("one", "two", tokens=True)
    assert found.output_text == "Hi"
    assert found.tokens is not None
    assert "no ids of the prompt" in found.tokens.problem


@pytest.mark.parametrize("finish", ["abort", {"type": "abort"}])
@pytest.mark.parametrize("tokens", [False, True])
def test_an_aborted_answer_is_none_and_is_tried_again(endpoint: Endpoint, finish: Any, tokens: bool) -> None:
    said = vllm(TEXT)
    said["choices"][0]["finish_reason"] = finish
    endpoint.script(said)
    with pytest.raises(ModelError) as raised:
        chat(endpoint)(tokens=tokens)
    assert raised.value.retryable


def test_an_aborted_response_is_none(endpoint: Endpoint) -> None:
    body = response({**MESSAGE, "content": [SAID]}, status="incomplete", incomplete_details={"reason": "abort"})
    endpoint.script(body)
    with pytest.raises(ModelError) as raised:
        Caller(endpoint, "responses")()
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("items", "sampled"),
    [
        ([{**MESSAGE, "content": [output_text("H", "i")]}], SAMPLED),
        ([{**MESSAGE, "content": [output_text("Hi", "")]}], SAMPLED),  # in the middle of a character
        ([], None),
    ],
)
def test_a_response_that_nothing_ended_is_none_although_vllm_says_completed(
    endpoint: Endpoint, items: list[Any], sampled: list[int] | None
) -> None:
    wrote = [{**RAW["output_messages"][0], "tokens": sampled}] if sampled else None
    endpoint.script(response(*items, input_messages=RAW["input_messages"], output_messages=wrote))
    with pytest.raises(ModelError, match="abort") as raised:
        Caller(endpoint, "responses")(tokens=True)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "part",
    [
        output_text("Hi", "<|im_end|>"),
        output_text("Hi there", " STOP", text="Hi there"),  # a stop word
        output_text("", "</s>", text="\N{GRINNING FACE}"),  # a character whose bytes no entry has
        output_text("", "<|im_end|>", text=""),
    ],
)
def test_a_response_that_something_ended_stands(endpoint: Endpoint, part: dict[str, Any]) -> None:
    endpoint.script(response({**MESSAGE, "content": [part]}, **RAW))
    found = Caller(endpoint, "responses")(tokens=True)
    assert found.output_text == part["text"]
    assert found.tokens is not None
    assert not found.tokens.problem


def test_a_response_of_another_server_is_taken_at_its_word(endpoint: Endpoint) -> None:
    endpoint.script(response({**MESSAGE, "content": [output_text("H", "i")], **THREE}))
    assert Caller(endpoint, "responses")(tokens=True, token_server="nemo").output_text == "Hi"


@pytest.mark.parametrize("message", ["text", "call", "text and call"])
def test_tokens_go_back_on_the_message_where_asked(endpoint: Endpoint, message: str) -> None:
    endpoint.script(nemo(MESSAGES[message]))
    found = chat(endpoint)(send_token_ids=True, token_server="nemo")
    assert found.tokens is not None
    assert {name: list(found.output[-1][name]) for name in THREE} == THREE
    question = {"type": "message", "role": "user", "content": "and?"}
    chat(endpoint)(Request({"input": [*found.output, question]}), send_token_ids=True, token_server="nemo")
    said, _ = endpoint.sent["messages"]
    assert {name: said[name] for name in THREE} == THREE
    chat(endpoint)(Request({"input": [*found.output, question]}), tokens=True)
    assert not THREE.keys() & endpoint.sent["messages"][0].keys()


def test_the_version_of_the_options_stands_where_the_server_says_none(endpoint: Endpoint) -> None:
    endpoint.script(vllm(TEXT))
    assert exact(chat(endpoint)(tokens=True, version="4")).version == "4"
    endpoint.script(sglang_meta_info(TEXT))
    assert exact(chat(endpoint)(tokens=True, version="4")).version == "17"


def test_routed_experts_stand_with_the_tokens(endpoint: Endpoint) -> None:
    said = vllm(TEXT)
    said["choices"][0]["routed_experts"] = "AAEC"
    endpoint.script(said)
    assert exact(chat(endpoint)(tokens=True)).routed_experts == "AAEC"


def test_entries_of_logprobs_stay_where_they_are_asked_for_as_well(endpoint: Endpoint) -> None:
    endpoint.script(vllm(TEXT))
    found = chat(endpoint)(tokens=True, logprobs=True)
    assert found.output[0]["content"][0]["logprobs"] == ENTRIES


def test_without_the_option_nothing_is_asked_for_or_taken(endpoint: Endpoint) -> None:
    endpoint.script(Reply(vllm(TEXT)))
    found = chat(endpoint)()
    assert found.tokens is None
    assert endpoint.sent.keys() == {"model", "messages"}


def test_openai_says_no_tokens() -> None:
    with pytest.raises(UsageError, match="no token ids"):
        OpenAIModel(OpenAIOptions.model_validate({"tokens": True}))
