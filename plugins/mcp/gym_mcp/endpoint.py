"""Where an MCP server is: a command to start, or a URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from gym_http1 import MAX_REPLY_MB


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A server that is started as a child process and spoken to over its standard input and output.

    `env`: variables besides the few it inherits (`HOME`, `PATH`, `USER` and the like). `cwd`: its working directory.
    """

    command: str
    args: Sequence[str] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | Path | None = None

    def __str__(self) -> str:
        shown = list(takewhile(lambda argument: not argument.startswith("-"), self.args))  # an option may be a secret
        return " ".join((self.command, *shown, *(["..."] if len(shown) < len(self.args) else [])))


@dataclass(frozen=True, slots=True)
class HTTPServer:
    """A server that runs elsewhere, spoken to over streamable HTTP. `headers`: sent with every request.

    `max_reply_mb`: megabytes that are read of one answer.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_reply_mb: float = MAX_REPLY_MB

    @property
    def host(self) -> str:
        """The host of the URL."""
        return urlsplit(self.url).hostname or ""

    def __str__(self) -> str:
        parts = urlsplit(self.url)  # user, password and query may be secret
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


Server = StdioServer | HTTPServer


def endpoint_of(server: Server | str) -> Server:
    """A server as an author may name it; a text is a URL. Raises `TypeError` for anything else."""
    if isinstance(server, StdioServer | HTTPServer):
        return server
    if isinstance(server, str) and server.startswith(("http://", "https://")):
        return HTTPServer(server)
    raise TypeError(f"`mcp_server` returned {type(server).__name__}; it must be a StdioServer, an HTTPServer or a URL")
