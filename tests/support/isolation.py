"""Two environments that need different versions of one library, each built once in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from gym_core.spi import find_installer
from gym_isolated.records import Environment
from gym_isolated.store import Store
from tests.support.wheels import write_wheel

WHEELHOUSE = Path(__file__).parents[2] / ".wheelhouse"

LIBRARY = 'VERSION = "{version}"\n'

PLUGIN = '''
"""What gym-{name} offers."""
import enum
import os
import pathlib
import re
import signal
import sys
from typing import Annotated, Literal

import quarrel
from pydantic import Field, SecretStr, field_validator

from gym_core import FromEnv, Operational, Options, ResourceServer, Selector, Session, Task, UsageError, hookimpl, tool

print("what a plugin prints when it is imported")


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Talk(Session):
    def setup(self):
        self.count = 0

    @tool
    def version(self) -> str:
        """Tell which version of the library is installed."""
        self.count += 1
        return quarrel.VERSION

    @tool
    def look(self, what: str) -> str:
        """Look at something of the process: pid, options, home, path, key.

        Args:
            what: What to look at.
        """
        return {{
            "pid": str(os.getpid()),
            "options": self.server.options.model_dump_json(),
            "variable": os.environ.get("GYM_TEST_INHERITED", ""),
            "path": os.pathsep.join(sys.path),
        }}[what]

    @tool
    def say(self, text: str) -> str:
        """Write to standard error.

        Args:
            text: What to write.
        """
        key = self.server.options.api_key
        print(text, key.get_secret_value() if key else "no key", file=sys.stderr)
        return "said"

    @tool
    def hang(self) -> str:
        """Let go of nothing, for ever."""
        print("hanging", file=sys.stderr, flush=True)
        re.match("(a+)+$", "a" * 60 + "b")

    @tool
    def die(self) -> str:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)

    def verify(self, trajectory):
        return float(self.count > 0)


class ServerOptions(Options):
    tasks: Annotated[int, Selector()] = Field(default=2, ge=1, description="how many tasks")
    mood: Mood = Field(default=Mood.CALM, description="how it feels")
    size: int = Field(default=1, description="a size such as 1k")
    api_key: Annotated[SecretStr | None, FromEnv("TALK_KEY")] = Field(default=None, description="a key")
    folder: pathlib.Path = Field(default=pathlib.Path("."), description="a folder")
    wait: Annotated[float, Operational()] = Field(default=0.0, description="seconds")
    start: Literal["well", "refused", "raised", "killed"] = Field(default="well", description="how it starts")
    environment: str = Field(default="", description="a name that something else might have")
    request: str = Field(default="", description="another one")
    farewell: pathlib.Path | None = Field(default=None, description="a file that is written when it closes")
    weights: dict[str, float] = Field(default_factory=dict, description="weights by name")

    @field_validator("size", mode="before")
    @classmethod
    def read_size(cls, value):
        return int(value[:-1]) * 1000 if isinstance(value, str) and value.endswith("k") else value


class Server(ResourceServer[ServerOptions]):
    """Talk about the library.

    It knows its version.
    """

    session_type = Talk

    def __init__(self, options=None, context=None):
        super().__init__(options, context)
        if self.options.tasks == 13:
            raise UsageError("13 tasks bring bad luck", hint="take 12")
        if self.options.tasks == 14:
            raise UsageError(f"no talk with {{self.options.api_key.get_secret_value()}}")

    async def __aenter__(self):
        if self.options.start == "refused":
            raise UsageError("the talk is refused", hint="start it well")
        if self.options.start == "raised":
            raise RuntimeError("the talk has failed")
        if self.options.start == "killed":
            print("about to die", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return self

    async def __aexit__(self, *cause):
        if self.options.farewell:
            self.options.farewell.write_text("closed")

    @property
    def secrets(self):
        return ("found-in-a-file",)

    @classmethod
    def choices(cls):
        return ("1", "2")

    def tasks(self):
        for number in range(self.options.tasks):
            yield Task.ask(f"Which version is it? ({{number}})", task_id=f"t{{number}}")


@hookimpl(contract=1)
def gym_resource_servers():
    return {{"{name}": Server}}
'''

MORE = '''

from gym_core import Agent, CompletedTask, ModelBackend, Response, Runner, Stop, StopReason, TaskFailed, Verdict


class Calmness(Session):
    @tool
    def version(self) -> str:
        """Tell which version of the library is installed."""
        return quarrel.VERSION

    def verify(self, trajectory):
        return float(quarrel.VERSION in trajectory.output_text)


class Calm(ResourceServer):
    """Asks for the version."""

    session_type = Calmness

    def tasks(self):
        yield Task.ask("Which version is it?")


class Judged(Session):
    roles = ("judge",)

    async def verify(self, trajectory):
        return float((await self.models["judge"].respond("Is it good?")).output_text)


class Judging(ResourceServer):
    """Asks a judge."""

    session_type = Judged

    def tasks(self):
        yield Task.ask("Be good.")

    def score_group(self, rollouts):
        return [Verdict(rollout.reward / len(rollouts), info={"pid": os.getpid()}) for rollout in rollouts]


class Echo(ModelBackend):
    """Says what the library is."""

    async def respond(self, request, context):
        content = [{"type": "output_text", "text": quarrel.VERSION, "annotations": []}]
        return Response({"output": [{"type": "message", "role": "assistant", "content": content}]})

    @property
    def model_id(self):
        return "echo-" + quarrel.VERSION

    max_inflight = 3
    max_retries = 1
    sends_seed = True
    endpoint = "https://api.seller.example/v1"

    async def check(self):
        return ["mind the gap"]


class WalkerOptions(Options):
    word: str = Field(default="walked", description="why it stops")


class Walker(Agent[WalkerOptions]):
    """Asks once and stops."""

    async def run(self, episode):
        await episode.respond(episode.request.input)
        return Stop(StopReason.COMPLETED, self.options.word + quarrel.VERSION)


class Looped(ResourceServer):
    """Plays a loop of its own."""

    session_type = Calmness
    preferred_agent = "looper"

    def tasks(self):
        for name in ("well", "setup", "crash", "twice"):
            yield Task.ask("Say it.", task_id=name)


class LooperOptions(Options):
    bonus: int = Field(default=0, description="what is added")
    password: Annotated[SecretStr | None, FromEnv("LOOPER_KEY")] = Field(default=None, description="a key")


class Looper(Runner[LooperOptions]):
    """Has a program ask the model, as another framework would."""

    async def run(self, task, context):
        import asyncio
        import json
        from urllib.request import Request, urlopen

        if task.task_id == "setup":
            raise TaskFailed("the game is not there", phase="setup", hint="get it")
        if task.task_id == "crash":
            raise RuntimeError("a defect of the loop")
        info = {"pid": os.getpid(), "server": type(context.server).__name__, "seed": context.seed}
        password = self.options.password
        info["key"] = len(password.get_secret_value()) if password else 0
        async with context.endpoint() as endpoint:
            asked = Request(
                endpoint.base_url + "/chat/completions",
                json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say it."}]}).encode(),
                {"Authorization": "Bearer " + endpoint.token, "Content-Type": "application/json"},
            )
            try:
                body = json.loads(await asyncio.to_thread(lambda: urlopen(asked).read()))
            except OSError as error:
                raise TaskFailed(str(error), phase="model") from error
        said = body["choices"][0]["message"]["content"]
        if task.task_id == "twice":
            said += (await context.models["policy"].respond("Again.")).output_text
        return CompletedTask(Verdict(float(len(said) + self.options.bonus), {"length": 1.0}, info), "completed")


class Alone(Runner):
    """Brings its own environment."""

    environment = False

    async def run(self, task, context):
        said = await context.models["policy"].respond("Again.")
        return CompletedTask(Verdict(1.0, info={"said": said.output_text, "pid": os.getpid()}), "completed")


@hookimpl(contract=1)
def gym_runners():
    return {"looper": Looper, "alone": Alone}


@hookimpl(contract=1)
def gym_resource_servers():
    return {"new": Server, "judging": Judging, "calm": Calm, "looped": Looped}


@hookimpl(contract=1)
def gym_model_backends():
    return {"echo": Echo}


@hookimpl(contract=1)
def gym_agents():
    return {"walker": Walker}
'''


def write_plugins(folder: Path) -> Path:
    """The wheels of `gym-old` and `gym-new`, and of two versions of the library `quarrel`."""
    for version in ("1.0", "2.0"):
        write_wheel(folder, "quarrel", LIBRARY.format(version=version), version=version)
    for name, version, more in (("old", "1.0", ""), ("new", "2.0", MORE)):
        points = {"gym.resource_servers": {name: f"gym_{name}"}}
        if more:
            points["gym.resource_servers"] |= {"judging": "gym_new", "calm": "gym_new", "looped": "gym_new"}
            points["gym.runners"] = {"looper": "gym_new", "alone": "gym_new"}
            points |= {"gym.models": {"echo": "gym_new"}, "gym.agents": {"walker": "gym_new"}}
        write_wheel(
            folder,
            f"gym-{name}",
            PLUGIN.format(name=name) + more,
            requires=["gym-core", f"quarrel=={version}"],
            points=points,
            summary=f"A plugin of {name} times",
        )
    return folder


def offline(*folders: Path) -> list[str]:
    """Options by which an installer asks nobody."""
    return ["--no-index", *(f"--find-links={folder}" for folder in (WHEELHOUSE, *folders))]


def build(home: Path, wheels: Path, *packages: str) -> list[Environment]:
    """The environments of packages below a `GYM_HOME`; those that are there already are left."""
    store = Store(home / "isolated")
    built = [store.build(package, find_installer(here=False), offline(wheels))[0] for package in packages]
    return [environment for environment in built if environment is not None]
