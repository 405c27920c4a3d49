"""An endpoint: its URLs, and what its host says about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gym_core import UsageError

_PATHS = ("/chat/completions", "/responses", "/completions", "/models")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. `base_url`: without a slash at its end, credentials, query and fragment."""

    base_url: str
    query: Mapping[str, str] = field(default_factory=dict)
    userinfo: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        """The host name, in lower case."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own, in any region."""
        return self.host == "api.openai.com" or self.host.endswith(".api.openai.com")

    @property
    def is_azure(self) -> bool:
        """Whether it is on Azure, where a key has a header of its own."""
        return self.host.endswith(".azure.com")

    @property
    def is_azure_openai(self) -> bool:
        """Whether it is Azure OpenAI's unified interface, which is like OpenAI's; the older one names a deployment."""
        return self.host.endswith(".openai.azure.com") and "/deployments/" not in self.base_url

    @property
    def is_private(self) -> bool:
        """Whether it is on this machine or in a private network, where keys are not needed as a rule."""
        name = self.host
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return "." not in name or name.endswith((".localhost", ".local", ".internal", ".lan"))
        return address.is_private or address.is_loopback or address.is_link_local

    @property
    def dialect(self) -> Literal["responses", "chat"]:
        """What `api=auto` speaks here: many compatible servers do Chat Completions well and Responses badly."""
        return "responses" if self.is_openai or self.is_azure_openai else "chat"

    @property
    def max_tokens_field(self) -> Literal["max_completion_tokens", "max_tokens"]:
        """What the chat dialect calls the limit here."""
        return "max_completion_tokens" if self.is_openai or self.is_azure else "max_tokens"

    @property
    def seed_field(self) -> str:
        """What the chat dialect calls the seed here."""
        return "random_seed" if self.host == "api.mistral.ai" else "seed"

    @property
    def tool_media(self) -> Literal["user", "tool"]:
        """Which chat message takes the images of a tool's output; Mistral's takes no user's behind a tool's."""
        return "tool" if self.host == "api.mistral.ai" else "user"

    @property
    def mixes_strict(self) -> bool:
        """Whether tools of which some are strict are taken here; Cerebras refuses them."""
        return not self.host.endswith(".cerebras.ai")

    @property
    def kind(self) -> tuple[object, ...]:
        """What endpoints of one model have in common: how they are spoken to, and where the key goes."""
        return (
            self.is_openai, self.is_azure, self.dialect, self.max_tokens_field, self.seed_field, self.mixes_strict
        )  # fmt: skip

    def url(self, path: str, *, at_root: bool = False) -> str:
        """The URL of a path such as `/models`, with the query fields and credentials of the base URL.

        `at_root`: of a path that stands beside `/v1`.
        """
        url = (self.base_url.removesuffix("/v1") if at_root else self.base_url) + path
        if self.userinfo:
            url = url.replace("://", f"://{self.userinfo}@", 1)
        return f"{url}?{urlencode(self.query)}" if self.query else url


def parse_endpoint(base_url: str, query: Mapping[str, str] | None = None) -> Endpoint:
    """Read a base URL as people write it: with a slash or a whole path at its end, or with a query.

    Raises `UsageError` for what is no http or https URL.
    """
    text = base_url.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, usable = urlsplit(""), False
    if not usable:
        shown = text.rpartition("@")[2]
        raise UsageError(
            f"base_url: {shown!r} is no URL of an endpoint",
            hint="it starts with http:// or https:// and most servers want it to end in /v1",
        )
    path = parts.path.rstrip("/")
    for known in _PATHS:
        if path.endswith(known):
            path = path.removesuffix(known)
            break
    userinfo, _, netloc = parts.netloc.rpartition("@")
    base = urlunsplit((parts.scheme, netloc, path, "", ""))
    return Endpoint(base, {**dict(parse_qsl(parts.query)), **(query or {})}, userinfo)
