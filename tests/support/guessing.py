"""Plugins of a test: an environment whose verifier gives what it was told to, a model that looks, and an agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gym_testing.site import Site

T = TypeVar("T")

_ENVIRONMENT = """
from pydantic import Field
import gym_core
from gym_core import ResourceServer, Session, Task, hookimpl, tool

class GuessSession(Session):
    @tool
    def look(self) -> str:
        "Look at the number."
        return str(self.server.options.number)

    async def verify(self, trajectory):
        if "judge" in list(self.models):
            return float((await self.models["judge"].respond("Well?")).output_text)
        return self.server.options.reward if self.task["side"] == "left" else 0.0

class GuessOptions(gym_core.Options):
    reward: float = Field(1.0, description="What is earned.")
    number: int = Field(7, description="What is seen.")
    url: str = Field("", description="Where it is.")


class Guess(ResourceServer[GuessOptions]):
    "A test's environment."

    session_type = GuessSession

    def tasks(self):
        for number in range(4):
            yield Task.ask("?", task_id=f"t{number}", side="left" if number % 2 else "right")

@hookimpl(contract=1)
def gym_resource_servers():
    return {"guess": Guess}
"""
_MODEL = """
from pydantic import Field
import gym_core
from gym_core import ModelBackend, Response, hookimpl

class LookingOptions(gym_core.Options):
    answer: str = Field("done", description="What it says in the end.")


class Looking(ModelBackend[LookingOptions]):
    "A test's model."

    async def respond(self, request, context):
        if request.input[-1].get("role") == "user" and request.tools:
            item = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
        else:
            item = {"type": "message", "role": "assistant", "content": self.options.answer}
        return Response({"output": [item]})

@hookimpl(contract=1)
def gym_model_backends():
    return {"looking": Looking}
"""
_AGENT = """
from gym_core import Agent, Stop, hookimpl

class Simple(Agent):
    "A test's agent."
    async def run(self, episode):
        items = list(episode.request.input)
        while True:
            response = await episode.respond(items)
            answers = await episode.call_tools(response.function_calls)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *answers]

@hookimpl(contract=1)
def gym_agents():
    return {"simple_agent": Simple}
"""


def add_guessing(site: Site) -> None:
    """Install them."""
    site.add("gym-guess", _ENVIRONMENT, group="gym.resource_servers", name="guess")
    site.add("gym-looking", _MODEL, group="gym.models", name="looking")
    site.add("gym-simple", _AGENT, group="gym.agents", name="simple_agent")


def collect(gym: Callable[..., T], *arguments: str) -> T:
    """A run of four tasks, two of which earn the reward."""
    return gym("run", "--model", "looking", "--env", "guess", "--output", "x.jsonl", *arguments)
