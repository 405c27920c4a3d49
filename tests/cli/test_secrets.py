"""What is secret stands in no file, no message and no listing, and gym's own words stay readable, whatever the key."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest

from gym_testing import FakeOpenAI, Reply
from tests.cli.conftest import Gym, Result

RUN = (
    "run",
    "--env",
    "simple_weather",
    "--limit",
    "2",
    "--no-config",
    "--output",
    "o.jsonl",
    "--log-file",
    "log.jsonl",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


def everything(*results: Result) -> str:
    files = [path.read_text() for path in sorted(Path().iterdir()) if path.is_file()]
    return "\n".join([*files, *(result.out + result.err for result in results)])


def model(endpoint: FakeOpenAI, userinfo: str = "", query: str = "") -> tuple[str, ...]:
    url = endpoint.base_url.replace("://", f"://{userinfo}@" if userinfo else "://")
    return ("--model", "openai:fake-model", "-M", f"base_url={url}{query}")


@pytest.mark.parametrize(
    ("userinfo", "query", "more", "secrets"),
    [
        ("bob:p%40ss-word", "", (), ("p%40ss-word", "p@ss-word", b64encode(b"bob:p@ss-word").decode())),
        ("bob:q1", "", (), (":q1@",)),
        ("", "?api_key=in-the-query&sig=x/1", (), ("in-the-query", "x/1")),
        ("", "", ("-M", 'extra_body={"user": {"hf_token": "in-the-body"}}'), ("in-the-body",)),
        ("", "", ("-M", "extra_query.subscription-key=in-a-field"), ("in-a-field",)),
        ("", "", ("-M", "api_key=zq1x"), ("zq1x",)),
    ],
    ids=["userinfo", "short", "query", "body", "field", "argument"],
)
def test_no_secret_is_written_or_said(
    gym: Gym, userinfo: str, query: str, more: tuple[str, ...], secrets: tuple[str, ...]
) -> None:
    with FakeOpenAI("It is sunny.") as endpoint:
        arguments = (*model(endpoint, userinfo, query), *more)
        ran = gym(*RUN, *arguments, "-v")
        resumed = gym(*RUN, *arguments, "--resume")
        shown = gym("config", *arguments, "--env", "simple_weather", "--no-config", "--json")
        looked = gym("doctor", *arguments, "--json")
        endpoint.script(lambda request: Reply({"error": {"message": f"{request.headers} {request.body}"}}, 400))
        again = gym(*RUN, *arguments, "--overwrite", "--debug")
    assert [ran.status, resumed.status, shown.status] == [0, 0, 0], ran.err + resumed.err + shown.err
    said = everything(ran, resumed, shown, looked, again)
    assert [secret for secret in secrets if secret in said] == []


@pytest.mark.parametrize(
    "key", ["openai", "policy", "reward", "1", "task_id", "simple_weather", "completed", "12345678"]
)
def test_a_key_that_is_a_word_leaves_a_run_readable_and_resumable(
    gym: Gym, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with FakeOpenAI("It is sunny.") as endpoint:
        ran = gym(*RUN, *model(endpoint))
        resumed = gym(*RUN, *model(endpoint), "--resume", "--limit", "3")
    assert [ran.status, resumed.status] == [0, 0], ran.err + resumed.err
    rows = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert len({row["task_id"] for row in rows}) == 3
    assert {row["rollout"]["status"] for row in rows} == {"completed"}
    manifest = json.loads(Path("o.run.json").read_text())
    assert manifest["settings"]["env"]["ref"] == "simple_weather"
    assert "***" not in Path("o.jsonl").read_text()
    assert gym("stats", "o.jsonl").status == 0


def test_a_key_that_cannot_be_looked_for_is_said_once(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "policy")
    with FakeOpenAI("It is sunny.") as endpoint:
        ran = gym(*RUN, *model(endpoint))
    assert ran.err.count("an ordinary word or shorter than 6 characters") == 1
