"""`gym doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from gym_doctor import checks as diagnosis
from gym_doctor.endpoint import clock, look
from gym_testing import FakeOpenAI, faults, think
from tests.support.models import say
from tests.support.tokens import TokenModel

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

SECRET = "sk-very-secret-0123456789"
KEY_VARIABLES = ("OPENAI_API_KEY", "GYM_OPENAI_API_KEY", "OPENAI_BASE_URL")

ENV = '''
from gym_core import ResourceServer, Session, hookimpl


class Talk(Session):
    roles = ("judge",)

    def verify(self, trajectory):
        return 1.0


class Small(ResourceServer):
    """Small talk."""

    session_type = Talk
    preferred_agent = "nobody"


@hookimpl(contract=1)
def gym_resource_servers():
    return {"talk": Small}
'''


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KEY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def looked(gym: Gym, *arguments: str, status: int = 0) -> list[tuple[str, str, str, str]]:
    """The findings as (check, state, message, fix)."""
    done = gym("doctor", "--json", *arguments)
    assert done.status == status, done.out + done.err
    assert SECRET not in done.out + done.err
    report: dict[str, Any] = json.loads(done.out)
    found = [(each["check"], each["state"], each["message"], each["fix"]) for each in report["findings"]]
    assert report["problems"] == sum(state == "problem" for _, state, _, _ in found)
    assert report["warnings"] == sum(state == "warning" for _, state, _, _ in found)
    assert all(fix for _, state, _, fix in found if state == "problem")
    return found


def of(found: list[tuple[str, str, str, str]], check: str) -> list[tuple[str, str, str]]:
    return [(state, message, fix) for name, state, message, fix in found if name == check]


def said(found: list[tuple[str, str, str, str]], state: str, words: str) -> bool:
    return any(words in message for _, had, message, _ in found if had == state)


def test_a_sound_installation_has_no_problem_and_no_endpoint_is_asked(gym: Gym) -> None:
    with FakeOpenAI() as server:
        found = looked(gym, "--concurrency", "1")
        assert (server.listed, len(server.received)) == (0, 0)
    assert {check for check, *_ in found} >= {"versions", "dotenv", "plugins", "keys", "speed", "space"}
    assert said(found, "ok", f"Python {sys.version_info.major}.{sys.version_info.minor}")
    assert said(found, "ok", "the model backend openai (gym-openai-model")
    assert said(found, "ok", "`api_key` is not set (OPENAI_API_KEY or GYM_OPENAI_API_KEY)")


def test_for_people_every_finding_is_a_line_with_its_mend(gym: Gym) -> None:
    done = gym("doctor", "--concurrency", "100000000")
    assert done.status == 1
    assert "problem  open files: open files are limited to" in done.out
    assert "\n         -> " in done.out
    assert done.err.startswith("1 problem, ")


class TestKeys:
    """Names are shown, values never."""

    def test_of_the_environment(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        assert said(looked(gym), "ok", "openai: `api_key` comes from OPENAI_API_KEY")

    def test_of_the_dotenv(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "")  # put back what is set here
        monkeypatch.delenv("OPENAI_API_KEY")
        Path(".env").write_text(f"OPENAI_API_KEY={SECRET}\n")
        found = looked(gym)
        assert said(found, "ok", ".env is read; it sets OPENAI_API_KEY")
        assert said(found, "ok", "openai: `api_key` comes from OPENAI_API_KEY")

    def test_a_dotenv_that_is_switched_off(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GYM_NO_DOTENV", "1")
        Path(".env").write_text("A=b\n")
        assert said(looked(gym), "ok", "GYM_NO_DOTENV is set")

    def test_a_dotenv_that_cannot_be_read(self, gym: Gym) -> None:
        Path(".env").write_bytes(b"A=\xff\n")
        assert said(looked(gym, status=1), "problem", ".env cannot be read")


class TestPlugins:
    """Plugins and their state."""

    def test_broken_ones_conflicts_and_missing_kinds(self, gym: Gym, site: Site) -> None:
        site.add("bad-env", "import nothing_of_that_name", group="gym.resource_servers", name="bad")
        site.add("talk-env", ENV, group="gym.resource_servers", name="talk")
        site.add("talk-again", ENV, group="gym.resource_servers", name="talk")
        found = looked(gym, status=1)
        assert said(found, "problem", "bad-env: the environment 'bad' (version 1.0) is broken: cannot be imported")
        assert said(found, "warning", "the environment talk (talk-env 1.0) shares its name")
        assert said(found, "warning", "no model backend is installed")

    def test_what_is_switched_off_is_not_imported(self, gym: Gym, site: Site) -> None:
        site.add("bad-env", "import nothing_of_that_name", group="gym.resource_servers", name="bad")
        assert said(looked(gym, "--disable-plugin", "bad"), "ok", "the environment bad (bad-env 1.0) is switched off")

    def test_what_hides_one(self, gym: Gym, site: Site) -> None:
        (site.path / "gym_left-1.0.dist-info").mkdir()
        assert said(looked(gym), "warning", "gym_left-1.0.dist-info holds no metadata")

    def test_an_environment_that_lacks_its_agent_and_its_judge(self, gym: Gym, site: Site) -> None:
        site.add("talk-env", ENV, group="gym.resource_servers", name="talk")
        found = looked(gym, "--env", "talk", status=1)
        assert said(found, "ok", "talk is installed and takes its options")
        assert said(found, "problem", "its agent is missing: no agent named 'nobody'")
        assert said(found, "warning", "its sessions ask a `judge` model")

    @pytest.mark.parametrize("arguments", [("--env", "tlak"), ("--env", "talk", "-E", "sise=1")])
    def test_an_environment_that_cannot_be_wired(self, gym: Gym, site: Site, arguments: tuple[str, ...]) -> None:
        site.add("talk-env", ENV, group="gym.resource_servers", name="talk")
        ((state, _, _),) = of(looked(gym, *arguments, status=1), "environment")
        assert state == "problem"


class TestMachine:
    """Disk, limits and faster packages."""

    def test_a_folder_that_cannot_be_written(self, gym: Gym) -> None:
        Path("file").touch()
        assert said(looked(gym, "--output", "file/x.jsonl", status=1), "problem", "nothing can be written into file")

    def test_a_disk_that_is_nearly_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for free, state in ((1 << 20, "problem"), (1 << 29, "warning"), (1 << 40, "ok")):
            monkeypatch.setattr(shutil, "disk_usage", partial(Usage, free))
            (finding,) = diagnosis.space(tmp_path / "x.jsonl")
            assert finding.state == state

    @pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
    def test_what_a_run_cannot_raise_is_a_problem(self) -> None:
        (finding,) = diagnosis.open_files(10**12)
        assert finding.state == "ok" or "hard limit" in finding.fix

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
    def test_a_low_limit_that_a_run_raises_by_itself_is_none(self, tmp_path: Path) -> None:
        command = f"ulimit -Sn 256; exec {sys.executable} -m gym_core doctor --json --concurrency 300"
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        (finding,) = (found for found in json.loads(done.stdout)["findings"] if found["check"] == "open files")
        assert finding["state"] == "ok", finding


class Usage:
    """What `shutil.disk_usage` returns, as far as it is read."""

    def __init__(self, free: int, path: Path) -> None:
        self.free = free


def model(server: FakeOpenAI, name: str = "openai:fake-model") -> tuple[str, ...]:
    return ("--model", name, "-M", f"base_url={server.base_url}")


class TestModels:
    """`--model`: the endpoint is asked, and called once."""

    def test_a_model_that_answers(self, gym: Gym) -> None:
        with FakeOpenAI("hello") as server:
            found = of(looked(gym, *model(server)), "model policy")
            assert len(server.received) == 1
        assert [state for state, _, _ in found] == ["ok"] * 3
        assert "can be reached" in found[0][1]
        assert "fake-model is one of 1 models there" in found[1][1]
        assert "answered a tiny call within" in found[2][1]

    def test_the_call_can_be_left_out(self, gym: Gym) -> None:
        with FakeOpenAI("hello") as server:
            assert len(of(looked(gym, *model(server), "--no-call"), "model policy")) == 2
            assert (len(server.received), server.listed) == (0, 1)

    def test_a_model_of_another_name(self, gym: Gym) -> None:
        with FakeOpenAI("hello") as server:
            assert said(looked(gym, *model(server, "openai:other")), "warning", "other is not among the 1 models")

    def test_a_key_that_is_refused(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        with FakeOpenAI("hello", api_key="another") as server:
            (finding,) = of(looked(gym, *model(server), status=1), "model policy")
            assert len(server.received) == 0
        assert finding[0] == "problem"
        assert "OPENAI_API_KEY" in finding[1] + finding[2]

    def test_a_call_that_fails(self, gym: Gym) -> None:
        with FakeOpenAI(faults.error(500)) as server:
            assert said(looked(gym, *model(server), status=1), "problem", "a tiny call failed")

    def test_nothing_listens(self, gym: Gym) -> None:
        with FakeOpenAI() as server:
            arguments = model(server)
        assert said(looked(gym, *arguments, status=1), "problem", "connection refused")

    def test_a_role_and_a_reference_that_means_nothing(self, gym: Gym) -> None:
        found = looked(gym, "--model", "judge=opnai", status=1)
        ((state, message, _),) = of(found, "model judge")
        assert (state, "did you mean 'openai'" in message) == ("problem", True)

    def test_an_option_that_is_wrong(self, gym: Gym) -> None:
        found = looked(gym, "--model", "openai", "-M", "bas_url=x", status=1)
        assert said(found, "problem", "did you mean 'base_url'")


class Late(BaseHTTPRequestHandler):
    """An endpoint whose clock is wrong by `seconds`, or that has none."""

    seconds: float | None = 0

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        if self.seconds is not None:
            now = datetime.now(UTC) + timedelta(seconds=self.seconds)
            self.send_header("date", format_datetime(now, usegmt=True))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def late() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Late)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("seconds", "state", "words"),
    [
        (0, "ok", "agrees"),
        (60, "warning", "behind the endpoint's"),
        (-3600, "problem", "ahead of the endpoint's"),
        (None, "ok", "tells no time"),
    ],
)
def test_the_clock_is_compared_with_the_endpoints(
    late: str, monkeypatch: pytest.MonkeyPatch, seconds: float | None, state: str, words: str
) -> None:
    monkeypatch.setattr(Late, "seconds", seconds)
    finding = asyncio.run(clock(late))
    assert (finding.state, words in finding.message) == (state, True)
    assert bool(finding.fix) == (state != "ok")


def test_an_endpoint_that_is_gone_tells_no_time() -> None:
    assert asyncio.run(clock("http://127.0.0.1:9/v1")).state == "ok"


def test_another_package_with_a_script_of_the_name_is_named(gym: Gym, site: Site) -> None:
    assert "script" not in {row["check"] for row in json.loads(gym("doctor", "--json").out)["findings"]}
    site.info("nemo-gym", "[console_scripts]\ngym = nemo_gym.cli:main\n", "Name: nemo-gym\nVersion: 1.0\n")
    (found,) = [row for row in json.loads(gym("doctor", "--json").out)["findings"] if row["check"] == "script"]
    assert found["state"] == "warning"
    assert found["message"].startswith("nemo-gym has a script `gym`, too")
    assert "gymc" in found["fix"]


def two_turns(model: TokenModel) -> tuple[str, str]:
    """What a look at a model says of its exact tokens."""

    async def main() -> list[diagnosis.Finding]:
        return [found async for found in look("policy", model, call=True)]

    last = asyncio.run(main())[-1]
    return last.state, last.message


def test_a_model_that_says_its_tokens_is_asked_whether_a_second_turn_keeps_them() -> None:
    assert two_turns(TokenModel("hi there"))[0] == "ok"
    state, message = two_turns(TokenModel("hi there", splits=True))
    assert state == "warning"
    assert "encoded otherwise from its token 1 on" in message
    assert "leaves thinking out" in two_turns(TokenModel([think("hm"), say("hi")], drops_thinking=True))[1]
    state, message = two_turns(TokenModel("hi", silent=(2,)))
    assert (state, "cannot be used" in message) == ("problem", True)
