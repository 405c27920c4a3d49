"""Who calls: the key, where it was read, and the headers of every request."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gym_core import UsageError

if TYPE_CHECKING:
    from gym_openai_model.endpoint import Endpoint
    from gym_openai_model.options import OpenAIOptions

KEY_VARIABLE = "OPENAI_API_KEY"
SESSION_HEADERS = "X-Session-ID,X-SMG-Routing-Key"
"""What routers look at to keep a rollout on one server: vLLM's router the first, SGLang's gateway the second."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_USER_AGENT = "gym-openai-model/0.1"
_KEY_HEADERS = frozenset({"authorization", "api-key", "x-api-key"})
_NO_SESSION = _KEY_HEADERS | {
    "host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "accept-encoding",
    "user-agent", "openai-organization", "openai-project",
}  # fmt: skip
_SHORTEST_SCRUBBED = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """What every request carries.

    `headers`: all of them. `source`: where the key was read, in words for messages; empty where none is sent.
    `secrets`: the values that no output may show.
    """

    headers: dict[str, str] = field(repr=False)
    source: str
    secrets: tuple[str, ...] = field(repr=False)

    def scrub(self, body: bytes) -> bytes:
        """A reply's body without the secrets: some servers quote what they refuse."""
        for secret in self.secrets:
            # a shorter one, or a word, may be part of the reply's own form; it is masked where the message is shown
            if len(secret) >= _SHORTEST_SCRUBBED and not secret.isalpha():
                body = body.replace(secret.encode(), b"***")
        return body


def identify(options: OpenAIOptions, endpoint: Endpoint, name: str = "openai") -> Identity:
    """The identity that the options give. `name`: the component's, for its own variables. Raises `UsageError`."""
    key, source = _read_key(options, name)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"the key from {source} holds characters that no key has", hint="look for stray spaces or lines"
        )
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": _USER_AGENT}
    if key:
        # Azure takes its keys in a header of their own; a token of Entra ID, which is a JWT, is a bearer everywhere
        if endpoint.is_azure and not key.startswith("eyJ"):
            headers["api-key"] = key
        else:
            headers["Authorization"] = f"Bearer {key}"
    if options.organization:
        headers["OpenAI-Organization"] = options.organization
    if options.project:
        headers["OpenAI-Project"] = options.project
    extra = {header: value.get_secret_value() for header, value in options.extra_headers.items()}
    for header, value in extra.items():
        headers = {known: kept for known, kept in headers.items() if known.lower() != header.lower()}
        headers[header] = value
        if header.lower() in _KEY_HEADERS:
            source = f"the option `extra_headers` ({header})"
    secrets = tuple(value for value in (key, *extra.values()) if value)
    return Identity(headers, source, secrets)


def session_headers(options: OpenAIOptions, endpoint: Endpoint) -> tuple[str, ...]:
    """The headers that name the rollout of a call, without those that `extra_headers` sets. Raises `UsageError`."""
    chosen = options.session_header
    if chosen is None:
        chosen = "" if endpoint.is_openai or endpoint.is_azure else SESSION_HEADERS
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    for name in names:
        if not _HEADER.fullmatch(name) or name.lower() in _NO_SESSION:
            raise UsageError(f"session_header: {name!r} cannot name a rollout", hint="such as X-Session-ID")
    given = {header.lower() for header in options.extra_headers}
    return tuple(name for name in names if name.lower() not in given)


def _read_key(options: OpenAIOptions, name: str) -> tuple[str, str]:
    """The key and where it was read; both empty where there is none."""
    if options.api_key_file is None:
        key = options.api_key.get_secret_value().strip() if options.api_key else ""
        return key, _variable_of(key, name) if key else ""
    path = options.api_key_file.expanduser()
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"api_key_file: {path} cannot be read: {reason}") from None
    if not key:
        raise UsageError(f"api_key_file: {path} is empty")
    return key, str(path)


def _variable_of(key: str, name: str) -> str:
    own = f"GYM_{re.sub('[^A-Z0-9]', '_', name.upper())}_API_KEY"
    for variable in (own, KEY_VARIABLE):
        if os.environ.get(variable, "").strip() == key:
            return variable
    return "the option `api_key`"
