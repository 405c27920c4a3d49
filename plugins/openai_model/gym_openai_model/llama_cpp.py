"""What llama.cpp's server is asked besides where tokens are wanted: its completions say no ids of the prompt.

`/apply-template` writes a conversation as a completion would, and `/tokenize` encodes that text as a completion would;
that they did is checked by the counts of the completion's usage. Log probabilities are those of the distribution that
was sampled from, after temperature and whatever else shapes it (`post_sampling_probs`). The server says nothing of
tokens that hold a part of a character, and of those that it cut off at a stop word: the tokens of such an answer are
unusable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gym_core import JsonError, Response, encode_json, parse_json

if TYPE_CHECKING:
    from gym_openai_model.endpoint import Endpoint
    from gym_openai_model.transports import HttpReply, Transport

UNTOUCHED: Mapping[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "top_logprobs": 1}
"""What stands in a request that says nothing else: by default the server cuts the distribution off by all three."""


class NotSaid(Exception):
    """The server does not say the ids of a prompt; the message says why. `path`, `reply`: of a refusal."""

    def __init__(self, why: str, path: str = "", reply: HttpReply | None = None) -> None:
        super().__init__(why)
        self.path = path
        self.reply = reply


async def prompt_ids(transport: Transport, endpoint: Endpoint, body: bytes) -> list[int]:
    """The ids of the prompt that a chat request becomes.

    Raises `NotSaid`, and `TransportError` where no reply arrives.
    """
    prompt = await _asked(transport, endpoint, "/apply-template", body, "prompt")
    encoded = encode_json({"content": prompt, "add_special": True, "parse_special": True})
    ids = await _asked(transport, endpoint, "/tokenize", encoded, "tokens")
    if not (isinstance(ids, list) and all(type(number) is int for number in ids)):
        raise NotSaid("/tokenize answers with something else than ids")
    return ids


def missing(response: Response, prompt: list[int], sampled: int) -> str:
    """Why tokens are not those of the completion; empty where counts agree with its usage."""
    usage = response.usage
    if usage.input_tokens != len(prompt):
        return f"the prompt has {len(prompt)} ids by /tokenize, and {usage.input_tokens} by the usage of the completion"
    if usage.output_tokens != sampled:
        return (
            f"the server says {sampled} of {usage.output_tokens} sampled tokens: it leaves out those that hold a part "
            "of a character, and stop words"
        )
    return ""


async def _asked(transport: Transport, endpoint: Endpoint, path: str, body: bytes, field: str) -> Any:
    reply = await transport.post(endpoint.url(path, at_root=True), body)
    if not 200 <= reply.status < 300:
        raise NotSaid(f"{path} answers with HTTP {reply.status}", path, reply)
    try:
        value = parse_json(reply.body)
    except JsonError:
        value = None
    found = value.get(field) if isinstance(value, Mapping) else None
    if found is None:
        raise NotSaid(f"{path} answers without {field!r}")
    return found
