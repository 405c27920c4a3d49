"""Runs with isolated environments: side by side, without secrets in sight, over the deaths of children and parents."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import gym_core
from gym_core import Agent, Episode, ModelBackend, ModelInfo, Rollout, Stop, StopReason, UsageError
from gym_core.spi import Kind, Maker, PluginManager, Redactor
from gym_isolated import supervisor
from gym_testing import call
from gym_testing.models import ScriptedModel

pytestmark = pytest.mark.slow
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
SECRET = "sk-known-to-nobody"


class Script(Agent):
    """Calls tools, whatever the model says; `steps` are names with arguments."""

    def __init__(self, *steps: tuple[str, dict[str, Any]]) -> None:
        super().__init__()
        self.steps = steps
        self.outputs: list[list[str]] = []

    async def run(self, episode: Episode) -> Stop:
        """One call after the other."""
        outputs: list[str] = []
        self.outputs.append(outputs)
        for number, (name, arguments) in enumerate(self.steps):
            answer = await episode.call_tool(
                {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": json.dumps(arguments)}
            )
            outputs.append(answer["output"])
            self.called(name, answer["output"])
        return Stop(StopReason.COMPLETED)

    def called(self, name: str, output: str) -> None:
        """What a subclass does when a tool has answered."""


async def collect(env: str, agent: Agent | str, **settings: Any) -> list[Rollout]:
    model = settings.pop("model", None) or ScriptedModel("done")
    async with asyncio.timeout(120):
        return [rollout async for rollout in gym_core.collect(model=model, env=env, agent=agent, **settings)]


def statuses(rollouts: list[Rollout]) -> list[str]:
    return [rollout.status.value for rollout in sorted(rollouts, key=lambda rollout: rollout.task_id)]


def test_two_versions_of_a_library_side_by_side(home: Path) -> None:
    async def both() -> list[list[Rollout]]:
        names = ("old", "new")
        return await asyncio.gather(
            *(collect(name, "simple_agent", model=ScriptedModel(call("version"), "done")) for name in names)
        )

    old, new = asyncio.run(both())
    for rollouts, version in ((old, "1.0"), (new, "2.0")):
        assert [rollout.reward for rollout in rollouts] == [1.0, 1.0]
        for rollout in rollouts:
            outputs = [item["output"] for item in rollout.response.output if item["type"] == "function_call_output"]
            assert outputs == [version]


@linux
def test_options_come_by_a_pipe_and_the_environment_is_inherited(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GYM_TEST_INHERITED", "yes")
    monkeypatch.setenv("PYTHONPATH", str(home))
    seen: list[str] = []

    class Looking(Script):
        def called(self, name: str, output: str) -> None:
            if not seen:
                seen.append(Path(f"/proc/{output}/cmdline").read_text())

    agent = Looking(*(("look", {"what": what}) for what in ("pid", "options", "variable", "path")))
    rollouts = asyncio.run(
        collect(
            "old", agent, limit=1, env_options={"size": "3k", "api_key": SECRET, "weights": {"a": 2}, "request": "r"}
        )
    )
    assert statuses(rollouts) == ["completed"]
    ((pid, options, variable, path),) = agent.outputs
    assert json.loads(options)["size"] == 3000
    assert json.loads(options)["weights"] == {"a": 2.0}
    assert (json.loads(options)["environment"], json.loads(options)["request"]) == ("", "r")
    assert variable == "yes"
    assert str(home) + os.pathsep not in path + os.pathsep
    assert os.getcwd() not in path.split(os.pathsep)
    assert "gym_isolated.child:serve" in seen[0]
    assert SECRET not in seen[0]
    assert "3k" not in seen[0]
    assert not Path(f"/proc/{pid}").exists()


def test_options_of_any_number_and_text_reach_it(home: Path) -> None:
    agent = Script(("look", {"what": "options"}))
    given = {"weights": {"a": 2**80}, "request": "caf\udce9"}
    rollouts = asyncio.run(collect("old", agent, limit=1, env_options=given))
    assert statuses(rollouts) == ["completed"]
    ((options,),) = agent.outputs
    assert json.loads(options)["weights"] == {"a": float(2**80)}
    assert json.loads(options)["request"] == "caf\ufffd"


def test_what_it_writes_is_logged_without_secrets(home: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    agent = Script(("say", {"text": "hello found-in-a-file"}))
    with caplog.at_level(logging.INFO, "gym"):
        rollouts = asyncio.run(collect("old", agent, limit=1, env_options={"api_key": SECRET}, output=output))
    assert statuses(rollouts) == ["completed"]
    assert "gym-old: hello *** ***" in caplog.messages
    assert SECRET not in caplog.text
    for file in tmp_path.iterdir():
        assert SECRET not in file.read_text()
        assert "found-in-a-file" not in file.read_text()


def test_the_manifest_names_it_as_any_other(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl"
    asyncio.run(collect("old:1", Script(), output=output, env_options={"mood": "wild", "wait": 1, "api_key": SECRET}))
    manifest = json.loads((tmp_path / "x.run.json").read_text())
    env = manifest["settings"]["env"] if "settings" in manifest else manifest["env"]
    assert (env["ref"], env["distribution"], env["version"]) == ("old:1", "gym-old", "1.0")
    assert (env["options"]["mood"], env["options"]["tasks"], env["options"]["size"]) == ("wild", 1, 1)
    assert "wait" not in env["options"]


class TestDeath:
    """A child that dies takes the rollouts that were in it, and no others."""

    def test_the_rollout_that_was_hit_fails_and_the_others_go_on(self, home: Path) -> None:
        pids: list[str] = []

        class Killing(Script):
            def called(self, name: str, output: str) -> None:
                pids.append(output)
                if len(pids) == 1:
                    os.kill(int(output), signal.SIGKILL)

        agent = Killing(("look", {"what": "pid"}), ("version", {}))
        rollouts = asyncio.run(collect("old:3", agent, concurrency=1))
        assert statuses(rollouts) == ["env_error", "completed", "completed"]
        failed = next(rollout for rollout in rollouts if rollout.reward is None)
        assert failed.error is not None
        assert failed.error["class"] == "RemoteError"
        assert len({pids[0], pids[1], pids[3]}) == 2

    def test_a_child_that_always_dies_is_given_up(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(supervisor, "DEATHS", 1)
        rollouts = asyncio.run(collect("old:4", Script(("die", {})), concurrency=1))
        assert statuses(rollouts) == ["env_error"] * 4
        messages = [rollout.error["message"] for rollout in rollouts if rollout.error is not None]
        assert any("signal SIGKILL" in message and "it is not started any more" in message for message in messages)
        warnings = [record for record in caplog.records if "it is started again" in record.getMessage()]
        assert len(warnings) == 1

    @linux
    @pytest.mark.parametrize("stuck", [False, True], ids=["waiting", "stuck"])
    def test_nothing_is_left_when_the_parent_is_killed(self, home: Path, tmp_path: Path, stuck: bool) -> None:
        farewell, folder = tmp_path / "farewell", tempfile.mkdtemp(prefix="t-", dir="/tmp")
        script = tmp_path / "parent.py"
        script.write_text(PARENT)
        environ = {**os.environ, "TMPDIR": folder, "GYM_OLD_FAREWELL": str(farewell)}
        arguments = [sys.executable, str(script), "hang" if stuck else "wait"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environ) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            assert parent.stdout.readline() == b"now\n"
            group = [os.pidfd_open(pid) for pid in members(child)]
            try:
                assert len(group) == 2
                parent.kill()
                for process in group:
                    assert select.select([process], [], [], 60)[0]
            finally:
                for process in group:
                    os.close(process)
        assert farewell.exists() == (not stuck)
        assert stuck or not os.listdir(folder)
        shutil.rmtree(folder)


def members(group: int) -> list[int]:
    """The processes of a group that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


