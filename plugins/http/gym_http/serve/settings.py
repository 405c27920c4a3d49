"""How a component is served: who may ask, how much, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

from gym_core import UsageError
from gym_core.spi import Deadlines
from gym_http.serve.connections import ConnectionLimits

MEGABYTE = 1 << 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """The settings of one server. Times are seconds.

    `token`: what every request must bring as a bearer token; empty lets everybody in who can reach the server.
    `local`: the server is on loopback and lets everybody in, so that a web page must be kept from asking it.
    `max_sessions`: how many may be open at once. `session_life`: how long one may stay open; `session_idle`: how long
    with nothing asked of it. `max_body`: bytes of a request. `drain`: how long requests under way may take once the
    server is to end. `seed`: of sessions whose opener gives none. `deadlines`: bounds of `setup`, tools, `reply`,
    `verify` and `close`. `callbacks`: hosts whose URLs the server asks when it is told to, see `Callbacks`.
    `masks_failures`: answer those who ask as NeMo Gym does with a masked row where a rollout or a verdict failed.
    `max_steps`: responses after which a rollout that goes by `/step` is judged as it stands.
    `connections`: how many there may be, and for how long without a word.
    """

    token: str = field(default="", repr=False)
    local: bool = False
    max_sessions: int = 32_768
    session_life: float = 14_400.0
    session_idle: float = 3_600.0
    max_body: int = 64 * MEGABYTE
    drain: float = 30.0
    seed: int = 0
    callbacks: tuple[str, ...] = ()
    masks_failures: bool = False
    max_steps: int = 10
    deadlines: Deadlines = field(default_factory=Deadlines)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)


def require_token(host: str, token: str) -> None:
    """Raise `UsageError` for a server that others could reach and that asks nobody for a token."""
    if not token and host not in LOOPBACK:
        raise UsageError(
            f"on {host} others can reach the server, so it needs a token",
            hint="set GYM_SERVE_TOKEN or give --token-file FILE; without a token it serves on 127.0.0.1 only",
        )
