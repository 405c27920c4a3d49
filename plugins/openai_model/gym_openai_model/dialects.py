"""The two dialects: how a request becomes bytes, and how the bytes of a reply become a response.

This is the hot path: everything that does not change from call to call is prepared once, and nothing is validated
beyond what the engine relies on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gym_chat import chat_request, response_from_completion
from gym_core import JsonError, Request, Response, Tokens, encode_json, parse_json
from gym_core.spi import TOKEN_FIELDS
from gym_openai_model.capture import UnevenTokens, asking, take_from_completion, take_from_response
from gym_openai_model.llama_cpp import UNTOUCHED, take_verbose, whole

if TYPE_CHECKING:
    from gym_openai_model.endpoint import Endpoint
    from gym_openai_model.options import OpenAIOptions

_LOGPROBS = "message.output_text.logprobs"
_NULL = b":null"
_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")
_NOTHING: frozenset[str] = frozenset()
_REASONING = frozenset({"reasoning"})
_ITEMS = frozenset({dict})


class BrokenReply(Exception):
    """The bytes are no reply of this dialect. `body`: the object they hold, if they hold one."""

    def __init__(self, reason: str, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.body = body


class Dialect(ABC):
    """One way to talk to an endpoint. `path`: below the base URL. `sends_seed`: whether a rollout's seed is sent."""

    path: ClassVar[str]
    sends_seed = False

    def __init__(self, options: OpenAIOptions, model: str) -> None:
        self._over = _sampling(options, model)
        self._effort = options.reasoning_effort
        self._capture = _Capture(options)
        self._logprobs = options.logprobs or options.top_logprobs is not None or self._capture.asks
        self._drop = _REASONING if options.drop_reasoning else _NOTHING
        asked = asking(self._capture.server, chat=isinstance(self, ChatDialect)) if self._capture.takes else {}
        self._extra = {**asked, **options.extra_body}

    @abstractmethod
    def encode(self, request: Request, seed: int | None) -> bytes:
        """The body of a request. Raises `ValueError` for a request that the dialect cannot say."""

    @abstractmethod
    def read(self, body: dict[str, Any]) -> Response:
        """The response that the object in a body is. Raises `BrokenReply`."""

    def decode(self, data: bytes) -> Response:
        """The response in the body of a reply. Raises `BrokenReply`."""
        return self.read(_object(data))

    def _merged(self, request: Request) -> dict[str, Any]:
        """The request in the words of the Responses API, with what the options set."""
        body = {**request.body, **self._over}
        if "stream" in body:
            del body["stream"]  # one reply is read whole
            body.pop("stream_options", None)
        if self._effort is not None:
            body["reasoning"] = {**(body.get("reasoning") or {}), "effort": self._effort}
        if self._logprobs and _LOGPROBS not in (body.get("include") or ()):
            body["include"] = [*(body.get("include") or ()), _LOGPROBS]
        return body


def make_dialect(options: OpenAIOptions, endpoint: Endpoint, model: str) -> Dialect:
    """The dialect that the options choose, or that suits the endpoint's host."""
    name = endpoint.dialect if options.api == "auto" else options.api
    if name == "responses":
        return ResponsesDialect(options, endpoint, model)
    return ChatDialect(options, endpoint, model)


def _sampling(options: OpenAIOptions, model: str) -> dict[str, Any]:
    """The fields that the options set, in the words of the Responses API."""
    fields = {
        "model": model,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "max_output_tokens": options.max_output_tokens,
        "top_logprobs": options.top_logprobs,
    }
    return {name: value for name, value in fields.items() if value is not None}


