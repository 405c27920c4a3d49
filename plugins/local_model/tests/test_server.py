"""llama.cpp's server as a child process: start, failures, and its end with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gym_local_model.server import LlamaServer, LocalServerError, ServerSettings

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")

PARENT = """
import asyncio, sys
from pathlib import Path
from gym_local_model.server import LlamaServer, ServerSettings

async def main():
    async with LlamaServer(ServerSettings(Path(sys.argv[1]), context_size=256)) as server:
        print(server.pid, server.base_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/models", timeout=10) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@asynccontextmanager
async def running(model: Path) -> AsyncIterator[LlamaServer]:
    async with LlamaServer(ServerSettings(model, alias="tiny", context_size=256)) as server:
        yield server


def test_the_server_is_ready_inside_the_context_and_gone_after(model_file: Path) -> None:
    async def scenario() -> str:
        async with running(model_file) as server:
            assert server.base_url.startswith("http://127.0.0.1:")
            assert await asyncio.to_thread(answers, server.base_url)
            assert await server.death() is None
            return server.base_url

    assert not answers(asyncio.run(scenario()))


@posix
def test_a_child_that_dies_is_reported_with_its_log(model_file: Path) -> None:
    async def scenario() -> LocalServerError | None:
        async with running(model_file) as server:
            os.kill(server.pid, signal.SIGKILL)
            return await server.death()

    error = asyncio.run(scenario())
    assert error is not None
    assert "signal SIGKILL" in error.message
    assert any("loading model" in note for note in error.__notes__)


@posix
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_ends_with_its_parent(model_file: Path, end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(model_file)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        child, url = parent.stdout.readline().split()
        assert answers(url)
        parent.send_signal(end)
        parent.wait()
        # The child held the other end of the parent's standard error; wait for it by its port.
        for _ in range(200):
            if not answers(url):
                break
            asyncio.run(asyncio.sleep(0.02))
    assert not answers(url), f"process {child} has outlived its parent"


@pytest.mark.parametrize("content", [b"hello", b"GGUF" + bytes(100), b""])
def test_a_file_that_is_no_model_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "bad.gguf"
    model.write_bytes(content)

    async def scenario() -> None:
        async with LlamaServer(ServerSettings(model)):
            pass

    with pytest.raises(LocalServerError) as caught:
        asyncio.run(scenario())
    assert str(model) in caught.value.message
    assert "\n" not in str(caught.value)
    assert "GGUF" in caught.value.hint
    assert caught.value.__notes__


def test_a_model_that_loads_too_long_is_given_up(model_file: Path) -> None:
    async def scenario() -> None:
        async with LlamaServer(ServerSettings(model_file, start_timeout=0.001)):
            pass

    with pytest.raises(LocalServerError, match="did not answer within"):
        asyncio.run(scenario())


def test_a_missing_system_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = tmp_path / "xllamacpp.py"
    stand_in.write_text("raise ImportError('libgomp.so.1: cannot open shared object file: No such file')")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def scenario() -> None:
        async with LlamaServer(ServerSettings(tmp_path / "any.gguf")):
            pass

    with pytest.raises(LocalServerError, match="libgomp1"):
        asyncio.run(scenario())
