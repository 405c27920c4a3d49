"""A look at the endpoint before the first model call: one `GET /models`.

Many servers list nothing, or other names than they take, so only what would fail every call is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gym_core import JsonError, ModelError, UsageError, errors, parse_json
from gym_core.spi import nearest
from gym_http1 import MEGABYTE
from gym_openai_model.endpoint import Endpoint
from gym_openai_model.identity import Identity
from gym_openai_model.options import DEFAULT_MODEL
from gym_openai_model.replies import looks_like_html
from gym_openai_model.transports import TransportConfig, TransportError, TransportName, open_transport
from gym_openai_model.transports.base import public_url

_SECONDS = 15.0
_SHOWN = 20
_NEAREST = 5
_VARIABLES = "check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"
_UNSENT = ("connect_refused", "dns", "connect_timeout", "tls", "proxy", "proxy_down", "proxy_unusable")
_MOST = 16 * MEGABYTE
"""The largest listing that is read; the one of OpenRouter, with prices and descriptions, has half a megabyte."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The models an endpoint lists, or why it is not known: `problem` is empty where `models` can be relied on."""

    models: tuple[str, ...] = ()
    problem: str = ""


async def list_models(
    endpoint: Endpoint, identity: Identity, config: TransportConfig, transport: TransportName = "httptools"
) -> Listing:
    """Ask the endpoint for its models, through the client that calls will go through.

    Raises a `ModelError` where every model call would fail alike: a refused key, an address where nothing listens or
    that serves web pages. Anything else that goes wrong is the `problem` of the listing.
    """
    url = endpoint.url("/models")
    try:
        async with open_transport(transport, replace(config, max_reply=_MOST), identity.headers) as asking:
            status, reply_headers, body = await asking.get(url, _SECONDS)
    except TransportError as error:
        return Listing(problem=_unreachable(error, endpoint))
    if 200 <= status < 300 and not looks_like_html(reply_headers, body):
        return _read(body, public_url(url))
    from gym_openai_model.errors import classify

    refusal = classify(status, reply_headers, identity.scrub(body), public_url(url), "", credential=identity.source)
    # a key may be good for model calls and not for this list: then the answer is 403
    if isinstance(refusal, errors.AuthenticationError) and status != 403:
        raise refusal
    if isinstance(refusal, errors.EndpointError) and status < 400:
        raise refusal
    return Listing(problem=f"the models could not be listed: {refusal.message}")


def transport_failure(error: TransportError, base_url: str) -> ModelError:
    """The error that a missing reply means."""
    failure = _failure(error, base_url)
    failure.unsent = error.kind in _UNSENT
    return failure


def _failure(error: TransportError, base_url: str) -> ModelError:
    match error.kind:
        case "timeout":
            return errors.ModelTimeoutError(str(error), hint="raise -M request_timeout= if the model is slow")
        case "connect_refused":
            return errors.ConnectionFailedError(str(error), hint=f"is a server running at {base_url}?")
        case "dns":
            return errors.EndpointError(str(error), hint=f"check the base URL {base_url}")
        case "tls":
            return errors.EndpointError(str(error), hint=f"check the base URL {base_url}, or give -M ca_file=")
        case "proxy_unusable":
            return errors.EndpointError(str(error), hint=_VARIABLES)
        case "proxy_down":
            return errors.ConnectionFailedError(str(error), hint=_VARIABLES)
        case "too_long":
            return errors.ReplyTooLongError(str(error), hint="-M max_reply_mb= raises the limit")
    return errors.ConnectionFailedError(str(error))


def _unreachable(error: TransportError, endpoint: Endpoint) -> str:
    if error.kind in ("connect_refused", "dns", "tls", "proxy_down", "proxy_unusable"):
        raise transport_failure(error, endpoint.base_url) from None
    return f"the models could not be listed: {error}"


def _read(body: bytes, url: str) -> Listing:
    try:
        value: Any = parse_json(body)
    except JsonError:
        return Listing(problem=f"{url} does not answer with JSON")
    if isinstance(value, Mapping):
        value = value.get("data", value.get("models"))
    if not isinstance(value, list):
        return Listing(problem=f"{url} lists no models")
    names = [entry.get("id") or entry.get("name") for entry in value if isinstance(entry, Mapping)]
    return Listing(tuple(dict.fromkeys(name for name in names if isinstance(name, str))))


def only_model(listing: Listing, endpoint: Endpoint, name: str) -> str:
    """The model to use where none was named. `name`: the component's. Raises `UsageError` where it is not clear."""
    if len(listing.models) == 1:
        return listing.models[0]
    if not listing.models:
        reason = listing.problem or "it lists no models"
        doubt = "; is the base URL right? Most servers want it to end in /v1" if listing.problem else ""
        raise UsageError(
            f"which model at {endpoint.base_url}? ({reason})", hint=f"name it: --model {name}:MODEL{doubt}"
        )
    shown = ", ".join(listing.models[:_SHOWN])
    more = f" and {len(listing.models) - _SHOWN} more" if len(listing.models) > _SHOWN else ""
    raise UsageError(
        f"{endpoint.base_url} serves several models: {shown}{more}",
        hint=f"name one: --model {name}:{listing.models[0]}",
    )


def those_offered(model: str, models: Sequence[str]) -> str:
    """Some of the models of a listing that does not name this one, those first whose names are like it."""
    first = list(dict.fromkeys([*nearest(model, models, most=_NEAREST, cutoff=0.4), *models]))[:_NEAREST]
    return ", ".join(first) + (f" and {len(models) - len(first)} more" if len(models) > len(first) else "")


def unlisted(model: str, models: Iterable[str]) -> bool:
    """Whether a listing that names models does not name this one; prefixes such as `models/` are overlooked."""
    names = list(models)
    return bool(names) and not any(name == model or name.endswith(f"/{model}") for name in names)


def default_model(endpoint: Endpoint) -> str:
    """The model where none was named and nobody needs to be asked; empty where the endpoint has to be."""
    return DEFAULT_MODEL if endpoint.is_openai else ""
