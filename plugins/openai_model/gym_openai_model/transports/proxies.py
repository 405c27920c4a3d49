"""Which proxy a call goes through: gym's one rule, in the words of transports."""

from __future__ import annotations

import gym_http1
from gym_openai_model.transports.base import TransportError


def environment_proxy(url: str) -> str | None:
    """The proxy of the environment for `url`, see `gym_http1.environment_proxy`. Raises `TransportError`."""
    try:
        return gym_http1.environment_proxy(url)
    except gym_http1.ProxyError as error:
        raise TransportError("proxy_unusable", url, str(error)) from None
