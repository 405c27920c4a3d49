from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gym_testing import FakeOpenAI, IsolatedPlugins, faults

if TYPE_CHECKING:
    from tests.cli.conftest import Gym

ROOT = Path(__file__).parents[2]

ENV = '''
from typing import Annotated

from pydantic import Field, SecretStr

import gym_core
from gym_core import FromEnv, ResourceServer, Selector, Session, Task, hookimpl


class Judged(Session):
    def verify(self, trajectory):
        kind = self.server.options.kind
        if kind == "generous":
            return 1.0
        if kind == "never":
            return float(trajectory.output_text == 7)
        if kind == "leaky":
            return float(trajectory.output_text == self.task["answer"])
        return min(1.0, trajectory.output_text.count("well") / 4)


class TrapOptions(gym_core.Options):
    kind: Annotated[str, Selector()] = Field("fair", description="What the verifier is like.")
    key: Annotated[SecretStr | None, FromEnv("TRAP_KEY")] = Field(None, description="A key.")


class Trap(ResourceServer[TrapOptions]):
    """An environment to audit."""

    session_type = Judged

    def tasks(self):
        for number in range(6):
            answer = f"x{number}-{number * 7}"
            key = self.options.key.get_secret_value() if self.options.key else ""
            yield Task.ask(f"Task {number}. The answer is {answer}. What is it? {key}", answer=answer)


@hookimpl(contract=1)
def gym_resource_servers():
    return {"trap": Trap}
'''


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> IsolatedPlugins:
    made = IsolatedPlugins(tmp_path / "site", monkeypatch).keep("simple_weather", "simple_agent", "openai")
    made.add("gym-trap", ENV, group="gym.resource_servers", name="trap")
    return made


@pytest.fixture
def endpoint() -> Iterator[FakeOpenAI]:
    with FakeOpenAI("well well") as server:
        yield server


def test_the_weather_and_the_counter_are_sound(gym: Gym, plugins: IsolatedPlugins) -> None:
    plugins.install(ROOT / "examples/gym_counter")
    for name in ("simple_weather", "counter"):
        result = gym("check", name)
        assert result.status == 0, result.out
        assert "sound: 0 errors, 0 warnings" in result.out


def test_the_report_is_for_people(gym: Gym) -> None:
    result = gym("check", "trap")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0] == "trap (gym-trap 1.0): 6 tasks; tools: none"
    assert lines[2].split() == ["POLICY", "TASKS", "FAILED", "FULL", "REWARD", "MEAN", "BEST"]
    assert lines[3].split() == ["null", "6", "0", "0%", "0.000", "0.000"]
    assert lines[-2].startswith("nothing was ever rewarded")
    assert lines[-1] == "not shown to be sound: 0 errors, 0 warnings"
    assert "trying the policy `parrot` on 6 tasks" in result.err


def test_an_always_generous_verifier_fails_the_check(gym: Gym) -> None:
    result = gym("check", "trap:generous")
    assert result.status == 1
    assert "error: cheatable by `null`: a policy that says nothing earns a full reward on 6 of 6 tasks" in result.out
    assert "not sound: 5 errors" in result.out


def test_an_answer_in_the_question_fails_the_check(gym: Gym) -> None:
    result = gym("check", "trap", "-E", "kind=leaky")
    assert result.status == 1
    assert "cheatable by `leak`" in result.out
    assert "task `1` is answered by `x0-0`" in result.out


def test_json_holds_everything(gym: Gym) -> None:
    result = gym("check", "trap:leaky", "--limit", "3", "--json")
    assert result.status == 1
    report = json.loads(result.out)
    assert (report["env"], report["distribution"], report["tasks"]) == ("trap:leaky", "gym-trap", 3)
    assert report["sound"] is False
    assert report["sample"] is None
    assert report["verify_seconds"]["median"] >= 0
    leak = report["policies"][-1]
    assert (leak["name"], leak["full"], leak["verdicts"], leak["best"]) == ("leak", 3, 3, 1.0)
    (finding,) = report["findings"]
    assert (finding["severity"], finding["id"], finding["task_id"]) == ("error", "cheatable", "1")
    assert finding["message"]
    assert finding["fix"]