PARENT = """
import asyncio
import json
import logging
import sys

import gym_core
from gym_core import Agent
from gym_isolated import supervisor
from gym_testing.models import ScriptedModel


class Told(logging.Handler):
    def emit(self, record):
        if "hanging" in record.getMessage():
            print("now", flush=True)


class Waiting(Agent):
    async def run(self, episode):
        print(await self.ask(episode, "look", what="pid"), flush=True)
        if sys.argv[1] == "hang":
            await self.ask(episode, "hang")
        print("now", flush=True)
        await asyncio.Event().wait()

    async def ask(self, episode, name, **arguments):
        call = {"type": "function_call", "call_id": "c", "name": name, "arguments": json.dumps(arguments)}
        return (await episode.call_tool(call))["output"]


async def main():
    async for rollout in gym_core.collect(model=ScriptedModel("x"), env="old:1", agent=Waiting()):
        pass


logging.getLogger("gym").addHandler(Told())
logging.getLogger("gym").setLevel(logging.INFO)
if sys.argv[1] == "hang":
    supervisor.LINGER_SECONDS = 0.5
asyncio.run(main())
"""


class TestKinds:
    """What else can be isolated, and what an isolated environment may ask of the run."""

    def test_a_judge_of_the_run_is_asked(self, home: Path) -> None:
        models = {"policy": ScriptedModel("good"), "judge": ScriptedModel("0.5")}
        (rollout,) = asyncio.run(collect("judging", "simple_agent", model=models))
        assert (rollout.reward, rollout.error) == (0.5, None)
        assert {made["role"] for made in rollout.row["rollout"]["model_calls"]} == {"policy", "judge"}

    def test_a_role_that_the_run_lacks_is_known_before(self, home: Path) -> None:
        with pytest.raises(UsageError, match="asks a `judge` model"):
            asyncio.run(collect("judging", "simple_agent"))

    def test_a_model_says_what_it_says_in_its_own_venv(self, home: Path) -> None:
        said = ModelInfo(
            model_id="echo-2.0",
            endpoint="https://api.seller.example/v1",
            max_inflight=3,
            max_retries=1,
            sends_seed=True,
            checks=True,
        )

        async def main() -> None:
            maker = Maker(PluginManager(), Redactor())
            model: ModelBackend = maker.make(Kind.MODEL, "echo", {}).component
            assert model.describe() == said
            async with model:
                assert model.describe() == said
                assert await model.check() == ["mind the gap"]

        asyncio.run(main())

    def test_a_model_and_an_agent(self, home: Path) -> None:
        (rollout,) = asyncio.run(collect("old:1", "walker", model="echo", agent_options={"word": "ran"}))
        assert rollout.error is None
        assert rollout.response.output_text == "2.0"
        wire = rollout.row["rollout"]
        assert (wire["stop_reason"], wire["stop_detail"]) == ("completed", "ran2.0")
        assert (wire["model"], wire["agent"]) == ("echo-2.0", "walker")


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")
def test_every_worker_has_children_of_its_own(home: Path) -> None:
    settings = {"env_options": {"api_key": SECRET, "size": "3k"}, "agent_options": {"word": "ran"}}
    rollouts = asyncio.run(collect("old:6", "walker", model="echo", workers=2, concurrency=4, **settings))
    assert statuses(rollouts) == ["completed"] * 6
    assert {rollout.row["rollout"]["stop_detail"] for rollout in rollouts} == {"ran2.0"}


def test_without_unix_sockets_it_listens_on_loopback(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "USES_UNIX_SOCKETS", False)
    rollouts = asyncio.run(collect("new:1", Script(("version", {}))))
    assert statuses(rollouts) == ["completed"]


def test_an_isolated_environment_scores_groups_in_its_child(home: Path) -> None:
    models = {"policy": ScriptedModel("done"), "judge": ScriptedModel("0.5")}

    async def main() -> gym_core.Group:
        groups = gym_core.collect_groups(model=models, env="judging", agent="simple_agent", repeats=2)
        async with asyncio.timeout(120):
            (group,) = [group async for group in groups]
        return group

    group = asyncio.run(main())
    assert group.error is None
    assert group.rewards == [0.25, 0.25]
    (process,) = {verdict.info["pid"] for verdict in group.verdicts.values()}
    assert process != os.getpid()
