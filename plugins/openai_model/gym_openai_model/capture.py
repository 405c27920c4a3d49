"""Where servers put the tokens of a call, and in which words they are asked for them.

vLLM, chat: asked by `return_token_ids` and `logprobs`; top level `prompt_token_ids`, choice `token_ids`,
`logprobs.content`.
vLLM, responses: asked by `enable_response_messages` and `include`; `input_messages[].tokens`,
`output_messages[].tokens`, and log probabilities in texts alone; an aborted answer is `completed` there.
SGLang: asked by `return_token_ids` and `return_prompt_token_ids`, choice `prompt_token_ids` and `token_ids`; by
`return_meta_info`, choice `meta_info.output_token_logprobs` and `.weight_version`; or `sglext.input_ids` and
`.output_ids`.
Dynamo: asked by `nvext.extra_fields`; `nvext.engine_data`.
NeMo's servers: unasked; the three fields of `TOKEN_FIELDS` on the chat message, or on the last item.
llama.cpp: asked by `logprobs` and `post_sampling_probs`; ids in the entries of `logprobs.content`, `prob` in place of
`logprob`; those of the prompt, and what the entries leave out, where `llama_cpp` asks for them.

All of it is taken out of the body: what a call read and wrote has one home.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from itertools import chain
from math import log
from typing import Any, Literal, TypeAlias

from gym_core import Tokens
from gym_openai_model import llama_cpp

TokenServer: TypeAlias = Literal["auto", "vllm", "sglang", "dynamo", "nemo", "llama.cpp"]

_PROMPT = ("prompt_token_ids", "input_ids", "prompt_ids")
_SAMPLED = ("token_ids", "generation_token_ids", "output_ids", "completion_token_ids", "output_token_ids")
_LOGPROBS = ("generation_log_probs", "completion_logprobs", "completion_log_probs", "output_log_probs")
_EXPERTS = ("routed_experts",)
_VERSION = ("weight_version",)
_VLLM = {"return_token_ids": True}
_SGLANG = {"return_token_ids": True, "return_prompt_token_ids": True, "return_meta_info": True}
_DYNAMO = {"nvext": {"extra_fields": ["engine_data"]}}
_CHAT: Mapping[TokenServer, Mapping[str, Any]] = {
    "auto": {**_VLLM, **_SGLANG, **_DYNAMO},
    "vllm": _VLLM,
    "sglang": _SGLANG,
    "dynamo": _DYNAMO,
    "nemo": {},
    "llama.cpp": llama_cpp.ASKED,
}
_RESPONSES: Mapping[TokenServer, Mapping[str, Any]] = {
    "auto": {"enable_response_messages": True},
    "vllm": {"enable_response_messages": True},
    "sglang": _SGLANG,
    "dynamo": _DYNAMO,
    "nemo": {},
    "llama.cpp": {},
}


class UnevenTokens(Exception):
    """Ids and log probabilities that do not belong together."""


def asking(server: TokenServer, *, chat: bool) -> Mapping[str, Any]:
    """The fields of a request that ask for tokens, besides those for log probabilities."""
    return (_CHAT if chat else _RESPONSES)[server]


def take_from_completion(body: dict[str, Any], *, keep_logprobs: bool = False) -> Tokens:
    """Take the tokens of the first choice out of a chat completion; `problem` says what is not there.

    Raises `UnevenTokens`. `keep_logprobs`: leave the entries of `logprobs` where they are.
    """
    choices = body.get("choices")
    choice: dict[str, Any] = (
        choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    )
    message = choice.get("message")
    found = _Found((choice, message, body, *_extensions(choice), *_extensions(body)))
    logprobs: Any = choice.get("logprobs")
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    if entries and isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        found.entries(entries)
        if not keep_logprobs:
            del logprobs["content"]
            if not any(logprobs.values()):
                del choice["logprobs"]
    return found.tokens(
        "chat: prompt_token_ids (top level, choice, message), sglext.input_ids, nvext.engine_data",
        "token_ids (choice), generation_token_ids (message), meta_info.output_token_logprobs, sglext.output_ids, "
        "nvext.engine_data, ids in the entries of logprobs",
    )


def take_from_response(body: dict[str, Any], *, keep_logprobs: bool = False) -> Tokens:
    """The same for a body of the Responses API."""
    output = body.get("output")
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    found = _Found((*reversed(items), body, *_extensions(body)))
    asked = "output_messages" in body
    read, wrote = _messages(body, "input_messages"), _messages(body, "output_messages")
    if found.prompt is None:
        found.prompt = read
    if found.sampled is None:
        found.sampled = wrote
    parts = [part for item in items for part in _parts(item) if part.get("logprobs")]
    if found.logprobs is None and parts:
        found.entries([entry for part in parts for entry in part["logprobs"] if isinstance(entry, dict)])
    if asked and body.get("status") == "completed" and (_is_broken_off(parts[-1]) if parts else not (wrote or items)):
        body |= {"status": "incomplete", "incomplete_details": {"reason": "abort"}}
    for part in parts:
        if not keep_logprobs:
            del part["logprobs"]
    if wrote and any(item.get("type") != "message" for item in items) and len(found.logprobs or ()) < len(wrote):
        return Tokens(problem="the server says log probabilities of texts alone; ask it with -M api=chat")
    return found.tokens(
        "responses: prompt_token_ids (top level, last item), input_messages[].tokens",
        "generation_token_ids (top level, last item), output_messages[].tokens",
    )


class _Found:
    """What was found at the places where tokens stand; looking takes it away from there."""

    def __init__(self, places: Iterable[Any]) -> None:
        here = [place for place in places if isinstance(place, dict)]
        self.prompt = _flat(_taken(here, _PROMPT))
        self.sampled = _flat(_taken(here, _SAMPLED))
        self.logprobs = _flat(_taken(here, _LOGPROBS))
        self.experts = _taken(here, _EXPERTS)
        self.version = _taken(here, _VERSION)
        wrote, read = _taken(here, ("output_token_logprobs",)), _taken(here, ("input_token_logprobs",))
        if _are_triples(wrote):  # [log probability, id, text]
            self.sampled = [entry[1] for entry in wrote]
            self.logprobs = [entry[0] for entry in wrote]
        if self.prompt is None and _are_triples(read):
            self.prompt = [entry[1] for entry in read]

    def entries(self, entries: list[dict[str, Any]]) -> None:
        """Take what nothing else has said from the entries of `logprobs`."""
        if self.logprobs is None:
            self.logprobs = [entry.get("logprob") for entry in entries] if "prob" not in entries[0] else _logs(entries)
        if self.sampled is None:
            self.sampled = _ids_of(entries)

    def tokens(self, prompt: str, sampled: str) -> Tokens:
        lacking = [
            f"{name} (looked for: {places})"
            for name, value, places in (
                ("ids of the prompt", self.prompt, prompt),
                ("ids of what was sampled", self.sampled, sampled),
                ("log probabilities", self.logprobs, "logprobs, generation_log_probs, meta_info, nvext.engine_data"),
            )
            if value is None and not (value is self.logprobs and self.sampled == [])
        ]
        if lacking:
            return Tokens(problem=f"the reply has no {', no '.join(lacking)}")
        ids, logprobs = self.sampled or [], self.logprobs or []
        if len(ids) != len(logprobs):
            raise UnevenTokens(f"{len(ids)} sampled ids and {len(logprobs)} log probabilities")
        try:
            array("q", ids), array("d", logprobs)  # in C: that they are numbers
        except (TypeError, OverflowError):
            raise UnevenTokens("sampled ids or log probabilities that are no numbers") from None
        version = str(self.version) if self.version is not None else None
        return Tokens(self.prompt or [], ids, logprobs, version, self.experts)


def _extensions(place: Mapping[str, Any]) -> Iterable[Any]:
    yield place.get("meta_info")
    yield place.get("sglext")
    nvext = place.get("nvext")
    yield nvext
    if isinstance(nvext, dict):
        yield nvext.get("engine_data")


def _taken(places: Iterable[dict[str, Any]], names: Iterable[str]) -> Any:
    """The first value under any of the names; all of them are taken away."""
    found = None
    for place in places:
        for name in names:
            if name in place:
                value = place.pop(name)
                if found is None:
                    found = value
    return found


def _flat(value: Any) -> Any:
    """A list of ids; servers that answer several choices wrap it into a list of lists."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return value[0]
    return value if isinstance(value, list) else None


