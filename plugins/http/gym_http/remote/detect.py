"""What is behind a URL: a component that gym serves, a server of NeMo Gym, or something else, which is then said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_core import UsageError
from gym_http.protocol.client import Reply
from gym_http.protocol.errors import RemoteError, WireError
from gym_http.protocol.wire import PROTOCOL, InfoT, info_from_wire
from gym_http.remote.connection import Connection

RESOURCE_SERVER = "resource_server"
MODEL = "model"
AGENT = "agent"
_WORDS = {RESOURCE_SERVER: "an environment", MODEL: "a model", AGENT: "an agent"}
_FLAGS = {RESOURCE_SERVER: "--env", MODEL: "--model", AGENT: "--agent"}
_FIRST_WAIT = 5.0
_SECONDS = 30.0
"""How long the first answer may take."""
_CLOSING = ("/close_session", "/close")
_REFUSED = frozenset({401, 403})
_IN_BETWEEN = frozenset({301, 302, 303, 307, 308, 407, 511})
"""What proxies answer with that stand before a server."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says of itself.

    `nemo`: it speaks NeMo Gym's protocol and nothing else; all below is empty then. `steps`: by `/reset` and `/step`.
    `closes`: the path that closes the session of a cookie, if there is one. `episodes`: its `/run` takes
    episodes. `name`: the reference by which it is served. `options`: the component's, without secrets.
    `capabilities`: see `GET /v1/component`.
    """

    kind: str
    nemo: bool = False
    steps: bool = False
    closes: str = ""
    episodes: bool = False
    name: str = ""
    distribution: str = ""
    version: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)

    def info(self, kind: type[InfoT], **known: Any) -> InfoT:
        """What the component there says of itself; `known` where it does not. Raises `UsageError`."""
        try:
            return info_from_wire(kind, dict(self.capabilities), component=self.identity, **known)
        except WireError as error:
            raise UsageError(f"`{self.name}` is described as no {self.kind} is: {error.message}") from None

    @property
    def identity(self) -> dict[str, Any]:
        """What the manifest records of it."""
        if self.nemo:
            return {"protocol": "nemo"}
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "options": dict(self.options),
        }


async def recognise(connection: Connection, kind: str, api: str = "auto") -> Served:
    """What is behind a connection, which has to be of a `kind`. Raises `UsageError` that says what was found.

    `api`: whose routes to ask, `gym` or `nemo`; the first of them that there are by default.
    """
    url = connection.url
    try:
        if api == "nemo":
            await connection.open("GET", "/", wait=_FIRST_WAIT, timeout=_SECONDS, check=False)
            described = await connection.request("GET", "/openapi.json", timeout=_SECONDS)
            return _by_routes(_document(described)) or Served(kind, nemo=True)
        reply = await connection.open("GET", "/v1/component", wait=_FIRST_WAIT, timeout=_SECONDS, check=False)
        served = _ours(url, reply)
        if served is None and api == "gym":
            raise UsageError(
                f"{url} does not have gym's routes: GET /v1/component answered {reply.status}", hint="leave `api` out"
            )
        served = served or await _nemo(connection, reply)
    except RemoteError as error:
        raise UsageError(error.message, hint=error.hint) from None
    if served.kind != kind:
        what = f"{_WORDS[served.kind]} of NeMo Gym" if served.nemo else f"{_WORDS[served.kind]}, `{served.name}`"
        raise UsageError(f"{url} serves {what}, and not {_WORDS[kind]}", hint=f"{_FLAGS[served.kind]} {url}")
    return served


def _ours(url: str, reply: Reply) -> Served | None:
    if reply.status in _REFUSED:
        raise UsageError(
            f"{url} wants a token" if reply.status == 401 else f"{url} does not take this token",
            hint="set GYM_REMOTE_TOKEN to the token that the server was started with",
        )
    try:
        about = reply.json() if reply.ok else None
    except RemoteError:
        return None
    if not isinstance(about, dict) or about.get("kind") not in _WORDS or "protocol" not in about:
        return None
    if about["protocol"] != PROTOCOL:
        raise UsageError(
            f"{url} speaks version {about['protocol']} of gym's protocol, and this gym version {PROTOCOL}",
            hint="run the same version of gym-core at both ends",
        )
    return Served(
        about["kind"],
        name=str(about.get("ref") or about.get("name") or ""),
        distribution=str(about.get("distribution") or ""),
        version=str(about.get("version") or ""),
        options=about.get("options") or {},
        capabilities=about.get("capabilities") or {},
    )


async def _nemo(connection: Connection, first: Reply) -> Served:
    """A server of NeMo Gym by its routes, which it describes. Raises `UsageError`."""
    described = await connection.request("GET", "/openapi.json", timeout=_SECONDS)
    document = _document(described)
    if (found := _by_routes(document)) is not None:
        return found
    if document is None:
        root = await connection.request("GET", "/", timeout=_SECONDS)
        if _is_json(root) and root.status in (200, 404) and first.status in (404, 405):
            return Served(RESOURCE_SERVER, nemo=True)
    if first.status >= 500 or first.status in _IN_BETWEEN:
        raise connection.error(first)
    raise UsageError(
        f"{connection.url} is neither a server of gym nor one of NeMo Gym: GET /v1/component answered {first.status}, "
        f"GET /openapi.json {described.status}",
        hint="start one with `gym serve`, or check the URL",
    )


def _document(described: Reply) -> Mapping[str, Any] | None:
    """What a server says of its routes; None where it describes none."""
    try:
        document = described.object() if described.ok else {}
    except RemoteError:
        return None
    return document if isinstance(document.get("paths"), dict) else None


def _by_routes(document: Mapping[str, Any] | None) -> Served | None:
    """The server of NeMo Gym that has these routes, if there is one."""
    if document is None:
        return None
    paths = document["paths"]
    if {"/reset", "/step"} <= paths.keys() and "/verify" not in paths:
        return Served(RESOURCE_SERVER, nemo=True, steps=True)
    if "/verify" in paths:
        closes = next((path for path in _CLOSING if _takes_nothing(paths.get(path))), "")
        return Served(RESOURCE_SERVER, nemo=True, closes=closes)
    if "/run" in paths:
        return Served(AGENT, nemo=True, episodes="episode_id" in _fields(paths["/run"], document))
    return Served(MODEL, nemo=True) if "/v1/responses" in paths else None


def _takes_nothing(path: Any) -> bool:
    """Whether a route may be posted to without a body. Most close sessions by an id that their caller has made."""
    operation = path.get("post") if isinstance(path, Mapping) else None
    if not isinstance(operation, Mapping):
        return False
    body = operation.get("requestBody")
    return not isinstance(body, Mapping) or body.get("required") is not True


def _fields(path: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of the body that a route takes, as far as the document says which those are."""
    try:
        schema = path["post"]["requestBody"]["content"]["application/json"]["schema"]
        if name := schema.get("$ref", "").rpartition("/")[2]:
            schema = document["components"]["schemas"][name]
        return dict(schema["properties"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _is_json(reply: Reply) -> bool:
    return reply.headers.get("Content-Type", "").startswith("application/json")
