"""The fixtures that authors get, and what stands behind them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import (
    Agent,
    Done,
    Episode,
    ResourceServer,
    Session,
    Stop,
    StopReason,
    Task,
    Trajectory,
    UsageError,
    errors,
    tool,
)
from gym_testing import (
    FakeOpenAI,
    GymCommand,
    IsolatedPlugins,
    RunRollout,
    ScriptedModel,
    answer,
    call,
    faults,
    rehearse,
    say,
    think,
)

ROOT = Path(__file__).parents[2]
CODE = """
from gym_core import ResourceServer, Session, Task, hookimpl

class Quiet(Session):
    def verify(self, trajectory):
        return 1.0

class Made(ResourceServer):
    \"\"\"Made for a test.\"\"\"
    session_type = Quiet

    def tasks(self):
        yield Task.ask("Say nothing.", task_id="nothing")

@hookimpl(contract=1)
def gym_resource_servers():
    return {"made": Made}
"""


class SumSession(Session["Sums"]):
    def setup(self) -> None:
        self.sum = 0

    @tool
    def add(self, a: int, b: int) -> int:
        """Add a and b."""
        self.sum += a + b
        return self.sum

    @tool
    def stop(self) -> Done:
        """End it."""
        return Done("over")

    async def verify(self, trajectory: Trajectory) -> float:
        if self.server.options.judge:
            said = await self.models["judge"].respond(trajectory.output_text)
            return float(said.output_text)
        return float(self.sum == self.task["sum"])


class SumsOptions(gym_core.Options):
    judge: bool = False


class Sums(ResourceServer[SumsOptions]):
    """Sums."""

    session_type = SumSession

    def tasks(self) -> Any:
        yield Task.ask("What is 1 + 2?", task_id="three", sum=3)
        yield Task.ask("What is 2 + 2?", task_id="four", sum=4)


# pytest's plugin


def test_pytest_pays_little_for_the_plugin() -> None:
    code = "import sys, pytest; old = set(sys.modules); import gym_testing.plugin; print(*set(sys.modules) - old)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "gym_testing.plugin" in loaded
    assert not {"pydantic", "orjson", "click", "httpx", "gym_core.contract", "gym_testing.endpoint"} & loaded


@pytest.mark.slow
def test_an_author_needs_no_conftest(tmp_path: Path) -> None:
    test = (
        "from gym_testing import call\n"
        "def test_it(run_rollout, scripted_model, isolated_plugins, gym_cli, fake_openai, tmp_path):\n"
        "    assert fake_openai.base_url and isolated_plugins.path.is_dir()\n"
        "    assert gym_cli('--version').exit_code == 0\n"
        "    assert scripted_model('hello').script == ('hello',)\n"
    )
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout


# scripted_model


def responses_of(model: ScriptedModel, count: int, key: tuple[str, int] = ("t", 0)) -> list[gym_core.Response]:
    async def main() -> list[gym_core.Response]:
        context = gym_core.CallContext(key)
        return [await model.respond(gym_core.Request.ask("Hello?"), context) for _ in range(count)]

    return asyncio.run(main())


def test_a_scripted_model_says_its_turns_and_the_last_one_again(scripted_model: type[ScriptedModel]) -> None:
    model = scripted_model("one", [think("Hm."), "two"], call("add", a=1), say("four"))
    texts = [response.output_text for response in responses_of(model, 5)]
    assert texts == ["one", "two", "", "four", "four"]
    assert [request.input[0]["content"] for request in model.requests] == ["Hello?"] * 5


def test_every_rollout_has_the_script_from_the_start(scripted_model: type[ScriptedModel]) -> None:
    model = scripted_model("one", "two")
    for task in ("a", "b"):
        assert [response.output_text for response in responses_of(model, 2, (task, 0))] == ["one", "two"]


def test_a_turn_may_be_a_whole_answer_a_function_or_an_exception(scripted_model: type[ScriptedModel]) -> None:
    async def later(request: Any, context: Any) -> str:
        await asyncio.sleep(0)
        return f"{context.key[0]} asked"

    cut = answer("Half", incomplete="max_output_tokens", usage={"input_tokens": 7, "output_tokens": 1})
    first, second = responses_of(scripted_model(cut, later), 2)
    assert (first.stop_reason, first.usage.input_tokens) == ("max_output_tokens", 7)
    assert second.output_text == "t asked"
    with pytest.raises(errors.QuotaError):
        responses_of(scripted_model(errors.QuotaError("no credit")), 1)


def test_what_is_no_turn_is_refused(scripted_model: type[ScriptedModel]) -> None:
    with pytest.raises(TypeError, match="a reply of an endpoint"):
        responses_of(scripted_model(faults.html()), 1)
    with pytest.raises(TypeError, match="a turn of a script"):
        responses_of(scripted_model(42), 1)  # type: ignore[arg-type]  # what a test is about


# run_rollout


def test_a_rollout_goes_through_the_engine(run_rollout: RunRollout) -> None:
    rollout = run_rollout(Sums, call("add", a=1, b=2), "The sum is 3.")
    assert (rollout.task_id, rollout.status.value, rollout.reward) == ("three", "completed", 1.0)
    assert [item["type"] for item in rollout.response.output] == ["function_call", "function_call_output", "message"]


@pytest.mark.parametrize("wanted", [1, "four", Task.ask("?", task_id="four", sum=4)])
def test_the_task_is_chosen(run_rollout: RunRollout, wanted: Any) -> None:
    rollout = run_rollout(Sums(), call("add", a=2, b=2), "4", task=wanted)
    assert (rollout.task_id, rollout.reward) == ("four", 1.0)


@pytest.mark.parametrize("wanted", [2, "five"])
def test_a_task_that_is_not_there_is_a_mistake_of_the_test(run_rollout: RunRollout, wanted: Any) -> None:
    with pytest.raises(LookupError, match=f"ships no task {wanted!r}"):
        run_rollout(Sums, "3", task=wanted)


def test_agent_options_models_and_references(run_rollout: RunRollout) -> None:
    class Silent(Agent):
        async def run(self, episode: Episode) -> Stop:
            return Stop(StopReason.COMPLETED, "silent")

    rollout = run_rollout(Sums, agent=Silent, options={"judge": "true"}, models={"judge": ScriptedModel("0.25")})
    assert (rollout.stop_detail, rollout.reward) == ("silent", 0.25)
    rollout = run_rollout("simple_weather", "No idea.", agent="simple_agent", agent_options={"max_turns": 1})
    assert rollout.status.has_verdict
    with pytest.raises(UsageError, match="no option 'jugde'"):
        run_rollout(Sums, options={"jugde": True})


def test_failures_are_in_the_row_and_retries_take_no_time(run_rollout: RunRollout) -> None:
    model = ScriptedModel(errors.OverloadedError("busy"))
    rollout = run_rollout(Sums, model)
    assert rollout.status.value == "model_error"
    assert len(model.requests) > 2


def test_it_works_in_a_coroutine() -> None:
    assert asyncio.run(rehearse(Sums, call("stop"))).stop_reason == "session_done"


# isolated_plugins


WIRED = {"model", "resource_server", "agent", "extension"}
"""The kinds that a run is wired from; commands and what they use stay visible."""


def wired(listed: str) -> set[str]:
    return {plugin["name"] for plugin in json.loads(listed) if plugin["kind"] in WIRED}


def names(gym_cli: GymCommand) -> set[str]:
    return wired(gym_cli("plugins", "list", "--json").out)


def test_nothing_is_visible_but_what_is_named(isolated_plugins: IsolatedPlugins, gym_cli: GymCommand) -> None:
    assert names(gym_cli) == set()
    isolated_plugins("simple_weather", "simple_agent")
    assert names(gym_cli) == {"simple_weather", "simple_agent"}
    isolated_plugins("simple_agent")
    assert names(gym_cli) == {"simple_agent"}
    with pytest.raises(LookupError, match="no plugin named 'simple_wether'"):
        isolated_plugins("simple_wether")


def test_a_made_plugin_runs(isolated_plugins: IsolatedPlugins, run_rollout: RunRollout, gym_cli: GymCommand) -> None:
    isolated_plugins.add("gym-made", CODE, group="gym.resource_servers", name="made")
    assert names(gym_cli) == {"made"}
    assert run_rollout("made", "").task_id == "nothing"


def test_a_folder_is_visible_as_if_installed(isolated_plugins: IsolatedPlugins, run_rollout: RunRollout) -> None:
    isolated_plugins.install(ROOT / "examples/gym_counter")
    assert run_rollout("counter", call("increment", by=7), "10").reward == 1.0


def test_processes_see_the_same(isolated_plugins: IsolatedPlugins) -> None:
    isolated_plugins("simple_agent").add("gym-made", CODE, group="gym.resource_servers", name="made")
    command = [sys.executable, "-m", "gym_core", "plugins", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert wired(done.stdout) == {"simple_agent", "made"}


def test_all_is_as_before_afterwards(gym_cli: GymCommand) -> None:
    assert {"simple_weather", "openai", "local", "simple_agent"} <= names(gym_cli)


# gym_cli and fake_openai


def test_errors_are_exit_codes(gym_cli: GymCommand) -> None:
    done = gym_cli("run", "--model", "opnai", "--env", "simple_weather")
    assert done.exit_code == 2
    assert "did you mean 'openai'" in done.err
    assert done.out == ""


def test_a_run_against_the_endpoint(
    gym_cli: GymCommand, fake_openai: FakeOpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", fake_openai.base_url)
    fake_openai.script(call("get_weather", city="Paris"), "In Paris it is sunny, 21 °C.")
    done = gym_cli("run", "--model", "openai:m", "--env", "simple_weather", "--limit", "1", "--output", "x.jsonl")
    assert done.exit_code == 0, done.err
    (row,) = (json.loads(line) for line in (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["reward"] == 1.0
    assert len(fake_openai.received) == 2


class Hello(Session[Any]):
    """Greets."""

    def verify(self, trajectory: Trajectory) -> bool:
        return trajectory.output_text == "hi"


class Greeting(ResourceServer):
    """Greetings."""

    session_type = Hello


def test_a_rollout_can_be_run_where_a_loop_runs(run_rollout: RunRollout) -> None:
    async def cell() -> float | None:
        return run_rollout(Greeting, "hi", task=Task.ask("Hello!")).reward

    assert asyncio.run(cell()) == 1.0


def test_what_fails_has_no_causes_of_the_kits_own(run_rollout: RunRollout) -> None:
    class Wrong(Session):
        def setup(self) -> Any:
            return "text"

        def verify(self, trajectory: Trajectory) -> float:
            return 1.0

    class Env(ResourceServer):
        session_type = Wrong

    error = run_rollout(Env, "hi", task=Task.ask("Hello!")).error
    assert error is not None
    assert "causes" not in error
