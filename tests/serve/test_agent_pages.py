"""The pages about serving a model and an agent: what they start is started, and their clients talk to it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gym_testing import FakeOpenAI
from tests.docs.pages import ROOT, blocks, commands
from tests.support.forks import gym_program


@contextmanager
def serving(command: str, endpoint: str) -> Iterator[str]:
    """A `gym serve` of a page on a free port, with an endpoint in place of the local model. Yields the URL."""
    words = shlex.split(
        command.replace("--model local", "--model openai:fake-model").replace("--port 8000", "--port 0")
    )
    environment = {**os.environ, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "sk-of-the-docs", "GYM_NO_DOTENV": "1"}
    environment.pop("GYM_SERVE_TOKEN", None)
    process = subprocess.Popen([gym_program(), *words[1:]], env=environment, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert re.fullmatch(r"serving the \w+ \S+ on http://127\.0\.0\.1:\d+\n", line)
            yield line.split()[-1]
        finally:
            process.terminate()
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["how-to/serve-a-model", "train/over-http"])
def test_the_clients_of_a_page_talk_to_its_server(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / f"{name}.md"
    shown = [command for block in blocks(page) if block.language == "sh" for command in commands(block)]
    start = next(command for command in shown if command.text.startswith("gym serve"))
    clients = [block for block in blocks(page) if block.language == "python"]
    assert clients
    with FakeOpenAI("Oslo: 3 degrees, rain.") as endpoint, serving(start.text, endpoint.base_url) as url:
        for block in clients:
            code = block.text.replace("http://127.0.0.1:8000", url)
            exec(compile(code, str(block), "exec", dont_inherit=True), {"__name__": "page"})
            printed = capsys.readouterr().out
            assert printed.strip()
            assert "failed:" not in printed
