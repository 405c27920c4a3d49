"""How many connections a server holds, and how long it waits for what their clients owe.

Nobody needs a token to open a connection, so each of them is bounded from its first moment: a head has to come in time,
a body and the reading of an answer have to go on. When there is no room, a connection that asks nothing makes way.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from dataclasses import dataclass
from typing import Protocol

MOST_CONNECTIONS = 65_536
SPARE_FILES = 100
"""Files that a server needs at least beside the connections to it."""
SLOWEST = 500
"""Bytes a second that a body has to come with, and an answer has to be read with."""
NEVER = float("inf")
_LONGEST_PERIOD = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """`connections`: so many at once; None for what the limit on open files allows, with some to spare.

    `per_client`: so many at once from one address (of IPv6, one /64); None for three quarters of all, and for as many
    as there are from this machine itself. `seconds`: the client's time for a head, for the rest of a body that has been
    answered already, and for `SLOWEST` bytes a second of a body or an answer.
    """

    connections: int | None = None
    per_client: int | None = None
    seconds: float = 30.0


class Bounded(Protocol):
    """A connection, as far as its bounds go. Times are those of `Connections.now`.

    `address`: whose it is, see `client_of`. `waiting`: nothing is asked on it just now, `since` when.
    """

    address: str
    since: float

    @property
    def waiting(self) -> bool:
        """Whether it asks nothing."""

    def look(self, now: float) -> None:
        """End it if something has not come in time."""

    def end(self) -> None:
        """Close it."""


class Connections:
    """All connections of one server, from `start` to `stop`.

    `now` counts the seconds between looks: while the event loop is held it stands still, as nobody could be heard then.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.seconds = limits.seconds
        self.now = 0.0
        self._most = _allowed() if limits.connections is None else limits.connections
        self._per_client = limits.per_client
        self._open: set[Bounded] = set()
        self._by_client: dict[str, int] = {}
        self._period = min(_LONGEST_PERIOD, limits.seconds / 4)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look after them."""
        self._timer = asyncio.get_running_loop().call_later(self._period, self._look)

    def stop(self) -> None:
        """Look after them no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.now += self._period
        for connection in list(self._open):
            connection.look(self.now)
        self.start()

    def admit(self, connection: Bounded) -> bool:
        """Take a new connection in, if need be for one that waits; whether there is room for it."""
        address = connection.address
        count = self._by_client.get(address, 0)
        if count >= self._most_of(address) and not self._make_room(address):
            return False
        if len(self._open) >= self._most and not self._make_room():
            return False
        self._open.add(connection)
        self._by_client[address] = self._by_client.get(address, 0) + 1
        return True

    def forget(self, connection: Bounded) -> None:
        """A connection is closed."""
        if connection in self._open:
            self._open.remove(connection)
            left = self._by_client[connection.address] - 1
            if left:
                self._by_client[connection.address] = left
            else:
                del self._by_client[connection.address]

    def _most_of(self, address: str) -> int:
        if self._per_client is not None:
            return self._per_client
        return self._most if not address or _is_loopback(address) else max(1, self._most * 3 // 4)

    def _make_room(self, address: str | None = None) -> bool:
        """Close some connections that ask nothing: of whoever holds most, those that wait longest."""
        waiting = [one for one in self._open if one.waiting and (address is None or one.address == address)]
        waiting.sort(key=lambda one: (-self._by_client[one.address], one.since))
        for one in waiting[: max(1, self._most // 20)]:  # several: looking for them takes time
            one.end()
            self.forget(one)
        return bool(waiting)


def client_of(peer: object) -> str:
    """Whose connection it is, by the address of the other end; empty for a socket file."""
    host = peer[0] if isinstance(peer, tuple) and peer else ""
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _allowed() -> int:
    """Connections that the limit on open files allows."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return min(MOST_CONNECTIONS, max(16, files - max(SPARE_FILES, files // 4)))
