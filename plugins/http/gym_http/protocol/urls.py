"""The URLs of served components: `http(s)://host:port[/prefix]` and `unix:/path`."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from gym_core import UsageError


def socket_path(url: str) -> str | None:
    """The path of a `unix:` URL; None for any other."""
    if not url.lower().startswith("unix:"):
        return None
    path = url[len("unix:") :]
    path = path[2:] if path.startswith("//") else path
    if not path:
        raise UsageError(f"{url!r} names no socket", hint="write unix:/path/to/socket")
    return path


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """The host that a component's URL names: where it calls from. A socket file is of this machine."""
    return urlsplit(url).hostname or "localhost"


def checked_url(url: str) -> str:
    """An http(s) URL without a slash at its end. Raises `UsageError` for any other."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}", hint="write http://host:port or unix:/path") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"the URL of {host} holds a user name or a password",
            hint="URLs are recorded: give the option `token`, through its environment variable",
        )
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise UsageError(f"{url!r} is no URL of a server", hint="write http://host:port or unix:/path")
    if parts.query or parts.fragment:
        raise UsageError(f"{url!r}: a server's URL ends with its path", hint="remove what follows it")
    return url.rstrip("/")
