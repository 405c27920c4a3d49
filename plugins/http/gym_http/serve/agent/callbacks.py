"""The URLs that a caller asks this server to call: which ones it does, and the clients that call them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

from gym_http.protocol.client import Client
from gym_http.protocol.errors import ServeError, WireError

MOST_ORIGINS = 1024
"""So many servers at most have a client of their own at a time."""


class Callbacks:
    """Clients by the scheme, host and port of a URL, each with one pool of connections. An async context manager.

    A server that calls whatever it is told to can be used to reach what only it can reach. So it calls loopback where
    the caller is on this machine, the caller's own address, and the `hosts` that are allowed: `HOST` or `HOST:PORT`,
    or `*` for all.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._clients: dict[str, Client] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def client(self, url: str, caller: str | None, field: str) -> tuple[Client, str]:
        """The client for a URL, and the URL's path. `caller`: the address of who gave it, None on a socket file.

        Raises `WireError` for what is no URL and `ServeError` (403) for one that is not to be called.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise WireError(field, f"is no URL: {error}") from None
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
            raise WireError(field, "must be an http or https URL without user, query and fragment")
        if not self.allows(host, port, caller):
            raise ServeError(
                403,
                f"this server does not call {parts.netloc:.200}",
                field=field,
                hint=f"start it with --allow-callback {host}, if what is there may be called",
            )
        origin = f"{parts.scheme}://{parts.netloc}"
        client = self._clients.get(origin)
        if client is None:
            if len(self._clients) >= MOST_ORIGINS:
                raise ServeError(503, "this server calls too many others already", headers={"Retry-After": "60"})
            client = await self._stack.enter_async_context(Client(origin))
            self._clients[origin] = client
        return client, parts.path.rstrip("/")

    def allows(self, host: str, port: int | None, caller: str | None) -> bool:
        """Whether a server may be called for a caller."""
        if "*" in self._hosts or host in self._hosts or f"{host}:{port}" in self._hosts:
            return True
        wanted, asking = _address(host), _address(caller) if caller is not None else _LOOPBACK
        if wanted is None or asking is None:
            return False
        return asking.is_loopback if wanted.is_loopback else wanted == asking


_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """A host as the address that it is; names other than `localhost` are none, since others decide where they lead."""
    if text == "localhost":
        return _LOOPBACK
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
