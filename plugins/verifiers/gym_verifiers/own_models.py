"""Models that an environment asks by itself, with OpenAI's clients: a judge, say. The run's `judge` answers, or nobody.

Clients that are made while a block is entered ask as the block says, whenever they ask.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from gym_core import Endpoint

PLACE = "http://the-judge-of-the-run/v1"
KEY = "of-the-run"
"""What an environment sees of a key."""


@dataclass(frozen=True, slots=True)
class OwnModels:
    """Who answers. `judge`: whether the run's judge does, and `endpoint` where it is, within a rollout.

    `policy`: the base URL of the rollout's policy, which clients may be made for as they are.
    """

    judge: bool
    endpoint: Endpoint | None = None
    policy: str = ""


_own: ContextVar[OwnModels | None] = ContextVar("gym_verifiers_own_models", default=None)


@contextmanager
def own_models(own: OwnModels | None) -> Iterator[None]:
    """Code of an environment whose models these are; None leaves it to itself."""
    _watch_clients()
    token = _own.set(own)
    try:
        yield
    finally:
        _own.reset(token)


def _watch_clients() -> None:
    import openai

    for kind, http, hook in (
        (openai.AsyncOpenAI, openai.DefaultAsyncHttpxClient, _redirect_async),
        (openai.OpenAI, openai.DefaultHttpxClient, _redirect),
    ):
        if not getattr(kind.__init__, "_gym_watched", False):
            kind.__init__ = _watched(kind.__init__, http, hook)  # type: ignore[method-assign]


def _watched(made: Callable[..., None], http: Callable[..., Any], hook: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        own = _own.get()
        of_policy = own is not None and own.policy and str(kwargs.get("base_url")) == own.policy
        if own is not None and not of_policy:
            if own.judge:
                client = http(trust_env=False, timeout=None, event_hooks={"request": [hook]})
                # it is the run that tries again
                kwargs |= {"base_url": PLACE, "api_key": KEY, "http_client": client, "max_retries": 0}
            elif kwargs.get("api_key") is None:
                raise LookupError("it makes a client of OpenAI, which wants the OPENAI_API_KEY")
        made(self, *args, **kwargs)

    init._gym_watched = True  # type: ignore[attr-defined]
    return init


def _redirect(request: Any) -> None:
    own = _own.get()
    if own is None or own.endpoint is None:
        raise RuntimeError("it asks its judge outside of a rollout, where a run has no models")
    url = type(request.url)(own.endpoint.base_url + str(request.url).removeprefix(PLACE))
    request.url = url
    request.headers["host"] = url.netloc.decode()
    request.headers["authorization"] = f"Bearer {own.endpoint.token}"


async def _redirect_async(request: Any) -> None:
    _redirect(request)