class _Capture:
    """What a dialect does where tokens are asked for.

    `takes`: whether replies are looked through. `sends`: whether items carry tokens, there and back. `apart`: whether
    the ids of the prompt are asked for apart from it, see `llama_cpp`.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self.sends = options.send_token_ids
        self.takes = options.tokens or self.sends
        self.version = options.version
        self.asks = self.takes and options.token_server != "nemo"
        self.server = options.token_server
        self.apart = self.takes and self.server == "llama.cpp"
        self.keeps = options.logprobs or options.top_logprobs is not None

    def taken(self, take: Callable[..., Tokens], body: dict[str, Any]) -> Tokens | str:
        """The tokens of a reply, which are taken out of its body; or why they are none."""
        try:
            tokens = take(body, keep_logprobs=self.keeps)
        except UnevenTokens as error:
            return str(error)
        if tokens.version is None:
            tokens.version = self.version
        return tokens

    def put(self, response: Response, tokens: Tokens | str) -> Response:
        """The response with its tokens. Raises `BrokenReply` for an answer with broken ones."""
        if response.unfinished:
            return response
        if isinstance(tokens, str):
            raise BrokenReply(f"it has {tokens}", response.body)
        response.tokens = tokens
        if self.sends:
            response.body["output"] = tokens.on_items(response.output)
        return response


def _on_message(item: dict[str, Any]) -> dict[str, Any]:
    """An item whose tokens go onto the chat message that it becomes part of."""
    if not any(name in item for name in TOKEN_FIELDS):
        return item
    tokens = {name: item[name] for name in TOKEN_FIELDS if name in item}
    return {**item, "chat_message": {**(item.get("chat_message") or {}), **tokens}}


class ResponsesDialect(Dialect):
    """`POST /responses`: the body and its items go as they are."""

    path = "/responses"

    def __init__(self, options: OpenAIOptions, endpoint: Endpoint, model: str) -> None:
        super().__init__(options, model)
        if options.seed is not None and not (endpoint.is_openai or endpoint.is_azure_openai):
            self._over["seed"] = options.seed

    def encode(self, request: Request, seed: int | None) -> bytes:
        """See `Dialect.encode`; `seed` has no place here."""
        body = self._merged(request)
        if self._drop and isinstance(body.get("input"), list):
            body["input"] = [item for item in body["input"] if item.get("type") not in self._drop]
        if self._extra:
            body.update(self._extra)
        if not body.get("tools"):  # servers refuse an empty list, and what speaks of tools where there are none
            for name in _TOOL_FIELDS:
                body.pop(name, None)
        data = encode_json(body)
        if _NULL in data and isinstance(body.get("input"), list):  # looking through the items costs more than this
            body["input"] = [without_nulls(item) for item in body["input"]]
            data = encode_json(body)
        return data

    def read(self, body: dict[str, Any]) -> Response:
        """See `Dialect.read`."""
        output = body.get("output")
        if type(output) is not list or not _ITEMS.issuperset(map(type, output)):
            hint = "; it looks like Chat Completions" if "choices" in body else ""
            raise BrokenReply(f"it has no list of output items{hint}", body)
        if self._capture.takes:
            tokens = self._capture.taken(take_from_response, body)
            return self._capture.put(Response(body), tokens)
        return Response(body)


class ChatDialect(Dialect):
    """`POST /chat/completions`: bodies and replies are converted, see `gym_chat`."""

    path = "/chat/completions"

    def __init__(self, options: OpenAIOptions, endpoint: Endpoint, model: str) -> None:
        super().__init__(options, model)
        self._under = UNTOUCHED if self._capture.apart else None
        chosen = options.max_tokens_field
        self._max_tokens_field = endpoint.max_tokens_field if chosen == "auto" else chosen
        self._tool_media = endpoint.tool_media if options.tool_media == "auto" else options.tool_media
        self._seed_field = endpoint.seed_field
        self._mixes_strict = endpoint.mixes_strict
        self._seed = options.seed
        self.sends_seed = options.send_seed

    def encode(self, request: Request, seed: int | None) -> bytes:
        """See `Dialect.encode`."""
        merged = self._merged(request)
        if self._capture.sends and isinstance(merged.get("input"), list):
            merged["input"] = [_on_message(item) for item in merged["input"]]
        body = chat_request(
            merged,
            max_tokens_field=self._max_tokens_field,
            drop=self._drop,
            tool_media=self._tool_media,
        )
        if not self._mixes_strict and "tools" in body:
            body["tools"] = _evenly_strict(body["tools"])
        own = body.pop("seed", None)
        chosen = self._seed if self._seed is not None else own
        if chosen is None and self.sends_seed:
            chosen = seed
        if chosen is not None:
            body[self._seed_field] = chosen
        if self._under:
            body = {**self._under, **body}
        if self._extra:
            body.update(self._extra)
        return encode_json(body)

    def read(self, body: dict[str, Any]) -> Response:
        """See `Dialect.read`."""
        if type(body.get("choices")) is not list:
            hint = "; it looks like the Responses API" if type(body.get("output")) is list else ""
            raise BrokenReply(f"it has no list of choices{hint}", body)
        verbose: Mapping[str, Any] = {}
        if self._capture.apart:
            body.setdefault("prompt_token_ids", [])
            verbose = take_verbose(body)
        tokens = self._capture.taken(take_from_completion, body) if self._capture.takes else None
        if verbose and isinstance(tokens, Tokens):
            tokens = whole(tokens, verbose, body)
        try:
            response = Response(response_from_completion(body))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise BrokenReply(f"it is no chat completion ({error})", body) from error
        return response if tokens is None else self._capture.put(response, tokens)


def _evenly_strict(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chat tools of which all or none are strict."""
    if all((tool.get("function") or {}).get("strict") for tool in tools):
        return tools
    return [
        {**tool, "function": {**tool["function"], "strict": False}} if "function" in tool else tool for tool in tools
    ]


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = parse_json(data)
    except JsonError as error:
        raise BrokenReply(str(error)) from None
    if type(body) is not dict:
        raise BrokenReply("it is no JSON object")
    return body


def without_nulls(item: dict[str, Any]) -> dict[str, Any]:
    """An item without its null fields and those of its parts; the item itself where it has none."""
    if None in item.values():
        item = {name: value for name, value in item.items() if value is not None}
    for field in ("content", "summary", "output"):
        parts = item.get(field)
        if type(parts) is list:
            cleaned = [_part_without_nulls(part) for part in parts]
            if any(new is not old for new, old in zip(cleaned, parts, strict=True)):
                item = {**item, field: cleaned}
    return item


def _part_without_nulls(part: Any) -> Any:
    if type(part) is dict and None in part.values():
        return {name: value for name, value in part.items() if value is not None}
    return part
