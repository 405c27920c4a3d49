"""Which proxy a call goes through: gym's one rule, in the words of transports."""

from __future__ import annotations

from gym_core import spi
from gym_openai_model.transports.base import TransportError


def environment_proxy(url: str) -> str | None:
    """The proxy of the environment for `url`, see `gym_core.spi.environment_proxy`. Raises `TransportError`."""
    try:
        return spi.environment_proxy(url)
    except spi.ProxyError as error:
        raise TransportError("proxy_unusable", url, str(error)) from None
