"""The model backend `openai`."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote

from gym_core import (
    CallContext,
    ComponentContext,
    ModelBackend,
    ModelError,
    Request,
    Response,
    Tokens,
    UsageError,
    encode_json,
    errors,
)
from gym_http1 import MEGABYTE
from gym_openai_model import llama_cpp
from gym_openai_model.addresses import file_of, follow, read_addresses
from gym_openai_model.capture import asking
from gym_openai_model.dialects import BrokenReply, Dialect, make_dialect
from gym_openai_model.endpoint import Endpoint
from gym_openai_model.events import BrokenStream, assembled, is_stream
from gym_openai_model.identity import KEY_VARIABLE, identify, session_headers
from gym_openai_model.options import OpenAIOptions
from gym_openai_model.preflight import (
    Listing,
    default_model,
    list_models,
    only_model,
    those_offered,
    transport_failure,
    unlisted,
)
from gym_openai_model.replies import error_inside, error_status, looks_like_html
from gym_openai_model.transports import (
    HttpReply,
    Transport,
    TransportConfig,
    TransportError,
    TransportUnavailable,
    open_transport,
)
from gym_openai_model.transports.base import PreparedHeaders, public_url

_SESSIONS_KEPT = 1 << 14
_NO_TOKENS = (
    "vLLM, SGLang, Dynamo and NeMo's servers say them in -M api=chat, a llama.cpp server wants "
    "-M token_server=llama.cpp besides. Without -M tokens=true the run goes on without them"
)

_OTHER_WORDS = (
    "it refuses the words that ask for tokens: -M token_server=nemo for NeMo's servers, which say them unasked, "
    "-M token_server=vllm, sglang or dynamo for those words alone"
)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a call goes. `url`: whole, credentials and query included."""

    base_url: str
    url: str
    endpoint: Endpoint


