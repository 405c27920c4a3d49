"""A run as a file, and `gym config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Gym, Site

SECRET = "sk-very-secret-0123456789"

MODEL = '''
from typing import Annotated

from pydantic import Field, SecretStr

import gym_core
from gym_core import FromEnv, ModelBackend, Operational, Response, Selector, hookimpl


class ParrotOptions(gym_core.Options):
    voice: Annotated[str, Selector()] = Field("plain", description="Whose voice.")
    api_key: Annotated[SecretStr | None, FromEnv("PARROT_KEY")] = Field(None, description="Key.")
    url: Annotated[str, FromEnv("PARROT_URL")] = Field("http://here", description="Where.")
    volume: int = Field(1, description="How loud.")
    patience: Annotated[int, Operational()] = Field(5, description="How patient.")


class Parrot(ModelBackend[ParrotOptions]):
    """Says which options it was given."""

    @property
    def secrets(self):
        return [self.options.url.rpartition("@")[0]]

    async def respond(self, request, context):
        o = self.options
        text = f"{o.voice} {o.volume} {o.patience} {o.url} {sorted(o.model_fields_set)}"
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        return Response({"id": "r", "output": [message], "usage": {"input_tokens": 3, "output_tokens": 4}})


@hookimpl(contract=1)
def gym_model_backends():
    return {"parrot": Parrot, "crow": Parrot}
'''

ENV = '''
from pydantic import Field

import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl


class Talk(Session):
    def verify(self, trajectory):
        return 1.0


class SmallOptions(gym_core.Options):
    size: int = Field(3, description="How many tasks.")


class Small(ResourceServer[SmallOptions]):
    """Small talk."""

    session_type = Talk

    def tasks(self):
        for number in range(self.options.size):
            yield Task.ask(f"Word {number}.", task_id=f"t{number}", number=number)


@hookimpl(contract=1)
def gym_resource_servers():
    return {"talk": Small, "chat": Small}
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

FILE = """
model = "parrot:deep"
env = "talk"
output = "x.jsonl"
limit = 2
by = "number"

[model_options]
volume = 3

[env_options]
size = 5
"""


@pytest.fixture(autouse=True)
def plugins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names for a model, two for an environment, and the agent that it prefers."""
    module = site.add("parrot-model", MODEL, group="gym.models", name="parrot")
    site.add("crow-model", group="gym.models", name="crow", value=module)
    module = site.add("talk-env", ENV, group="gym.resource_servers", name="talk")
    site.add("chat-env", group="gym.resource_servers", name="chat", value=module)
    site.add("once-agent", AGENT, group="gym.agents", name="simple_agent")
    for variable in ("PARROT_KEY", "PARROT_URL"):
        monkeypatch.delenv(variable, raising=False)


def write(text: str, name: str = "run.toml") -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)


def said(name: str = "x.jsonl") -> set[str]:
    """What the model said in the rows of a file."""
    rows = [orjson.loads(line) for line in Path(name).read_bytes().splitlines()]
    return {row["response"]["output"][0]["content"][0]["text"] for row in rows}


def shown(gym: Gym, *arguments: str) -> dict[str, tuple[Any, str]]:
    done = gym("config", *arguments, "--json")
    assert done.status == 0, done.err
    rows = json.loads(done.out)
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert len(found) == len(rows)
    return found


