"""The fixtures of this plugin: the backend over every dialect and transport, against a scripted endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .scripted import DIALECTS, TRANSPORTS, Caller, Endpoint

_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_VARIABLES, *_PROXIES, *(name.lower() for name in _PROXIES)):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(endpoint: Endpoint, dialect: str) -> Caller:
    """Over every dialect and the usual transport: what a reply means does not depend on how it came."""
    return Caller(endpoint, dialect)


@pytest.fixture
def carried(endpoint: Endpoint, dialect: str, transport: str) -> Caller:
    """Over every dialect and every transport."""
    return Caller(endpoint, dialect, transport)
