"""Which proxy the environment names for a URL. Standard library only; importing it loads nothing heavy."""

from __future__ import annotations

import os
import re
import sys
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit, urlunsplit

_PORTS = {"http": 80, "https": 443}
_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_BETWEEN = re.compile(r"[,;\s]+")
_NAMES_PROXY = re.compile("(?:https?|all)_proxy", re.IGNORECASE)
_WITH_PROXIES_OF_THEIR_OWN = ("darwin", "win32")
_ALSO_LOOPBACK = "<-loopback>"
"""In NO_PROXY: this machine is reached through the proxy, too. The word is that of browsers."""


class ProxyError(ValueError):
    """A variable of the environment holds what is no proxy; the message names the variable and not its value."""


def environment_proxy(url: str) -> str | None:
    """The URL of the proxy for an http or https URL; None for a direct connection.

    `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` are read in either case of letters, or what the system names on macOS
    and Windows. `NO_PROXY` takes, separated by commas, semicolons or spaces: host names, which stand for their
    subdomains, too; addresses, and networks such as `10.0.0.0/8` or `fd00::/8`; either with `*` in it, such as `10.0.*`
    or `*` alone; each with or without a port. This machine is never
    asked through a proxy, unless `NO_PROXY` holds `<-loopback>`. Raises `ProxyError`.
    """
    if sys.platform not in _WITH_PROXIES_OF_THEIR_OWN and not any(map(_NAMES_PROXY.fullmatch, os.environ)):
        return None  # and urllib.request with all below it stays where it is
    from urllib.request import getproxies

    parts = urlsplit(url)
    proxies = getproxies()
    scheme = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(scheme, "").strip()
    host = parts.hostname
    if not proxy or not host or _is_exempt(host, parts.port or _PORTS.get(parts.scheme, 0), proxies.get("no", "")):
        return None
    return _checked(proxy, scheme)


def _checked(proxy: str, scheme: str) -> str:
    variable = f"{scheme.upper()}_PROXY"
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(proxy)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ProxyError(f"the value of {variable} is no URL of a proxy")
    if parts.scheme not in _SCHEMES:
        raise ProxyError(f"the value of {variable} is no URL of a proxy: it starts with none of {', '.join(_SCHEMES)}")
    return urlunsplit(parts)  # its scheme in lower case


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    host = host.rstrip(".")
    address = _address(host)
    entries = [entry for entry in _BETWEEN.split(no_proxy.lower()) if entry]
    if _ALSO_LOOPBACK not in entries and _is_here(host, address):
        return True
    if any(_covers(entry, host, port, address) for entry in entries):
        return True
    return _system_exempts(host)


def _covers(entry: str, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
    """Whether an entry of NO_PROXY stands for a host and port."""
    name, wanted = _split_port(entry.rpartition("://")[2].rstrip("/") if "://" in entry else entry)
    if wanted is not None and wanted != port:
        return False
    if fnmatchcase(host, name):
        return True
    if address is None:
        name = name.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ip_network(name, strict=False)
    except ValueError:
        return False


def _split_port(entry: str) -> tuple[str, int | None]:
    """(host or network, port) of `host`, `host:8000`, `::1`, `[::1]` and `[::1]:8000`."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        host, separator, port = entry.rpartition(":")
        if not separator or ":" in host:
            host, port = entry, ""
    return host, int(port) if port.isdecimal() else None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_here(host: str, address: IPv4Address | IPv6Address | None) -> bool:
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _system_exempts(host: str) -> bool:
    """Whether the exceptions that macOS and Windows keep apply; those of the environment go before them."""
    if sys.platform not in _WITH_PROXIES_OF_THEIR_OWN:
        return False
    from urllib.request import getproxies_environment, proxy_bypass

    return not getproxies_environment() and bool(proxy_bypass(host))
