"""`gym models`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gym_core.spi import run_command


class Listing(BaseHTTPRequestHandler):
    """An endpoint that offers two models."""

    def do_GET(self) -> None:
        body = json.dumps({"object": "list", "data": [{"id": "small"}, {"id": "large"}]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def base_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_models_of_an_endpoint_are_listed(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["models", "--model", "openai", "-M", f"base_url={base_url}"]) == 0
    assert capsys.readouterr().out.split() == ["large", "small"]


def test_as_json(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["models", "--model", "openai", "-M", f"base_url={base_url}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["large", "small"]


def test_nothing_listening_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["models", "--model", "openai:x", "-M", "base_url=http://127.0.0.1:9/v1"]) == 2
    assert "127.0.0.1:9" in capsys.readouterr().err