class TestRun:
    """`gym run` with a file."""

    def test_a_file_is_enough(self, gym: Gym) -> None:
        write(FILE)
        done = gym("run", "--config", "run.toml")
        assert done.status == 0, done.err
        assert said() == {"deep 3 5 http://here ['voice', 'volume']"}
        manifest = orjson.loads(Path("x.run.json").read_bytes())
        assert manifest["extent"] == {"limit": 2, "repeats": 1}
        assert manifest["settings"]["env"]["options"] == {"size": 5}

    def test_the_table_of_the_project_is_read_unless_it_is_switched_off(self, gym: Gym) -> None:
        write("[tool.gym]\n" + FILE.replace("[", "[tool.gym."), "pyproject.toml")
        assert gym("run").status == 0
        assert said() == {"deep 3 5 http://here ['voice', 'volume']"}
        done = gym("run", "--no-config")
        assert done.status == 2
        assert "a run needs a model" in done.err

    def test_a_file_that_is_named_goes_instead_of_the_project(self, gym: Gym) -> None:
        write("[tool.gym]\nlimit = 1\nseed = 4\n", "pyproject.toml")
        write(FILE)
        found = shown(gym, "--config", "run.toml")
        assert (found["limit"][0], found["seed"][0]) == (2, None)

    def test_file_then_environment_then_command_line(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        write(FILE + "[agent_options]\nreason = 'a'\n")
        monkeypatch.setenv("GYM_RUN_LIMIT", "3")
        monkeypatch.setenv("GYM_RUN_REPEATS", "2")
        monkeypatch.setenv("GYM_PARROT_VOLUME", "4")
        found = shown(gym, "--config", "run.toml", "--repeats", "3", "-A", "reason=b", "--by", "task_id")
        assert found["limit"] == (3, "environment GYM_RUN_LIMIT")
        assert found["repeats"] == (3, "command line")
        assert found["output"] == ("x.jsonl", "file run.toml")
        assert found["by"] == (["task_id"], "command line")
        assert found["concurrency"] == (16, "default")
        assert found["model_options.volume"] == (4, "environment GYM_PARROT_VOLUME")
        assert found["model_options.voice"] == ("deep", "reference")
        assert found["agent_options.reason"] == ("b", "command line")
        assert found["env_options.size"] == (5, "file run.toml")
        assert found["agent"] == ("simple_agent", "preference of talk")
        assert gym("run", "--config", "run.toml", "--limit", "1", "--quiet").status == 0
        assert said() == {"deep 4 5 http://here ['voice', 'volume']"}

    def test_flags_can_be_switched_back(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        write(FILE.replace("limit = 2", "limit = 2\nquiet = true\nverbose = true"))
        assert gym("run", "--config", "run.toml", "--no-verbose").err == ""
        assert shown(gym, "--config", "run.toml", "--no-quiet")["quiet"] == (False, "command line")
        monkeypatch.setenv("GYM_RUN_QUIET", "false")
        assert shown(gym, "--config", "run.toml")["quiet"] == (False, "environment GYM_RUN_QUIET")

    def test_models_by_role_from_everywhere(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        write('env = "talk"\n[models]\npolicy = "parrot"\njudge = "parrot:a"\n[model_options.judge]\nvolume = 7\n')
        monkeypatch.setenv("GYM_RUN_MODEL", "user=parrot:b 'judge=parrot:with space'")
        found = shown(gym, "--config", "run.toml", "--model", "crow")
        assert found["models.policy"] == ("crow", "command line")
        assert found["models.judge"] == ("parrot:with space", "environment GYM_RUN_MODEL")
        assert found["models.user"] == ("parrot:b", "environment GYM_RUN_MODEL")
        assert found["model_options.judge.volume"] == (7, "file run.toml")
        assert found["model_options.volume"] == (1, "default")

    def test_variables_of_the_dotenv_count(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GYM_RUN_SEED", "")  # put back what is set here
        monkeypatch.delenv("GYM_RUN_SEED")
        write("GYM_RUN_SEED=9\n", ".env")
        assert shown(gym)["seed"] == (9, "environment GYM_RUN_SEED")

    def test_paths_start_from_the_folder_of_the_file(self, gym: Gym) -> None:
        write('{"responses_create_params": {"input": "a"}, "number": 1}\n', "conf/in.jsonl")
        write(FILE.replace("limit = 2", 'input = "in.jsonl"'), "conf/run.toml")
        assert gym("run", "--config", "conf/run.toml").status == 0
        assert len(Path("conf/x.jsonl").read_text().splitlines()) == 1

    def test_options_of_what_is_replaced_are_left_out(self, gym: Gym) -> None:
        write(FILE)
        done = gym("run", "--config", "run.toml", "--env", "chat")
        assert done.status == 0
        assert "warning: run.toml: [env_options] is for talk, not for chat" in done.err
        assert orjson.loads(Path("x.run.json").read_bytes())["settings"]["env"]["options"] == {"size": 3}

    def test_it_is_resumed_by_the_same_command(self, gym: Gym) -> None:
        write(FILE)
        assert gym("run", "--config", "run.toml", "--limit", "1").status == 0
        assert gym("run", "--config", "run.toml", "--resume").status == 0
        assert len(Path("x.jsonl").read_text().splitlines()) == 2


class TestErrors:
    """What is wrong is named with its place, in one line, and nothing starts."""

    @pytest.mark.parametrize("command", ["run", "config"])
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("limt = 2", "run.toml: there is no key 'limt'; did you mean 'limit'?"),
            ("overwrite = true", "overwrite: this belongs to one invocation"),
            ("limit = 'many'", "run.toml: limit must be a whole number, not 'many'"),
            ("limit = true", "limit must be a whole number"),
            ("limit = 1.5", "limit must be a whole number"),
            ("limit = -1", "run.toml: limit: -1 is not in the range"),
            ("max_cost = inf", "max_cost must be a number"),
            ("quiet = 'yes'", "quiet must be true or false"),
            ("by = [1]", "by must be text"),
            ("env = 3", "env must be text"),
            ("[model_options]\nvolum = 3", "run.toml: model_options.volum); did you mean 'volume'?"),
            ("[model_options]\nvolume = 'loud'", "run.toml: model_options.volume = 'loud'"),
            ("[model_options.judge]\nvolume = 3", "parrot has no option 'judge'"),
            ("[env_options]\nsise = 3", "env_options.sise"),
            (f"[model_options]\napi_key = '{SECRET}'", "model_options.api_key is a secret"),
        ],
    )
    def test_of_a_file(self, gym: Gym, command: str, text: str, words: str) -> None:
        write(text)
        given = () if text.startswith("env =") else ("--env", "talk")
        done = gym(command, "--config", "run.toml", "--model", "parrot", *given)
        assert done.status == 2
        assert words in done.err
        assert done.err.startswith("error: ")
        assert len(done.err.splitlines()) <= 2
        assert SECRET not in done.err
        assert sorted(path.name for path in Path().iterdir()) == ["run.toml"]

    @pytest.mark.parametrize(
        ("variable", "value", "words"),
        [
            ("GYM_RUN_LIMIT", "many", "GYM_RUN_LIMIT=many: "),
            ("GYM_RUN_QUIET", "perhaps", "GYM_RUN_QUIET=perhaps: "),
            ("GYM_RUN_BY", "'open", "GYM_RUN_BY: no closing quotation"),
            ("GYM_RUN_MODEL", "a b", "GYM_RUN_MODEL is given twice without a role: a and b"),
        ],
    )
    def test_of_the_environment(
        self, gym: Gym, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        done = gym("run", "--model", "parrot", "--env", "talk")
        assert done.status == 2
        assert words.lower() in done.err.lower()

    def test_a_variable_that_is_nearly_one_is_mentioned(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GYM_RUN_LIMTI", "1")
        monkeypatch.setenv("GYM_RUN_OF_SOMEBODY_ELSE", "1")
        done = gym("run", "--model", "parrot", "--env", "talk", "--output", "x.jsonl")
        assert done.status == 0
        assert "GYM_RUN_LIMTI is no option of `gym run`; did you mean GYM_RUN_LIMIT?" in done.err
        assert "SOMEBODY" not in done.err

    def test_file_and_no_file_contradict(self, gym: Gym) -> None:
        write(FILE)
        for arguments in (("--config", "run.toml", "--no-config"), ("--no-config", "--config", "run.toml")):
            done = gym("run", *arguments)
            assert (done.status, "contradict" in done.err) == (2, True)

    @pytest.mark.parametrize("name", ["run.toml", "x.run.json"])
    def test_a_file_that_is_missing(self, gym: Gym, name: str) -> None:
        done = gym("run", "--config", name)
        assert done.status == 2
        assert name in done.err

    def test_help_is_shown_whatever_the_project_says(self, gym: Gym) -> None:
        write("[tool.gym]\nbroken = 1\n", "pyproject.toml")
        assert gym("run", "--help").status == 0


class TestShow:
    """`gym config`."""

    def test_secrets_are_masked(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARROT_KEY", SECRET)
        monkeypatch.setenv("PARROT_URL", "http://somebody:passw0rd@there")
        for extra in ((), ("--json",)):
            done = gym("config", "--model", "parrot", "--env", "talk", *extra)
            assert done.status == 0
            assert SECRET not in done.out + done.err
            assert "passw0rd" not in done.out + done.err
            assert "***@there" in done.out
            assert "environment PARROT_KEY" in done.out

    def test_without_a_model_the_rest_is_shown(self, gym: Gym) -> None:
        done = gym("config", "--limit", "3")
        assert done.status == 0
        assert "no model is set" in done.err
        assert ["limit", "3", "command", "line"] in [line.split() for line in done.out.splitlines()]

    def test_nothing_is_written(self, gym: Gym) -> None:
        write(FILE)
        gym("config", "--config", "run.toml")
        assert [path.name for path in Path().iterdir()] == ["run.toml"]

    def test_what_a_run_would_refuse_is_refused(self, gym: Gym) -> None:
        done = gym("config", "--model", "parrot", "--env", "talk", "--resume")
        assert done.status == 2
        assert "--resume needs to know" in done.err

    def test_the_executor_is_one_of_the_components_where_workers_are_wanted(self, gym: Gym) -> None:
        done = gym("config", "--model", "parrot", "--env", "talk", "--workers", "2", "-X", "speed=3")
        assert done.status == 2
        assert "workers has no option 'speed' (-X speed)" in done.err
        assert gym("config", "--model", "parrot", "--env", "talk").status == 0


class TestManifest:
    """`--config x.run.json` repeats a run."""

    RUN = ("run", "--model", "parrot:deep", "--env", "talk", "--output", "x.jsonl")

    def test_the_same_settings_and_a_fresh_output(self, gym: Gym) -> None:
        given = ("-M", "volume=3", "-M", "patience=8", "-E", "size=4", "--limit", "2", "--repeats", "2", "--seed", "5")
        assert gym(*self.RUN, *given).status == 0
        done = gym("run", "--config", "x.run.json")
        assert done.status == 0, done.err
        assert "x.run.json: a manifest holds no secrets" in done.err
        (rows,) = Path("results").glob("*[0-9].jsonl")
        assert said(str(rows)) == said() == {"deep 3 8 http://here ['patience', 'voice', 'volume']"}
        again = orjson.loads(rows.with_suffix(".run.json").read_bytes())
        first = orjson.loads(Path("x.run.json").read_bytes())
        assert again["settings"] == first["settings"]
        assert again["extent"] == first["extent"]

    def test_the_environment_of_today_changes_nothing(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        assert gym(*self.RUN).status == 0
        monkeypatch.setenv("PARROT_URL", "http://elsewhere")
        monkeypatch.setenv("GYM_PARROT_VOLUME", "9")
        assert gym("run", "--config", "x.run.json", "--output", "y.jsonl").status == 0
        assert said("y.jsonl") == {"deep 1 5 http://here ['voice']"}

    def test_the_command_line_goes_over_it(self, gym: Gym) -> None:
        assert gym(*self.RUN, "-M", "volume=3").status == 0
        again = ("run", "--config", "x.run.json", "--output", "y.jsonl", "-M", "volume=4", "--limit", "1", "--quiet")
        done = gym(*again)
        assert (done.status, done.err) == (0, "")
        assert said("y.jsonl") == {"deep 4 5 http://here ['voice', 'volume']"}

    def test_a_file_of_tasks_is_read_again(self, gym: Gym) -> None:
        write('{"responses_create_params": {"input": "a"}, "number": 1}\n', "in.jsonl")
        assert gym(*self.RUN, "--input", "in.jsonl").status == 0
        assert shown(gym, "--config", "x.run.json")["input"] == ("in.jsonl", "file x.run.json")
        write('{"responses_create_params": {"input": "abc"}, "number": 1}\n', "in.jsonl")
        assert "in.jsonl has" in gym("config", "--config", "x.run.json").err

    def test_what_had_to_be_hidden_has_to_be_given_again(self, gym: Gym, monkeypatch: pytest.MonkeyPatch) -> None:
        url = "http://somebody:passw0rd@there"
        assert gym(*self.RUN, "-M", f"url={url}").status == 0
        again = ("run", "--config", "x.run.json", "--output", "y.jsonl")
        done = gym(*again)
        assert done.status == 2
        assert "url: its value held a secret and was hidden" in done.err
        assert "-M url=... or GYM_PARROT_URL or PARROT_URL" in done.err
        monkeypatch.setenv("PARROT_URL", url)
        assert gym(*again).status == 0

    def test_another_version_of_a_plugin_is_mentioned(self, gym: Gym) -> None:
        assert gym(*self.RUN).status == 0
        text = Path("x.run.json").read_text()
        Path("x.run.json").write_text(text.replace('"version": "1.0"', '"version": "0.9"'))
        assert "talk-env had version 0.9 then and has 1.0 now" in gym("run", "--config", "x.run.json").err

    @pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"format_version": 99}'])
    def test_what_is_no_manifest(self, gym: Gym, text: str) -> None:
        write(text, "y.json")
        done = gym("run", "--config", "y.json")
        assert done.status == 2
        assert "y.json" in done.err
        assert "internal" not in done.err
