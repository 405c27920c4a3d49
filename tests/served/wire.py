"""Requests byte by byte, for what no client would send."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

PATIENCE = 60.0
JSON = bytes | dict[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection; `rest`: what came after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What an error says."""
        error: dict[str, Any] = self.json["error"]
        return error


def parse(data: bytes, method: str = "GET") -> Answer:
    """Bytes as an answer. Raises `AssertionError` for what is none."""
    assert data, "the connection was closed without an answer"
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = 0 if method == "HEAD" else int(headers.get("content-length", len(rest)))
    return Answer(int(first.split()[1]), headers, rest[:length], rest[length:])


class Wire:
    """A way to a server that sends exactly what it is told."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = (parts.hostname, parts.port)
        self.host = f"{parts.hostname}:{parts.port}"

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection(self.address, timeout=PATIENCE)

    def exchange(self, data: bytes, method: str = "GET") -> Answer:
        """Send bytes on a connection of their own, and read the first answer."""
        with self.connect() as connection:
            connection.sendall(data)
            return read(connection, method)

    def head(self, method: str, path: str, *headers: str, length: int | None = None, host: str | None = None) -> bytes:
        """The head of a request, as the last one on its connection."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host if host is None else host}", "Connection: close"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode("latin-1")

    def ask(self, method: str, path: str, body: JSON = None, *headers: str, host: str | None = None) -> Answer:
        """One request."""
        content = orjson.dumps(body) if isinstance(body, dict) else body
        length = len(content) if content is not None else None
        if content is not None and not any(header.lower().startswith("content-type:") for header in headers):
            headers = (*headers, "Content-Type: application/json")
        return self.exchange(self.head(method, path, *headers, length=length, host=host) + (content or b""), method)


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """One answer, and what came with it."""
    found = bytearray()
    while True:
        chunk = connection.recv(65_536)
        found += chunk
        _, end, body = bytes(found).partition(b"\r\n\r\n")
        if not chunk:
            assert found, "the connection was closed without an answer"
            return parse(bytes(found), method)
        if end:
            answer = parse(bytes(found), method)
            if len(body) >= int(answer.headers.get("content-length", 1 << 62)) or method == "HEAD":
                return answer


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    found = bytearray()
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return bytes(found)
        if not chunk:
            return bytes(found)
        found += chunk
