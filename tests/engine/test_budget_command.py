"""`gym run` with a limit, against a server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gym_core.spi import open_run
from tests.support.budgets import PRICES, bounded, using
from tests.support.envs import env
from tests.support.running import config, read_jsonl


class Endpoint(BaseHTTPRequestHandler):
    """Answers every chat with the same words and their price."""

    def do_GET(self) -> None:
        self._send({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        message = {"role": "assistant", "content": "It rains."}
        self._send(
            {
                "id": "c",
                "object": "chat.completion",
                "model": "tiny",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600},
            }
        )

    def _send(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


def gym(endpoint: str, *arguments: str) -> int:
    from gym_core.cli import boundary

    model = ("--model", "openai:tiny", "-M", f"base_url={endpoint}", "-M", "max_output_tokens=100")
    return boundary.run_command(("run", *model, "--env", "simple_weather", "--concurrency", "1", *arguments))


def test_the_command_stops_with_3_and_goes_on_with_more(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"tiny": {"input": 1, "output": 10}}')
    output = tmp_path / "x.jsonl"
    limited = ("--output", str(output), "--limit", "10", "--prices", str(file), "--max-cost")
    assert gym(endpoint, *limited, "0.009") == 3
    told = capsys.readouterr().err
    assert "the run stopped: --max-cost 0.009 is reached" in told
    assert "continue it with a larger --max-cost:" in told
    assert " --resume" in told
    assert "--max-cost N" in told
    assert "--max-cost 0.009 " not in told.partition("continue it")[2]
    assert "of 0.009 USD" in told
    kept = len(read_jsonl(output))
    assert 0 < kept < 10
    assert [row["rollout"]["stop_reason"] for row in read_jsonl(tmp_path / "x.failures.jsonl")] == ["budget"]
    assert gym(endpoint, *limited, "1", "--resume") in (0, 1)
    rows = read_jsonl(output)
    assert len(rows) == 10
    assert all(row["rollout"]["cost"] == pytest.approx(0.0015) for row in rows)


def test_the_command_refuses_a_cost_nobody_can_know(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gym(endpoint, "--output", str(tmp_path / "x.jsonl"), "--max-cost", "1") == 2
    told = capsys.readouterr().err
    assert "`tiny`" in told
    assert "--prices FILE" in told


def test_the_progress_line_says_what_all_will_take(tmp_path: Path) -> None:
    from gym_core.engine.run.progress_line import Pace, line

    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    lines: list[str] = []

    async def main() -> None:
        async with open_run(config(bounded(using(500, 100)), env(tasks=5_000), prices=prices, limit=12)) as going:
            pace = Pace(going)
            await going.execute(lambda rollout: lines.append(line(going, pace)))

    asyncio.run(main())
    assert "in all" not in lines[0]
    assert lines[6].endswith("about 7.2 k tokens and 0.018 USD in all")
