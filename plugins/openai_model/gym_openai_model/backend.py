"""The model backend `openai`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from gym_core import (
    CallContext,
    ComponentContext,
    ModelBackend,
    ModelError,
    Request,
    Response,
    UsageError,
    encode_json,
    errors,
)
from gym_http1 import MEGABYTE
from gym_openai_model.dialects import BrokenReply, Dialect, make_dialect
from gym_openai_model.endpoint import parse_endpoint
from gym_openai_model.events import BrokenStream, assembled, is_stream
from gym_openai_model.identity import KEY_VARIABLE, identify
from gym_openai_model.options import OpenAIOptions
from gym_openai_model.preflight import (
    Listing,
    default_model,
    list_models,
    only_model,
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
from gym_openai_model.transports.base import public_url


class OpenAIModel(ModelBackend[OpenAIOptions]):
    """OpenAI and OpenAI-compatible endpoints, through the Responses or the Chat Completions API.

    `openai:gpt-4.1` selects a model. The key comes from OPENAI_API_KEY, `.env` or a file; `base_url` leads to any
    compatible server (vLLM, llama.cpp, SGLang, Azure, a gateway).
    """

    def __init__(self, options: OpenAIOptions | None = None, context: ComponentContext | None = None) -> None:
        """Raises `UsageError` for a base URL or a key file that cannot be used."""
        super().__init__(options, context)
        self._name = self.context.name or "openai"
        self._endpoint = parse_endpoint(self.options.base_url, self.options.extra_query)
        self._identity = identify(self.options, self._endpoint, self._name)
        self._config = TransportConfig(
            connect_timeout=self.options.connect_timeout,
            request_timeout=self.options.request_timeout,
            ca_file=str(self.options.ca_file.expanduser()) if self.options.ca_file else None,
            max_reply=int(self.options.max_reply_mb * MEGABYTE),
        )
        self._model = self.options.model or default_model(self._endpoint)
        self._listing: Listing | None = None
        self._transport: Transport | None = None
        self._use_model(self._model)

    def _use_model(self, model: str) -> None:
        self._model = model
        self._dialect: Dialect = make_dialect(self.options, self._endpoint, model)
        self._url = self._endpoint.url(self._dialect.path)

    async def __aenter__(self) -> Self:
        """Open the client, and find out the model where none was named.

        Raises `AuthenticationError` where a key is needed and there is none, `UsageError` where it is not clear which
        model is meant or the transport cannot be used, and what `list_models` raises.
        """
        self._require_key()
        try:
            if not self._model:
                self._use_model(only_model(await self._list(), self._endpoint, self._name))
            self._transport = open_transport(self.options.transport, self._config, self._identity.headers)
        except TransportUnavailable as error:
            raise UsageError(str(error)) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.aclose()

    @property
    def model_id(self) -> str:
        """The model's name; empty until the endpoint was asked, where none was named."""
        return self._model

    @property
    def endpoint(self) -> str:
        """The base URL, without credentials."""
        return self._endpoint.base_url

    @property
    def max_inflight(self) -> int | None:
        """As the user set it."""
        return self.options.max_inflight

    @property
    def max_retries(self) -> int | None:
        """Attempts after the first per call, as the user set it; None leaves it to the engine's policy."""
        return self.options.max_retries

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
        try:
            body = self._dialect.encode(request, context.seed)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise errors.BadRequestError(
                f"the request cannot be sent to {public_url(self._url)}: {error}", hint=self._mend(error)
            ) from error
        try:
            reply = await transport.post(self._url, body)
        except TransportError as error:
            raise transport_failure(error, self.endpoint) from None
        if not 200 <= reply.status < 300:
            raise self._refused(reply, reply.status, reply.body)
        try:
            response = self._dialect.decode(reply.body)
        except BrokenReply as broken:
            response = self._streamed(reply, broken)
        if response.unfinished:
            raise self._unfinished(reply, response)
        return response

    def _refused(self, reply: HttpReply, status: int, body: bytes) -> ModelError:
        from gym_openai_model.errors import classify  # its patterns take longer to compile than a call takes

        identity = self._identity
        words = identity.scrub(body)
        return classify(status, reply.headers, words, public_url(self._url), self._model, credential=identity.source)

    def _streamed(self, reply: HttpReply, broken: BrokenReply) -> Response:
        """The response in a stream of events that nobody asked for. Raises what the reply means where it is none."""
        if not is_stream(reply.body):
            raise self._broken(reply, broken) from None
        try:
            return self._dialect.read(assembled(reply.body))
        except (BrokenReply, BrokenStream) as error:
            raise self._broken(reply, error) from None

    def _broken(self, reply: HttpReply, broken: BrokenReply | BrokenStream) -> ModelError:
        """The error for a reply of a good status that is no response."""
        if looks_like_html(reply.headers, reply.body):
            return self._refused(reply, reply.status, reply.body)
        error = error_inside(broken.body if isinstance(broken, BrokenStream) else reply.body)
        if error:
            return self._refused(reply, error_status(error), encode_json({"error": error}))
        other = "responses" if self._dialect.path != "/responses" else "chat"
        return errors.BrokenReplyError(
            f"{self._model} at {public_url(self._url)} sent a broken reply: {broken}",
            hint=f"if it persists, try -M api={other}",
            status=reply.status,
        )

    def _unfinished(self, reply: HttpReply, response: Response) -> ModelError:
        """The error for a response that says that it is none."""
        error = response.body.get("error")
        if error or str(response.body.get("status")).lower() == "failed":
            return self._refused(reply, error_status(error), encode_json({"error": error}))
        return errors.BrokenReplyError(
            f"{self._model} at {public_url(self._url)} sent a response that is not finished: {response.unfinished}",
            status=reply.status,
        )

    def _mend(self, error: Exception) -> str:
        if "reasoning" in str(error):
            return "leave it out with -M drop_reasoning=true"
        return "try -M api=responses" if self._dialect.path != "/responses" else ""

    async def check(self) -> Sequence[str]:
        """Ask for the models once. Raises for a refused key or an address that is no endpoint; else warns."""
        self._require_key()
        listing = await self._list()
        warnings = [listing.problem] if listing.problem else []
        if self._model and unlisted(self._model, listing.models):
            warnings.append(f"{self.endpoint} does not list the model {self._model!r}")
        if self._identity.source and self.endpoint.startswith("http://") and not self._endpoint.is_private:
            warnings.append(f"the key from {self._identity.source} goes unencrypted to {self.endpoint}")
        if self.options.seed is not None and self._dialect.path == "/responses" and self._endpoint.is_openai:
            warnings.append("OpenAI's Responses API takes no seed: it is not sent (-M api=chat sends it)")
        return warnings

    async def list_models(self) -> Sequence[str]:
        """The models that the endpoint lists. Raises `ModelError` where it does not."""
        self._require_key()
        listing = await self._list()
        if listing.problem:
            raise errors.EndpointError(listing.problem)
        return listing.models

    async def _list(self) -> Listing:
        if self._listing is None:
            try:
                self._listing = await list_models(self._endpoint, self._identity, self._config, self.options.transport)
            except TransportUnavailable as error:
                raise UsageError(str(error)) from None
        return self._listing

    def _require_key(self) -> None:
        if self._endpoint.is_openai and not self._identity.source:
            raise errors.AuthenticationError(
                f"{self.endpoint} needs a key and {KEY_VARIABLE} is not set",
                hint=f"export {KEY_VARIABLE}=... or write it into .env; keys are made at platform.openai.com/api-keys",
            )