class OpenAIModel(ModelBackend[OpenAIOptions]):
    """OpenAI and OpenAI-compatible endpoints, through the Responses or the Chat Completions API.

    `openai:gpt-4.1` selects a model. The key comes from OPENAI_API_KEY, `.env` or a file; `base_url` leads to any
    compatible server (vLLM, llama.cpp, SGLang, Azure, a gateway).
    """

    def __init__(self, options: OpenAIOptions | None = None, context: ComponentContext | None = None) -> None:
        """Raises `UsageError` for a base URL, a file of them or a key file that cannot be used."""
        super().__init__(options, context)
        self._name = self.context.name or "openai"
        self._file = file_of(self.options.base_url)
        self._endpoints = read_addresses(self.options.base_url, self.options.extra_query)
        self._endpoint = self._endpoints[0]
        self._single = self._file is None and len(self._endpoints) == 1
        self._says_tokens = False
        wants_tokens = self.options.tokens or self.options.send_token_ids
        if wants_tokens and (self._endpoint.is_openai or self._endpoint.is_azure):
            raise UsageError(f"{self._endpoint.base_url} says no token ids, so there is nothing to train on")
        words = asking(self.options.token_server, chat=self.options.api == "chat") if wants_tokens else ()
        self._asked_tokens = frozenset(words)
        self._asks_prompts = wants_tokens and self.options.token_server == "llama.cpp"
        if self._asks_prompts and self.options.api == "responses":
            raise UsageError("llama.cpp says its tokens in chat alone", hint="leave -M api=responses out")
        self._identity = identify(self.options, self._endpoint, self._name)
        self._config = TransportConfig(
            connect_timeout=self.options.connect_timeout,
            request_timeout=self.options.request_timeout,
            ca_file=str(self.options.ca_file.expanduser()) if self.options.ca_file else None,
            max_reply=int(self.options.max_reply_mb * MEGABYTE),
        )
        self._model = self.options.model or default_model(self._endpoint)
        self._listings: dict[str, Listing | ModelError] = {}
        self._offered = ""
        self._transport: Transport | None = None
        self._following: asyncio.Task[None] | None = None
        self._session_names = session_headers(self.options, self._endpoint)
        self._sessions: dict[tuple[str, int], PreparedHeaders] = {}
        self._use_model(self._model)

    def _use_model(self, model: str) -> None:
        self._model = model
        self._dialect: Dialect = make_dialect(self.options, self._endpoint, model)
        self._use_endpoints(self._endpoints)

    def _use_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        found = [_Target(endpoint.base_url, endpoint.url(self._dialect.path), endpoint) for endpoint in endpoints]
        self._target = found[0] if self._single else None
        # One that has left the list may still be asked by a call that was on its way there.
        self._targets: dict[str, _Target] = {target.base_url: target for target in found}
        self._names = () if self._single else tuple(self._targets)

    async def __aenter__(self) -> Self:
        """Open the client, and find out the model where none was named.

        Raises `AuthenticationError` where a key is needed and there is none, `UsageError` where it is not clear which
        model is meant or the transport cannot be used, and what `list_models` raises.
        """
        self._require_key()
        try:
            if not self._model:
                self._use_model(await self._only_model())
            self._transport = open_transport(self.options.transport, self._config, self._identity.headers)
        except TransportUnavailable as error:
            raise UsageError(str(error)) from None
        if self._file is not None:
            looking = follow(self._file, self.options.extra_query, self._endpoints, self._use_endpoints)
            self._following = asyncio.create_task(looking)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._following is not None:
            following, self._following = self._following, None
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.aclose()

    @property
    def model_id(self) -> str:
        """The model's name; empty until the endpoint was asked, where none was named."""
        return self._model

    @property
    def endpoint(self) -> str:
        """The base URL, without credentials; of several the first."""
        return self._endpoint.base_url

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The base URLs where there are several, or a file of them; without credentials."""
        return self._names

    @property
    def max_inflight(self) -> int | None:
        """As the user set it, for each endpoint."""
        return self.options.max_inflight

    @property
    def max_retries(self) -> int | None:
        """Attempts after the first per call, as the user set it; None leaves it to the engine's policy."""
        return self.options.max_retries

    @property
    def sampling(self) -> Mapping[str, Any]:
        """What its options set in every request."""
        effort = self.options.reasoning_effort
        reasoning = {"reasoning": {"effort": effort}} if effort is not None else {}
        return {**super().sampling, **reasoning, **self.options.extra_body}

    @property
    def sends_seed(self) -> bool:
        """Whether the rollout's seed is sent: in the chat dialect. OpenAI's Responses API has no field for it."""
        return self._dialect.sends_seed and self.options.seed is None

    @property
    def secrets(self) -> Sequence[str]:
        """The values that must appear in no output, among them a key that was read from a file."""
        return self._identity.secrets

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One model call.

        Raises a subclass of `ModelError`: `BadRequestError` before anything is sent for what the dialect cannot say.
        """
        transport = self._transport
        if transport is None:
            raise RuntimeError("the backend is not open: use `async with`")
        target = self._target or self._aimed(context)
        try:
            body = self._dialect.encode(request, context.seed)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise errors.BadRequestError(
                f"the request cannot be sent to {public_url(target.url)}: {error}", hint=self._mend(error)
            ) from error
        try:
            if self._session_names and context.key[0]:
                headers = self._sessions.get(context.key) or self._session(context.key)
                reply = await transport.post(target.url, body, headers)
            else:
                reply = await transport.post(target.url, body)
        except TransportError as error:
            raise transport_failure(error, target.base_url) from None
        if not 200 <= reply.status < 300:
            raise self._refused(target, reply, reply.status, reply.body)
        try:
            response = self._dialect.decode(reply.body)
        except BrokenReply as broken:
            response = self._streamed(target, reply, broken)
        if response.unfinished:
            raise self._unfinished(target, reply, response)
        if response.tokens is not None:
            if self._asks_prompts and not response.tokens.problem:
                response.tokens = await self._with_prompt(transport, target, body, response)
            self._look_at(response.tokens, response, target)
        return response

    async def _with_prompt(self, transport: Transport, target: _Target, body: bytes, response: Response) -> Tokens:
        """The tokens of a llama.cpp server's response, with those of its prompt."""
        tokens = response.tokens
        assert tokens is not None
        try:
            tokens = replace(tokens, prompt=await llama_cpp.prompt_ids(transport, target.endpoint, body))
            self._says_tokens = True
            problem = llama_cpp.missing(response, len(tokens.prompt), len(tokens.sampled))
            if isinstance(tokens, llama_cpp.PartTokens) and not problem:
                tokens.logprobs = await llama_cpp.logprobs_of(transport, target.endpoint, tokens)
        except TransportError as error:
            raise transport_failure(error, target.base_url) from None
        except llama_cpp.NotSaid as why:
            if why.reply is not None:
                asked = replace(target, url=target.endpoint.url(why.path, at_root=True))
                refused = self._refused(asked, why.reply, why.reply.status, why.reply.body)
                if refused.retryable:  # it is loading, or busy: that says nothing of its tokens
                    raise refused from None
            lacking = "log probabilities of all that was sampled" if tokens.prompt else "ids of the prompt"
            problem = f"no {lacking}: {why}"
        if problem:
            return Tokens(problem=problem)
        return Tokens(tokens.prompt, tokens.sampled, tokens.logprobs, tokens.version)

    def _look_at(self, tokens: Tokens, response: Response, target: _Target) -> None:
        """Raise where an endpoint that is asked for tokens has never said any: no later call would.

        Where one did before, this call's answer stands, and the record says what is wrong with its tokens. An answer
        that no model made says nothing of that: NeMo Gym's server makes up an empty one for a prompt that is too long.
        """
        if not tokens.problem:
            self._says_tokens = True
        elif not self._says_tokens and (response.body.get("usage") or response.output_text or response.function_calls):
            raise errors.EndpointError(
                f"{self._model} at {public_url(target.url)} does not say its tokens: {tokens.problem}", hint=_NO_TOKENS
            )

    def _aimed(self, context: CallContext) -> _Target:
        """Where a call goes: where the engine says, else wherever its rollout always goes."""
        wanted = context.endpoint
        if wanted is not None and wanted in self._targets:
            return self._targets[wanted]
        task_id, repeat = context.key
        number = zlib.crc32(f"{task_id}/{repeat}".encode("utf-8", "replace"))
        return self._targets[self._names[number % len(self._names)]]

    def _session(self, key: tuple[str, int]) -> PreparedHeaders:
        """The headers that name a rollout."""
        if len(self._sessions) >= _SESSIONS_KEPT:
            self._sessions.clear()
        task_id, repeat = key
        named = (
            task_id if task_id.isascii() and task_id.isalnum() else quote(task_id.encode("utf-8", "replace"), safe="")
        )
        headers = self._sessions[key] = PreparedHeaders(self._session_names, f"{named}/{repeat}")
        return headers

    def _refused(self, target: _Target, reply: HttpReply, status: int, body: bytes) -> ModelError:
        from gym_openai_model.errors import classify  # its patterns take longer to compile than a call takes

        identity = self._identity
        words = identity.scrub(body)
        error = classify(status, reply.headers, words, public_url(target.url), self._model, credential=identity.source)
        if self._offered and isinstance(error, errors.ModelNotFoundError):
            error.hint = f"the endpoint lists {self._offered}"
        if isinstance(error, errors.BadRequestError) and any(name in error.message for name in self._asked_tokens):
            return errors.EndpointError(error.message, hint=_OTHER_WORDS, status=status)  # as of every call
        return error

    def _streamed(self, target: _Target, reply: HttpReply, broken: BrokenReply) -> Response:
        """The response in a stream of events that nobody asked for. Raises what the reply means where it is none."""
        if not is_stream(reply.body):
            raise self._broken(target, reply, broken) from None
        try:
            return self._dialect.read(assembled(reply.body))
        except (BrokenReply, BrokenStream) as error:
            raise self._broken(target, reply, error) from None

    def _broken(self, target: _Target, reply: HttpReply, broken: BrokenReply | BrokenStream) -> ModelError:
        """The error for a reply of a good status that is no response."""
        if looks_like_html(reply.headers, reply.body):
            return self._refused(target, reply, reply.status, reply.body)
        error = error_inside(broken.body if isinstance(broken, BrokenStream) else reply.body)
        if error:
            return self._refused(target, reply, error_status(error), encode_json({"error": error}))
        other = "responses" if self._dialect.path != "/responses" else "chat"
        return errors.BrokenReplyError(
            f"{self._model} at {public_url(target.url)} sent a broken reply: {broken}",
            hint=f"if it persists, try -M api={other}",
            status=reply.status,
        )

    def _unfinished(self, target: _Target, reply: HttpReply, response: Response) -> ModelError:
        """The error for a response that says that it is none."""
        error = response.body.get("error")
        if error or str(response.body.get("status")).lower() == "failed":
            return self._refused(target, reply, error_status(error), encode_json({"error": error}))
        return errors.BrokenReplyError(
            f"{self._model} at {public_url(target.url)} sent a response that is not finished: {response.unfinished}",
            status=reply.status,
        )

    def _mend(self, error: Exception) -> str:
        if "reasoning" in str(error):
            return "leave it out with -M drop_reasoning=true"
        return "try -M api=responses" if self._dialect.path != "/responses" else ""

    async def check(self) -> Sequence[str]:
        """Ask every endpoint for its models once.

        Raises for a refused key or an address that is no endpoint, and where none of several can be reached; else
        warns.
        """
        self._require_key()
        warnings = []
        for endpoint, listing in (await self._list()).items():
            if isinstance(listing, ModelError):
                warnings.append(listing.message)
            elif listing.problem:
                warnings.append(listing.problem)
            elif self._model and unlisted(self._model, listing.models):
                warnings.append(f"{endpoint} does not list the model {self._model!r}")
                self._offered = those_offered(self._model, listing.models)
        if self._identity.source:
            bare = [at.base_url for at in self._endpoints if at.base_url.startswith("http://") and not at.is_private]
            warnings += [f"the key from {self._identity.source} goes unencrypted to {at}" for at in bare]
        if self.options.seed is not None and self._dialect.path == "/responses" and self._endpoint.is_openai:
            warnings.append("OpenAI's Responses API takes no seed: it is not sent (-M api=chat sends it)")
        return warnings

    async def list_models(self) -> Sequence[str]:
        """The models that the endpoints list, each once. Raises `ModelError` where none does.

        Of several, those that do not are said in the log.
        """
        self._require_key()
        models: dict[str, None] = {}
        problems: list[ModelError] = []
        for listing in (await self._list()).values():
            if isinstance(listing, ModelError):
                problems.append(listing)
            elif listing.problem:
                problems.append(errors.EndpointError(listing.problem))
            else:
                models.update(dict.fromkeys(listing.models))
        if len(problems) == len(self._listings):
            raise problems[0]
        for problem in problems:
            self.context.logger.warning("%s", problem.message)
        return [*models]

    async def _only_model(self) -> str:
        """The model where none was named: the one that the endpoints that can be reached agree on."""
        listings = await self._list()
        found = {}
        for endpoint in self._endpoints:
            listing = listings[endpoint.base_url]
            if isinstance(listing, Listing):
                found[endpoint.base_url] = only_model(listing, endpoint, self._name)
        (first, model), *others = found.items()
        for other, served in others:
            if served != model:
                raise UsageError(
                    f"{first} serves {model} and {other} serves {served}: endpoints of one role serve the same model",
                    hint=f"name it: --model {self._name}:MODEL",
                )
        return model

    async def _list(self) -> Mapping[str, Listing | ModelError]:
        """What each endpoint lists, or why it cannot be reached. Raises what is an error whatever the others do."""
        if not self._listings:
            try:
                found = await asyncio.gather(*(self._listed(endpoint) for endpoint in self._endpoints))
            except TransportUnavailable as error:
                raise UsageError(str(error)) from None
            names = [endpoint.base_url for endpoint in self._endpoints]
            failures = [listing for listing in found if isinstance(listing, ModelError)]
            if len(failures) == len(found):
                raise failures[0]
            self._listings = dict(zip(names, found, strict=True))
        return self._listings

    async def _listed(self, endpoint: Endpoint) -> Listing | ModelError:
        try:
            return await list_models(endpoint, self._identity, self._config, self.options.transport)
        except ModelError as error:
            if error.unsent:
                return error
            raise

    def _require_key(self) -> None:
        if self._endpoint.is_openai and not self._identity.source:
            raise errors.AuthenticationError(
                f"{self.endpoint} needs a key and {KEY_VARIABLE} is not set",
                hint=f"export {KEY_VARIABLE}=... or write it into .env; keys are made at platform.openai.com/api-keys",
            )
