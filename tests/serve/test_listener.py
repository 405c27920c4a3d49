"""Addresses: what can be served on, and what is left behind."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gym_core import UsageError
from gym_http.serve.listener import Listener
from tests.support.loop import asynchronous


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers everything."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@asynchronous
async def test_a_free_port_is_taken() -> None:
    async with Listener(app) as one, Listener(app) as other, aiohttp.ClientSession() as client:
        assert one.url != other.url
        for listener in (one, other):
            async with client.get(listener.url) as reply:
                assert await reply.text() == "hi"
                assert "server" not in reply.headers


@asynchronous
async def test_a_port_that_is_taken_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="cannot be served on"):
        await Listener(app, port=taken.getsockname()[1]).__aenter__()
    with pytest.raises(UsageError, match="is no address"):
        await Listener(app, host="no such host").__aenter__()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no socket files")
@asynchronous
async def test_a_socket_file_that_nobody_serves_is_replaced() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gl") as folder:  # a socket's path must be short
        path = Path(folder) / "s"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
            stale.bind(str(path))
        async with Listener(app, uds=path) as listener:
            assert listener.url == f"unix:{path}"
            with pytest.raises(UsageError, match="already"):
                await Listener(app, uds=path).__aenter__()
            connector = aiohttp.UnixConnector(str(path))
            async with aiohttp.ClientSession(connector=connector) as client, client.get("http://gym/") as reply:
                assert await reply.text() == "hi"
        assert not path.exists()
        path.write_text("mine")
        with pytest.raises(UsageError, match="is no socket"):
            await Listener(app, uds=path).__aenter__()
        assert path.read_text() == "mine"
