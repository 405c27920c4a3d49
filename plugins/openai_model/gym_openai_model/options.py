"""What users of the backend can set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator

from gym_core import FromEnv, Operational, Options, Selector
from gym_http1 import MAX_REPLY_MB
from gym_openai_model.capture import TokenServer

DEFAULT_MODEL = "gpt-4.1-mini"
"""What is asked at OpenAI when no model is named: small, cheap, good at calling tools."""


class OpenAIOptions(Options):
    """The options of the backend `openai`. What is set here goes over the same field of a task's request."""

    model: Annotated[str | None, Selector()] = Field(
        None,
        description=f"The model. Default: {DEFAULT_MODEL} at OpenAI, elsewhere the only model the endpoint lists.",
    )
    base_url: Annotated[str, FromEnv("OPENAI_BASE_URL")] = Field(
        "https://api.openai.com/v1",
        description="URL of the endpoint; for most servers it ends in `/v1`. Several, with commas between them or one "
        "a line in `@FILE`, share the rollouts.",
    )
    api_key: Annotated[SecretStr | None, FromEnv("OPENAI_API_KEY")] = Field(
        None, description="The key. Local servers usually need none."
    )
    api_key_file: Annotated[Path | None, Operational()] = Field(
        None, description="A file that holds the key; read instead of `api_key`."
    )
    organization: Annotated[str | None, FromEnv("OPENAI_ORG_ID"), Operational()] = Field(
        None, description="The OpenAI organization that is billed."
    )
    project: Annotated[str | None, FromEnv("OPENAI_PROJECT_ID"), Operational()] = Field(
        None, description="The OpenAI project that is billed."
    )
    extra_headers: dict[str, SecretStr] = Field(
        {}, description="Further headers of every request; they replace the backend's own of the same name."
    )
    session_header: Annotated[str | None, Operational()] = Field(
        None,
        description="Headers that name the rollout, for a router that keeps it on one server; empty: none. Default: "
        "`X-Session-ID,X-SMG-Routing-Key`, but none at OpenAI and Azure.",
    )
    extra_query: dict[str, str] = Field(
        {}, description="Query fields of every URL, such as Azure's `api-version`. Not for secrets."
    )
    extra_body: dict[str, Any] = Field(
        {}, description="Fields laid over the body of every request, in the words of the dialect that is spoken."
    )

    api: Literal["auto", "responses", "chat"] = Field(
        "auto",
        description="The API: Responses or Chat Completions. `auto`: `responses` at OpenAI and Azure, else `chat`.",
    )
    transport: Annotated[Literal["httptools", "aiohttp", "sdk"], Operational()] = Field(
        "httptools", description="The HTTP client. `httptools`: gym's own. `sdk`: the openai package's."
    )
    ca_file: Annotated[Path | None, Operational()] = Field(
        None,
        description="A PEM file of the only certificate authorities to trust. Default: SSL_CERT_FILE, or the system's.",
    )
    max_inflight: Annotated[PositiveInt | None, Operational()] = Field(
        None,
        description="The most requests in flight at once, to each of several. Default: as many as the endpoint takes.",
    )
    max_retries: Annotated[NonNegativeInt | None, Operational()] = Field(
        None, description="Attempts after the first per model call. Default: the retry policy's, by class of error."
    )
    connect_timeout: Annotated[PositiveFloat, Operational()] = Field(
        30.0, description="Seconds for one connection: name, TCP, TLS."
    )
    request_timeout: Annotated[PositiveFloat, Operational()] = Field(
        600.0, description="Seconds for one request, from sending to the last byte."
    )

    max_reply_mb: Annotated[PositiveFloat, Operational()] = Field(
        MAX_REPLY_MB, description="Megabytes that are read of one reply, decompressed; a longer one fails its call."
    )

    temperature: float | None = Field(None, ge=0, description="Sampling temperature.")
    top_p: float | None = Field(None, ge=0, le=1, description="Nucleus sampling: the probability mass kept.")
    max_output_tokens: PositiveInt | None = Field(
        None, description="The most tokens one response may have, reasoning included."
    )
    reasoning_effort: str | None = Field(
        None, description="How much a reasoning model thinks: `minimal`, `low`, `medium`, `high`, as the model has it."
    )
    seed: int | None = Field(None, description="One sampling seed for every call, instead of each rollout's own.")
    send_seed: bool = Field(
        True, description="Send the rollout's seed in the chat dialect; for servers that refuse the field, set false."
    )
    max_tokens_field: Literal["auto", "max_completion_tokens", "max_tokens"] = Field(
        "auto",
        description="What chat calls `max_output_tokens`. `auto`: `max_completion_tokens` at OpenAI and Azure OpenAI, "
        "else `max_tokens`.",
    )
    tool_media: Literal["auto", "user", "tool"] = Field(
        "auto",
        description="Which chat message holds the images and files of a tool's output: the `user`'s behind it, or the "
        "`tool`'s own, for servers that take them there. `auto`: the user's, but at Mistral.",
    )
    drop_reasoning: bool = Field(
        False, description="Leave reasoning items out of what is sent back; some servers fail on their own."
    )
    logprobs: bool = Field(False, description="Ask for the log probabilities of the generated tokens.")
    top_logprobs: NonNegativeInt | None = Field(
        None, description="Ask for those of this many alternatives per token, too."
    )
    tokens: bool = Field(
        False,
        description="Keep the ids of prompt and sampled tokens with their log probabilities, for training. An endpoint "
        "that does not say them is an error.",
    )
    token_server: TokenServer = Field(
        "auto",
        description="Whose words ask for tokens. `auto`: those of vLLM, SGLang and Dynamo at once. `nemo`: none, "
        "NeMo's servers say them unasked. `llama.cpp`: its own, and nothing cuts sampling off unless asked for.",
    )
    version: str | None = Field(
        None, description="The version of the weights, to stand with the tokens where the endpoint says none."
    )
    send_token_ids: bool = Field(
        False,
        description="Leave tokens on the items, too, and send them back on messages, for servers that go on from the "
        "very tokens (NeMo RL's). Includes `tokens`.",
    )

    @field_validator("base_url", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A list of addresses, as files of settings write it, as one text."""
        listed = isinstance(value, list | tuple) and all(isinstance(url, str) for url in value)
        return ",".join(value) if listed else value