def _are_triples(value: Any) -> bool:
    return (
        bool(value) and isinstance(value, list) and all(isinstance(entry, list) and len(entry) > 1 for entry in value)
    )


def _ids_of(entries: list[dict[str, Any]]) -> list[int] | None:
    """The ids in the entries of `logprobs`, where a server puts them there, one into each."""
    try:
        if isinstance(entries[0].get("id"), int):
            return [entry["id"] for entry in entries]
        if str(entries[0].get("token", "")).startswith("token_id:"):
            return [int(entry["token"].removeprefix("token_id:")) for entry in entries]
    except (KeyError, ValueError, AttributeError):
        pass
    return None


def _logs(entries: list[dict[str, Any]]) -> list[float]:
    """Log probabilities, where a server says probabilities."""
    try:
        return [log(entry["prob"]) for entry in entries]
    except (KeyError, TypeError, ValueError):
        raise UnevenTokens("probabilities that are none") from None


def _is_broken_off(part: Mapping[str, Any]) -> bool:
    """Whether a text is all that was sampled for it, so that nothing ended it: no stop token, no stop word."""
    try:
        text, entries = part["text"].encode(), part["logprobs"]
        whole: bool = text.endswith(bytes(entries[-1]["bytes"]))
        return whole and sum(len(entry["bytes"]) for entry in entries) <= len(text)
    except (LookupError, TypeError, ValueError, AttributeError):
        return False


def _parts(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _messages(body: dict[str, Any], name: str) -> list[Any] | None:
    """The tokens of the raw messages that vLLM's Responses API can show; None where it shows none."""
    messages = body.pop(name, None)
    found = [message.get("tokens") for message in messages or () if isinstance(message, dict)]
    lists = [tokens for tokens in found if isinstance(tokens, list)]
    return [*chain.from_iterable(lists)] if found and len(lists) == len(found) else None