def test_a_model_is_sampled(gym: Gym, endpoint: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    arguments = ("--model", "openai:any", "-M", f"base_url={endpoint.base_url}", "--sample", "4")
    result = gym("check", "trap", *arguments)
    assert result.status == 0, result.err
    assert "openai:any: mean reward 0.500, 4 rollouts, 0 failed" in result.out
    assert "   0.50 to 0.60      4  ########################################" in result.out
    assert "   0.00 to 0.10      0\n" in result.out
    assert "info: the model earns 0.5 on every sampled task [sample-uniform]" in result.out
    report = json.loads(gym("check", "trap", *arguments, "--json").out)
    assert report["sample"]["mean"] == 0.5
    assert [bin["count"] for bin in report["sample"]["histogram"]] == [0, 0, 0, 0, 0, 4, 0, 0, 0, 0]


def test_a_verifier_that_nobody_can_please_is_not_called_sound(
    gym: Gym, endpoint: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    arguments = ("--model", "openai:any", "-M", f"base_url={endpoint.base_url}", "--sample", "2")
    result = gym("check", "trap:never", *arguments)
    assert "warning: nothing was ever rewarded: neither a scripted policy nor openai:any" in result.out
    assert "[never-won]" in result.out
    assert result.out.splitlines()[-1].startswith("not shown to be sound: 0 errors")


def test_a_sample_that_cannot_be_taken_leaves_the_rest(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    with socket.socket() as reserved:  # bound, and nobody listens
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        result = gym("check", "trap", "--model", "openai:any", "-M", f"base_url={url}")
    assert result.status == 1
    assert "no sample was taken" in result.out
    assert "[sample-not-taken]" in result.out
    assert "parrot" in result.out


def test_failed_rollouts_of_a_sample_are_counted(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    with FakeOpenAI("well", faults.bad_request()) as server:
        arguments = ("--model", "openai:any", "-M", f"base_url={server.base_url}", "--sample", "2")
        result = gym("check", "trap", *arguments)
    assert result.status == 0
    assert "1 of 2 sampled rollouts failed: BadRequestError" in result.out


def test_secrets_stay_secret(gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAP_KEY", "very-secret-value")
    result = gym("check", "trap:leaky", "--json")
    assert "very-secret-value" not in result.out + result.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "missing argument 'REF'"),
        (("trpa",), "no environment named 'trpa' is installed; did you mean 'trap'?"),
        (("trap", "-E", "knid=x"), "trap has no option 'knid' (-E knid); did you mean 'kind'?"),
        (("trap", "--limit", "0"), "--limit"),
        (("trap", "--sample", "3"), "--sample needs a model"),
        (("trap", "--model", "a", "--model", "b"), "--model is given twice without a role: a and b"),
        (("openai",), "'openai' is no environment but a model backend"),
    ],
)
def test_what_is_wrong_is_said(gym: Gym, arguments: tuple[str, ...], problem: str) -> None:
    result = gym("check", *arguments)
    assert result.status == 2
    assert problem in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


JUDGED = """
from gym_core import ModelBackend, ResourceServer, Response, Session, Task, hookimpl


class JudgedSession(Session):
    roles = ("judge",)

    async def verify(self, trajectory):
        judged = await self.models["judge"].respond(f"Is this good? {trajectory.output_text}")
        return float(judged.output_text == "yes")


class Judged(ResourceServer):
    '''Asks a judge.'''

    session_type = JudgedSession

    def tasks(self):
        return [Task.ask("Be good.")]


class YesMan(ModelBackend):
    '''Says yes.'''

    async def respond(self, request, context):
        content = [{"type": "output_text", "text": "yes"}]
        return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})


@hookimpl(contract=1)
def gym_resource_servers():
    return {"judged": Judged}


@hookimpl(contract=1)
def gym_model_backends():
    return {"yes_man": YesMan}
"""


def test_a_judge_is_asked_where_one_is_given(gym: Gym, plugins: IsolatedPlugins) -> None:
    module = plugins.add("gym-judged", JUDGED, group="gym.resource_servers", name="judged")
    plugins.add("gym-yes-man", group="gym.models", name="yes_man", value=module)
    result = gym("check", "judged")
    assert result.status == 0
    assert "its sessions ask a `judge` model" in result.out
    result = gym("check", "judged", "--model", "judge=yes_man")
    assert result.status == 1
    assert "cheatable by `null`" in result.out
    assert "(see task `1`)" in result.out


def test_a_broken_plugin_is_blamed(gym: Gym, plugins: IsolatedPlugins) -> None:
    plugins.add("gym-broken", "raise RuntimeError('on fire')", group="gym.resource_servers", name="broken")
    result = gym("check", "broken")
    assert result.status == 2
    assert "gym-broken" in result.err
    assert "on fire" in result.err
