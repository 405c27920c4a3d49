"""What is known of resources servers before one is made, and how an application in this process is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gym_core import Request as ModelRequest
from gym_core import Response as ModelResponse
from gym_core import UsageError
from gym_core.spi import LoadFailure
from gym_http.protocol.errors import RemoteError
from gym_isolated.records import Environment, record_name
from gym_nemo_servers.application import Application
from gym_nemo_servers.environment import NemoServer, NemoServerOptions
from gym_nemo_servers.loading import _placed, hints, mount
from gym_nemo_servers.models import ASKED, JUDGE, _asked
from gym_nemo_servers.names import known, named, table, venv_of


def test_nothing_that_speaks_http_is_imported_with_the_environment() -> None:
    program = "import sys, gym_nemo_servers.environment; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_server_is_named_by_its_folder_or_its_class() -> None:
    assert named(" mcqa ") == "mcqa"
    assert named("simple_weather") == "example_single_tool_call"
    for wrong in ("", None, "a b", "../x"):
        with pytest.raises(UsageError, match="id of a resources server"):
            named(wrong)


def test_servers_that_need_nothing_else_share_a_venv() -> None:
    shared, own, unnamed = venv_of("example_single_tool_call"), venv_of("mcqa"), NemoServer.venv("")
    assert shared is not None
    assert own is not None
    assert (shared.name, list(shared.packages), shared.python) == ("nemo", ["nemo-gym"], "3.13")
    assert (own.name, list(own.packages)) == ("nemo:mcqa", ["tiktoken", "nemo-gym"])
    assert unnamed == shared
    assert known("blackjack").steps
    assert not known("mcqa").steps
    assert len(table()["servers"]) == 143


def test_it_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match="NeMo Gym is not installed here"):
        mount("mcqa", {})
    server = NemoServer(NemoServerOptions(id="blackjack"))
    assert server.describe().preferred_agent == "gym-nemo-servers/nemo_steps"
    for ask in (lambda: list(server.tasks()), lambda: server.open_session(None, None)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="is not open"):
            ask()
    failure = LoadFailure(ModuleNotFoundError("No module named 'toml'", name="toml"))
    assert "--with nemo-gym --with toml" in failure.hint(*hints("structeval", Path("x"), failure))


class Judge:
    """A model, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def respond(self, request: ModelRequest, **sampling: Any) -> ModelResponse:
        self.asked.append(request.body)
        content = [{"type": "output_text", "text": "[[A]]"}]
        return ModelResponse({"output": [{"type": "message", "role": "assistant", "content": content}]})


def application() -> Starlette:
    async def judged(request: Request) -> Response:
        reply = await _asked("policy_model", "/v1/responses", {"input": "Which?", "model": "theirs"})
        answer = PlainTextResponse((await reply.json())["output"][0]["content"][0]["text"])
        answer.set_cookie("a", "1")
        answer.set_cookie("b", request.cookies.get("b", "none"))
        return answer

    async def broken(request: Request) -> Response:
        raise ValueError("no luck")

    async def echo(request: Request) -> Response:
        return JSONResponse({"body": await request.json(), "path": request.url.path}, 422)

    paths = {"/judged": judged, "/broken": broken, "/echo": echo}
    return Starlette(routes=[Route(path, one, methods=["POST"]) for path, one in paths.items()])


def test_an_application_is_asked_as_a_server_is() -> None:
    judge = Judge()

    async def main() -> None:
        async with Application(application(), "nemo:it") as connection:
            bound = connection.asking({JUDGE: judge})  # type: ignore[dict-item]
            reply = await bound.request("POST", "/judged", {}, headers={"Cookie": "b=2"})
            assert (reply.ok, reply.text, reply.cookies) == (True, "[[A]]", {"a": "1", "b": "2"})
            echoed = await connection.request("POST", "/echo", {"x": "ü"})
            assert (echoed.status, echoed.json()) == (422, {"body": {"x": "ü"}, "path": "/echo"})
            assert (await connection.request("GET", "/nowhere")).status == 404
            for asked, words in (("/broken", "no luck"), ("/judged", "may ask")):
                with pytest.raises(RemoteError, match=words):
                    await connection.request("POST", asked, {})

    asyncio.run(main())
    assert judge.asked == [{"input": "Which?"}]


def test_a_judge_is_asked_in_either_dialect() -> None:
    judge = Judge()

    async def main() -> None:
        ASKED.set({JUDGE: judge})  # type: ignore[dict-item]
        body = {"model": "m", "messages": [{"role": "user", "content": "Which?"}], "temperature": 0.5}
        reply = await _asked("judge_model", "/v1/chat/completions", body)
        assert json.loads(await reply.text())["choices"][0]["message"]["content"] == "[[A]]"
        with pytest.raises(RuntimeError, match="is no model"):
            await _asked("other_server", "/tool", {})

    asyncio.run(main())
    assert judge.asked[0]["temperature"] == 0.5


def test_an_id_that_no_server_has_is_refused_with_near_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=r"NeMo Gym 0\.7\.0 has no resources server 'mcqqa'; did you mean nemo:mcqa\?"):
        venv_of("mcqqa")
    with pytest.raises(UsageError, match=r"no resources server 'of_a_later_version'"):
        venv_of("of_a_later_version")


def test_the_servers_of_the_venv_that_was_made_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_HOME", str(tmp_path))
    store = tmp_path / "isolated"
    server = store / "nemo-1" / "lib" / "python3.13" / "site-packages" / "resources_servers" / "of_a_later_version"
    server.mkdir(parents=True)
    (server / "app.py").write_text("")
    about = Environment(store / "nemo-1", "nemo", "gym-nemo-servers", "0.1.0", "", "", 1, "", (), venv="nemo")
    (store / record_name("gym-nemo-servers", "nemo")).write_text(json.dumps(about.to_wire()))
    assert venv_of("of_a_later_version") == venv_of("")
    with pytest.raises(UsageError, match=r"NeMo Gym has no .* did you mean nemo:of_a_later_version"):
        venv_of("of_later_version")


def test_files_of_a_server_are_named_by_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, here = tmp_path / "server", tmp_path / "here"
    for path in (folder / "prompts" / "judge.txt", folder / "app.py", folder / "plain.txt", here / "plain.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    monkeypatch.chdir(here)
    text = "a sentence. " * 21
    settings = {
        "entrypoint": "app.py",
        "judge": {"fpath": "prompts/judge.txt", "n": 2},
        "all": ["plain.txt", "no/x.txt", text],
    }
    placed = _placed(settings, folder)
    assert placed == {
        "entrypoint": "app.py",
        "judge": {"fpath": str(folder / "prompts" / "judge.txt"), "n": 2},
        "all": [str(folder / "plain.txt"), "no/x.txt", text],
    }
    assert _placed(["plain.txt", "app.py"], folder, Path()) == ["plain.txt", str(folder / "app.py")]
    assert Path.cwd() == here
