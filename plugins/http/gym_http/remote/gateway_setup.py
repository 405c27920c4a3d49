"""How a served component reaches what it needs of the run: the gateway of the run's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gym_core import UsageError
from gym_http.protocol.urls import is_loopback

if TYPE_CHECKING:
    from gym_http.remote.gateway import Gateway

_ANYWHERE = frozenset({"0.0.0.0", "::", ""})


def make_gateway(options: Any, who: str, flag: str, redact: Callable[[str], str] = str) -> Gateway:
    """The gateway that `options` (`url`, `gateway_host`, `gateway_port`, `gateway_url`) ask for.

    `who`: what messages call those who have to reach it, `the agent`. `flag`: what sets the options, `-A`. `redact`:
    masks secrets in what it tells them. Raises `UsageError` where they could not reach it, or where it cannot be had.
    """
    host = options.gateway_host
    if not options.gateway_url:
        theirs = urlsplit(options.url).hostname
        if host in _ANYWHERE:
            raise UsageError(
                f"at {host!r} the gateway has no URL that {who} could be given",
                hint=f"{flag} gateway_host=ADDRESS, or {flag} gateway_url=http://THIS-MACHINE:PORT with "
                f"{flag} gateway_port=PORT",
            )
        if theirs is not None and is_loopback(host) and not is_loopback(theirs):
            raise UsageError(
                f"{who} at {options.url} is on another machine and could not reach the gateway on {host}",
                hint=f"{flag} gateway_host= takes an address of this machine that the other one reaches",
            )
    from gym_http.remote.gateway import Gateway

    return Gateway(host=host, port=options.gateway_port, url=options.gateway_url, redact=redact)
