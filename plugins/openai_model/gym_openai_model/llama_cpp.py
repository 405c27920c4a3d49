"""What llama.cpp's server is asked besides where tokens are wanted: its completions say no ids of the prompt.

`/apply-template` writes a conversation as a completion would, and `/tokenize` encodes that text as a completion would;
that they did is checked by the counts of the completion's usage. Log probabilities are those of the distribution that
was sampled from, after temperature and whatever else shapes it (`post_sampling_probs`).

Of a character that takes several tokens the entries of `logprobs` have the last token alone, and of a stop word that
was cut off none. The ids of all stand under `__verbose`, where `verbose` and `return_tokens` ask for them. How likely a
token is that the entries leave out, `/completion` is asked, after those very ids: it says the model's own probabilities
there, so tokens stay unusable where more than a temperature and a bias shaped what was sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, inf, isnan, log, nan
from typing import TYPE_CHECKING, Any

from gym_core import JsonError, Response, Tokens, encode_json, parse_json

if TYPE_CHECKING:
    from gym_openai_model.endpoint import Endpoint
    from gym_openai_model.transports import HttpReply, Transport

ASKED: Mapping[str, Any] = {"post_sampling_probs": True, "return_tokens": True, "verbose": True}
"""What asks for tokens in a request."""
UNTOUCHED: Mapping[str, Any] = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "top_logprobs": 1}
"""What stands in a request that says nothing else: by default the server cuts the distribution off by all three."""
_OFF: Mapping[str, tuple[float, float]] = {
    "top_k": (-inf, 0), "top_p": (1, inf), "min_p": (-inf, 0), "typical_p": (1, inf), "top_n_sigma": (-inf, 0),
    "xtc_probability": (-inf, 0), "repeat_penalty": (1, 1), "presence_penalty": (0, 0), "frequency_penalty": (0, 0),
    "dry_multiplier": (0, 0), "mirostat": (0, 0), "dynatemp_range": (-inf, 0), "adaptive_target": (-inf, -1e-9),
}  # fmt: skip
"""What else than a temperature shapes a distribution, and from where to where it does not."""
_LIKELY, _ALL = 256, 1 << 20
"""How many tokens the server is asked to name: a sampled one is mostly among the first few."""
_MOST_OF_ALL = 8
"""For so many tokens of an answer it is asked to name all: that is a reply of megabytes, and a sort on its side."""


@dataclass(slots=True)
class PartTokens(Tokens):
    """Tokens of which some log probabilities are not known yet: they are NaN.

    `temperature`: that of the sampling, `bias`: what was added to the logits of which ids.
    """

    temperature: float = 1.0
    bias: Mapping[int, float] = field(default_factory=dict)


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


def missing(response: Response, prompt: int, sampled: int) -> str:
    """Why so many tokens are not those of the completion; empty where counts agree with its usage."""
    usage = response.usage
    if usage.input_tokens != prompt:
        return f"the prompt has {prompt} ids by /tokenize, and {usage.input_tokens} by the usage of the completion"
    if usage.output_tokens != sampled:
        return (
            f"the server says {sampled} of {usage.output_tokens} sampled tokens: it leaves out those that hold a part "
            "of a character, and stop words, and what it can be asked for besides holds only where nothing but a "
            "temperature and a bias shape what is sampled"
        )
    return ""


def take_verbose(body: dict[str, Any]) -> Mapping[str, Any]:
    """Take what `verbose` adds out of a completion."""
    said = body.pop("__verbose", None)
    return said if isinstance(said, dict) else {}


def whole(tokens: Tokens, verbose: Mapping[str, Any], body: Mapping[str, Any]) -> Tokens:
    """All that was sampled for a completion, where the entries of `logprobs` in it are not all.

    `verbose`: what `take_verbose` took out of `body`. Tokens stay as they are where the rest cannot be known.
    """
    ids, entries = verbose.get("tokens"), tokens.sampled
    if not isinstance(ids, list) or len(ids) <= len(entries) or not all(type(number) is int for number in ids):
        return tokens
    found = _known(ids, entries, tokens.logprobs)
    shape = _shape(verbose.get("generation_settings"), body)
    if found is None or shape is None:
        return replace(tokens, problem="")  # it is one of this answer, and not of all that the server says
    temperature, bias = shape
    if temperature <= 0:  # what is likeliest is certain
        return replace(tokens, sampled=ids, logprobs=[0.0] * len(ids), problem="")
    return PartTokens(tokens.prompt, ids, found, tokens.version, temperature=temperature, bias=bias)


def _shape(settings: Any, body: Mapping[str, Any]) -> tuple[float, dict[int, float]] | None:
    """The temperature and the bias at which a completion was sampled, None where more than that shaped it."""
    if not isinstance(settings, dict):
        return None
    try:
        if any(not low <= settings.get(name, low) <= high for name, (low, high) in _OFF.items()):
            return None
        # a lazy grammar binds from where a tool call begins
        if settings.get("grammar") and (not settings.get("grammar_lazy") or _calls_tools(body)):
            return None
        bias = {entry["token"]: float(entry["bias"]) for entry in settings.get("logit_bias") or ()}
        return float(settings["temperature"]), bias
    except (LookupError, TypeError, ValueError):
        return None


def _calls_tools(body: Mapping[str, Any]) -> bool:
    return any((choice.get("message") or {}).get("tool_calls") for choice in body["choices"])


def _known(ids: list[int], entries: Sequence[int], logprobs: Sequence[float]) -> list[float] | None:
    """For each of the sampled ids its log probability, NaN where the entries leave it out.

    Entries stand in the order of the ids. One that could belong to either of two equal ids belongs to neither here.
    None where the entries are no part of the ids.
    """
    first, last = _places(ids, entries), _places(ids[::-1], entries[::-1])
    if first is None or last is None:
        return None
    found = [nan] * len(ids)
    for place, other, logprob in zip(first, reversed(last), logprobs, strict=True):
        if place == len(ids) - 1 - other:
            found[place] = logprob
    return found


async def logprobs_of(transport: Transport, endpoint: Endpoint, tokens: PartTokens) -> Sequence[float]:
    """The log probabilities of sampled tokens; those that are not known are asked for, a short call for each.

    Raises `NotSaid`, and `TransportError` where no reply arrives.
    """
    found = [*tokens.logprobs]
    missing = [place for place, logprob in enumerate(found) if isnan(logprob)]
    plain = tokens.temperature == 1 and not tokens.bias
    if plain:  # else all are wanted, to be scaled
        for place in missing:
            said = await _likely(transport, endpoint, tokens, place, _LIKELY)
            found[place] = said.get(tokens.sampled[place], nan)
        missing = [place for place in missing if isnan(found[place])]
    if len(missing) > _MOST_OF_ALL:
        raise NotSaid(
            f"/completion would have to say the whole vocabulary for each of {len(missing)} tokens, megabytes each "
            f"time; it is asked to for {_MOST_OF_ALL} of an answer at most"
        )
    for place in missing:
        logits, wanted = await _likely(transport, endpoint, tokens, place, _ALL), tokens.sampled[place]
        if wanted not in logits:
            raise NotSaid(f"/completion does not say how likely the token {wanted} is")
        found[place] = logits[wanted] if plain else _scaled(logits, wanted, tokens.temperature, tokens.bias)
    return found


def _places(ids: Sequence[int], entries: Sequence[int]) -> list[int] | None:
    """The earliest places of entries among ids, in order; None where they are not all there."""
    places, at = [], -1
    try:
        for entry in entries:
            at = ids.index(entry, at + 1)
            places.append(at)
    except ValueError:
        return None
    return places


async def _likely(
    transport: Transport, endpoint: Endpoint, tokens: PartTokens, place: int, count: int
) -> Mapping[int, float]:
    """The log probabilities that the model gives the likeliest `count` tokens at a place among the sampled ones."""
    before = [*tokens.prompt, *tokens.sampled[:place]]
    # What is drawn here is of no interest, only that it is a whole character: of a part nothing would be said.
    asked = {"prompt": before, "n_predict": 1, "logit_bias": [["a", 1000]], "cache_prompt": True, "n_probs": count}
    said = await _asked(transport, endpoint, "/completion", encode_json(asked), "completion_probabilities")
    try:
        return {entry["id"]: float(entry["logprob"]) for entry in said[0]["top_logprobs"]}
    except (LookupError, TypeError, ValueError, OverflowError):
        raise NotSaid("/completion does not say how likely tokens are") from None


def _scaled(logits: Mapping[int, float], wanted: int, temperature: float, bias: Mapping[int, float]) -> float:
    """The log probability of a token under a bias and a temperature; `logits` are those of all tokens, up to a sum."""
    scaled = {number: (value + bias.get(number, 0.0)) / temperature for number, value in logits.items()}
    highest = max(scaled.values())
    return scaled[wanted] - highest - log(sum(exp(value - highest) for value in scaled.values()))


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
