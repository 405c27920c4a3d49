"""`gym run` as a person or a script sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

SECRET = "sk-very-secret-0123456789"

MODEL = '''
from typing import Annotated

from pydantic import Field, SecretStr

import gym_core
from gym_core import FromEnv, ModelBackend, Response, Selector, errors, hookimpl


class ParrotOptions(gym_core.Options):
    voice: Annotated[str, Selector()] = Field("plain", description="Whose voice.")
    api_key: Annotated[SecretStr, FromEnv("PARROT_KEY")] = Field(SecretStr(""), description="Key.")
    fail: str = Field("", description="Which error it fails with.")
    fail_on: str = Field("", description="Which task it fails on; all by default.")
    volume: int = Field(1, description="How loud.")


class Parrot(ModelBackend[ParrotOptions]):
    """Says the last words it heard."""

    async def respond(self, request, context):
        options = self.options
        if options.fail and options.fail_on in ("", context.key[0]):
            key = options.api_key.get_secret_value()
            raise getattr(errors, options.fail)(f"it failed with the key {key}", status=400)
        text = f"{options.voice}: {request.input[-1]['content']}"
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return Response({"id": "r", "output": [message], "usage": {"input_tokens": 3, "output_tokens": 4}})


@hookimpl(contract=1)
def gym_model_backends():
    return {"parrot": Parrot}
'''

ENV = '''
from pydantic import Field

import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl


class Talk(Session):
    async def verify(self, trajectory):
        if self.server.options.judged:
            answer = await self.models["judge"].respond("Judge it.")
            return float(len(answer.output_text))
        if self.task["number"] in self.server.options.broken:
            raise RuntimeError("cannot judge this")
        return 1.0 if trajectory.output_text else 0.0


class SmallOptions(gym_core.Options):
    size: int = Field(3, description="How many tasks.")
    judged: bool = Field(False, description="Whether a judge is asked.")
    broken: list[int] = Field([], description="Tasks that cannot be judged.")


class Small(ResourceServer[SmallOptions]):
    """Small talk."""

    session_type = Talk

    def tasks(self):
        for number in range(self.options.size):
            yield Task.ask(f"Word {number}.", task_id=f"t{number}", number=number)


@hookimpl(contract=1)
def gym_resource_servers():
    return {"talk": Small}
'''

AGENT = '''
from pydantic import Field

import gym_core
from gym_core import Agent, Stop, StopReason, hookimpl


class OnceOptions(gym_core.Options):
    reason: str = Field("completed", description="Its stop reason.")


class Once(Agent[OnceOptions]):
    """Asks once."""

    async def run(self, episode):
        await episode.respond(episode.request.input)
        return Stop(StopReason.COMPLETED, self.options.reason)


@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Once}
'''


@pytest.fixture(autouse=True)
def plugins(site: Site) -> None:
    """A model, an environment and the agent that it prefers."""
    site.add("parrot-model", MODEL, group="gym.models", name="parrot")
    site.add("talk-env", ENV, group="gym.resource_servers", name="talk")
    site.add("once-agent", AGENT, group="gym.agents", name="simple_agent")


RUN = ("run", "--model", "parrot", "--env", "talk")
OUT = ("--output", "x.jsonl")


def rows(name: str = "x.jsonl") -> list[dict[str, object]]:
    return [orjson.loads(line) for line in Path(name).read_bytes().splitlines()]


def summary(name: str = "x") -> dict[str, object]:
    found: dict[str, object] = orjson.loads(Path(f"{name}.summary.json").read_bytes())
    return found


def test_a_run_writes_rows_and_ends_with_a_table_on_standard_error(gym: Gym) -> None:
    done = gym(*RUN, *OUT)
    assert done.status == 0
    assert done.out == ""
    assert re.search(r"rollouts\s+3 with a verdict", done.err)
    assert re.search(r"reward\s+1\.0000", done.err)
    assert "9 in, 12 out" in done.err
    assert [row["task_id"] for row in rows()] == ["t0", "t1", "t2"]


def test_quiet_says_nothing(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--quiet")
    assert (done.status, done.out, done.err) == (0, "", "")


def test_json_prints_the_summary_and_nothing_else_to_standard_output(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--json")
    assert json.loads(done.out) == summary()
    assert "with a verdict" in done.err
    assert gym(*RUN, "--output", "y.jsonl", "--json", "--quiet").err == ""


def test_without_output_a_fresh_file_under_results_is_used(gym: Gym) -> None:
    gym(*RUN)
    gym(*RUN)
    found = sorted(path.name for path in Path("results").glob("*.summary.json"))
    assert len(found) == 2
    assert all(name.startswith("talk-") for name in found)


def test_some_failed_is_status_1_and_causes_are_shown(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "-E", "broken=[1]")
    assert done.status == 1
    assert "failures by cause" in done.err
    assert "RuntimeError (verify)" in done.err
    assert "cannot judge this" in done.err
    assert "1 failed" in done.err
    assert [row["task_id"] for row in rows("x.failures.jsonl")] == ["t1"]


def test_a_fatal_error_is_status_3_and_tells_how_to_continue(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "-M", "fail=AuthenticationError")
    assert done.status == 3
    assert "error: the run stopped: it failed" in done.err
    assert "--resume" in done.err
    assert "Traceback" not in done.err
    again = gym(*RUN, *OUT, "--resume", "--accept-changes")
    assert again.status == 0
    assert sorted(str(row["task_id"]) for row in rows()) == ["t0", "t1", "t2"]


def test_the_same_refusal_again_and_again_is_status_3(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "-M", "fail=BadRequestError", "-E", "size=30", "--concurrency", "2")
    assert done.status == 3
    assert done.err.count("all failed alike") == 1
    assert done.err.count("it failed with the key") == 1
    assert "failures by cause" not in done.err
    assert "0 with a verdict, 5 cancelled" in done.err or "0 with a verdict, 6 cancelled" in done.err
    assert "nothing was collected" in done.err
    assert "--resume" not in done.err


def test_what_must_fail_again_is_not_to_be_resumed_but_rows_are(gym: Gym) -> None:
    assert "--resume" not in gym(*RUN, *OUT, "-M", "fail=ModelNotFoundError").err
    some = gym(*RUN, *OUT, "--overwrite", "-M", "fail=ModelNotFoundError", "-M", "fail_on=t2", "--concurrency", "1")
    assert some.status == 3
    assert "2 with a verdict, 1 cancelled" in some.err
    assert "--output x.jsonl --resume" in some.err


def test_what_it_is_is_said_before_it_starts(gym: Gym) -> None:
    lines = gym(*RUN, *OUT, "--repeats", "2").err.splitlines()
    assert lines[:5] == [
        "model  parrot",
        "env    talk",
        "agent  simple_agent",
        "tasks  3, 2 times each: 6 rollouts",
        "rows   x.jsonl",
    ]
    task = {"responses_create_params": {"input": "Hi"}, "number": 0}
    Path("in.jsonl").write_text(json.dumps(task))
    assert "\ntasks  1 from in.jsonl\n" in gym(*RUN, "--output", "y.jsonl", "--input", "in.jsonl").err
    assert "tasks  3, 2 times each: 6 rollouts, 6 of them done" in gym(*RUN, *OUT, "--repeats", "2", "--resume").err
    assert gym(*RUN, *OUT, "--overwrite", "--quiet").err == ""


def test_a_failure_is_quiet_about_tables_but_not_about_errors(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "-M", "fail=AuthenticationError", "--quiet")
    assert done.status == 3
    assert "error: the run stopped" in done.err
    assert "with a verdict" not in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run",), "--model"),
        (("run", "--model", "parrot"), "--env"),
        (("run", "--model", "parot", "--env", "talk"), "parrot"),
        (("run", "--model", "parrot", "--env", "tlak"), "talk"),
        ((*RUN, "--agent", "simpel_agent"), "simple_agent"),
        ((*RUN, "-M", "volum=2"), "volume"),
        ((*RUN, "-M", "volume=loud"), "volume"),
        ((*RUN, "-M", "volume"), "KEY=VALUE"),
        ((*RUN, "-M", "volume=1", "-M", "volume=2"), "twice"),
        ((*RUN, "-E", "sise=2"), "size"),
        ((*RUN, "-A", "raeson=x"), "reason"),
        ((*RUN, "--model", "parrot"), "role"),
        ((*RUN, "--resume"), "--output"),
        ((*RUN, *OUT, "--resume", "--overwrite"), "contradict"),
        ((*RUN, *OUT, "--retry-failed"), "--resume"),
        ((*RUN, *OUT, "--accept-changes"), "--resume"),
        ((*RUN, "--output", "x.csv"), ".jsonl"),
        ((*RUN, "--input", "missing.jsonl"), "missing.jsonl"),
        ((*RUN, "--repeats", "0"), "--repeats"),
        ((*RUN, "--limit", "-1"), "--limit"),
        ((*RUN, "--concurrency", "many"), "--concurrency"),
        ((*RUN, "--sed", "1"), "--seed"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_is_status_2_with_one_clear_line(gym: Gym, arguments: tuple[str, ...], words: str) -> None:
    done = gym(*arguments)
    assert done.status == 2
    assert words in done.err
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) <= 2
    assert "Traceback" not in done.err
    assert done.out == ""
    assert list(Path().iterdir()) == []


def test_debug_shows_the_traceback(gym: Gym) -> None:
    done = gym(*RUN, "--input", "missing.jsonl", "--debug")
    assert done.status == 2
    assert "Traceback" in done.err


def test_an_output_that_exists_is_refused(gym: Gym) -> None:
    gym(*RUN, *OUT)
    before = Path("x.jsonl").read_bytes()
    done = gym(*RUN, *OUT)
    assert done.status == 2
    assert "exists already" in done.err
    assert "--resume" in done.err
    assert "--overwrite" in done.err
    assert Path("x.jsonl").read_bytes() == before
    assert gym(*RUN, *OUT, "--overwrite", "--limit", "1").status == 0
    assert len(rows()) == 1


def test_resuming_with_other_settings_shows_the_difference(gym: Gym) -> None:
    gym(*RUN, *OUT)
    done = gym(*RUN, *OUT, "--resume", "-M", "volume=2")
    assert done.status == 2
    assert "volume: 1 -> 2" in done.err
    assert "--accept-changes" in done.err


def test_failed_rollouts_can_be_tried_again(gym: Gym) -> None:
    gym(*RUN, *OUT, "-E", "broken=[1]")
    assert gym(*RUN, *OUT, "-E", "broken=[1]", "--resume").status == 1
    done = gym(*RUN, *OUT, "--resume", "--retry-failed", "--accept-changes")
    assert done.status == 0
    assert re.search(r"3 with a verdict, 2 of them from before", done.err)


def test_broken_rows_are_reported_with_file_and_line(gym: Gym) -> None:
    Path("in.jsonl").write_text('{"responses_create_params": {"input": "a"}, "number": 0}\nnonsense\n')
    done = gym(*RUN, *OUT, "--input", "in.jsonl")
    assert done.status == 2
    assert "in.jsonl:2: not valid JSON" in done.err
    assert not Path("x.jsonl").exists()
    skipped = gym(*RUN, *OUT, "--input", "in.jsonl", "--skip-invalid")
    assert skipped.status == 0
    assert "1 input rows skipped" in skipped.err


def test_options_of_another_role(gym: Gym) -> None:
    roles = ("--model", "judge=parrot:loud", "-E", "judged=true", "-M", "judge.volume=5", "-M", "volume=2")
    done = gym(*RUN, *OUT, *roles)
    assert done.status == 0, done.err
    settings = orjson.loads(Path("x.run.json").read_bytes())["settings"]["models"]
    assert (settings["policy"]["options"]["volume"], settings["judge"]["options"]["volume"]) == (2, 5)
    assert (settings["policy"]["options"]["voice"], settings["judge"]["options"]["voice"]) == ("plain", "loud")
    assert rows()[0]["reward"] == len("loud: Judge it.")


def test_limit_repeats_and_seed(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--limit", "2", "--repeats", "2", "--seed", "7")
    assert done.status == 0
    assert "pass@1" in done.err
    assert "pass^2" in done.err
    assert len(rows()) == 4


def test_a_run_of_no_tasks_is_fine(gym: Gym) -> None:
    assert gym(*RUN, *OUT, "--limit", "0").status == 0


@pytest.mark.parametrize("how", ["option", "variable", "dotenv"])
@pytest.mark.parametrize("fail", ["BadRequestError", "AuthenticationError"])
def test_a_key_is_shown_nowhere(gym: Gym, how: str, fail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARROT_KEY", raising=False)
    arguments = [*RUN, *OUT, "-M", f"fail={fail}"]
    if how == "option":
        arguments += ["-M", f"api_key={SECRET}"]
    elif how == "variable":
        monkeypatch.setenv("PARROT_KEY", SECRET)
    else:
        Path(".env").write_text(f"PARROT_KEY={SECRET}\n")
    try:
        done = gym(*arguments, "--json", "--debug")
    finally:
        monkeypatch.delenv("PARROT_KEY", raising=False)
    assert done.status in (1, 3)
    assert SECRET not in done.out + done.err
    assert "with the key ***" in done.err
    for path in Path().glob("x*"):
        assert SECRET.encode() not in path.read_bytes()
    assert b"***" in Path("x.failures.jsonl").read_bytes()


def test_control_characters_of_an_error_do_not_reach_the_terminal(gym: Gym, site: Site) -> None:
    code = ENV.replace("cannot judge this", "\\x1b[31mred").replace('"talk"', '"rude"')
    site.add("rude-env", code, group="gym.resource_servers", name="rude")
    done = gym("run", "--model", "parrot", "--env", "rude", *OUT, "-E", "broken=[1]")
    assert done.status == 1
    assert "\x1b" not in done.err


def test_a_plugin_can_be_switched_off(gym: Gym) -> None:
    done = gym(*RUN, "--disable-plugin", "talk")
    assert done.status == 2
    assert "talk" in done.err


class TestFailUnder:
    """`--fail-under X`."""

    def test_a_mean_below_it_is_status_4(self, gym: Gym) -> None:
        done = gym(*RUN, *OUT, "--fail-under", "1.5")
        assert done.status == 4
        assert "--fail-under 1.5" in done.err
        assert len(rows()) == 3

    def test_a_mean_that_reaches_it_is_fine(self, gym: Gym) -> None:
        assert gym(*RUN, *OUT, "--fail-under", "1").status == 0

    def test_no_reward_at_all_is_below_anything(self, gym: Gym) -> None:
        done = gym(*RUN, *OUT, "--fail-under", "-5", "-E", "broken=[0,1,2]")
        assert done.status == 4
        assert "no reward" in done.err

    def test_a_mean_that_is_too_low_counts_more_than_failures(self, gym: Gym) -> None:
        assert gym(*RUN, *OUT, "--fail-under", "2", "-E", "broken=[1]").status == 4
        assert gym(*RUN, "--output", "y.jsonl", "--fail-under", "0.5", "-E", "broken=[1]").status == 1

    def test_a_run_that_stopped_is_status_3_all_the_same(self, gym: Gym) -> None:
        assert gym(*RUN, *OUT, "--fail-under", "2", "-M", "fail=AuthenticationError").status == 3


def test_tokens_can_be_limited_and_the_run_goes_on_later(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--max-tokens", "15", "--concurrency", "1")
    assert done.status == 3, done.err
    assert "--resume" in done.err
    assert "Traceback" not in done.err
    assert len(rows()) < 3
    reasons = {row["rollout"]["stop_reason"] for row in rows("x.failures.jsonl")}  # type: ignore[index]
    assert reasons == {"budget"}
    again = gym(*RUN, *OUT, "--resume")
    assert again.status == 0, again.err
    assert sorted(str(row["task_id"]) for row in rows()) == ["t0", "t1", "t2"]


def test_rewards_by_a_field_stand_in_the_summary(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--by", "number", "-E", "broken=[1]")
    assert done.status == 1
    assert "number" in json.dumps(summary())


def test_a_log_is_written_and_holds_no_key(gym: Gym) -> None:
    done = gym(*RUN, *OUT, "--log-file", "run.log", "-M", f"api_key={SECRET}", "-M", "fail=BadRequestError")
    assert done.status == 1
    lines = [orjson.loads(line) for line in Path("run.log").read_bytes().splitlines()]
    assert lines
    assert SECRET.encode() not in Path("run.log").read_bytes()


def test_repeated_ids_are_warned_of_once_and_repeated_with_the_manifest(gym: Gym) -> None:
    row = {"id": "problem", "number": 1, "responses_create_params": {"input": "Hi."}}
    Path("in.jsonl").write_bytes(b"".join(orjson.dumps({**row, "part": f"p{part}"}) + b"\n" for part in range(3)))
    done = gym(*RUN, *OUT, "--input", "in.jsonl", "--quiet")
    assert done.status == 0
    assert done.err.count("stands on an earlier line already") == 1
    assert {row["task_id"] for row in rows()} == {"1", "2", "3"}
    again = gym("run", "--config", "x.run.json", "--output", "y.jsonl", "--quiet")
    assert (again.status, "earlier line" in again.err) == (0, False)
    named = gym(*RUN, "--output", "z.jsonl", "--input", "in.jsonl", "--quiet", "--task-id", "part")
    assert (named.status, named.err) == (0, "")
    assert {row["task_id"] for row in rows("z.jsonl")} == {"p0", "p1", "p2"}
    Path("run.toml").write_text('model = "parrot"\nenv = "talk"\ninput = "in.jsonl"\ntask_id = "part"\n')
    assert gym("run", "--config", "run.toml", "--output", "w.jsonl", "--quiet").status == 0
    assert {row["task_id"] for row in rows("w.jsonl")} == {"p0", "p1", "p2"}


def test_the_manifest_that_is_repeated_is_not_overwritten(gym: Gym) -> None:
    assert gym(*RUN, *OUT, "--quiet").status == 0
    before = Path("x.run.json").read_bytes()
    done = gym("run", "--config", "x.run.json", *OUT, "--overwrite", "--quiet")
    assert done.status == 2
    assert "is the configuration" in done.err
    assert Path("x.run.json").read_bytes() == before
    assert gym("run", "--config", "x.run.json", *OUT, "--resume", "--quiet").status == 0
