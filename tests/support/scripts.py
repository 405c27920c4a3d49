"""Scripts for tests: an environment, a model and an agent, each a file with a class."""

from __future__ import annotations

from pathlib import Path

ENV = """
from pydantic import Field

import helpers
from gym_core import Options, ResourceServer, Session, Task, tool


class SumOptions(Options):
    size: int = Field(3, description="How many tasks there are.")


class SumSession(Session):
    @tool
    def add(self, a: int, b: int) -> int:
        "Add two numbers."
        return helpers.total(a, b)

    def verify(self, trajectory):
        return helpers.reward(trajectory.output_text)


class Sums(ResourceServer[SumOptions]):
    "Sums of two numbers."

    session_type = SumSession

    def tasks(self):
        for number in range(self.options.size):
            yield Task.ask(f"What is {number} + {number}?", task_id=str(number), number=number)
"""
HELPERS = """
def total(a, b):
    return a + b

def reward(text):
    return 1.0 if text == "done" else 0.0
"""
MODEL = """
from gym_core import ModelBackend, Response


class Adding(ModelBackend):
    "Adds once, then is done."

    async def respond(self, request, context):
        if request.input[-1].get("type") == "function_call_output":
            output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]}]
        else:
            call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
            output = [call]
        return Response({"output": output, "usage": {"input_tokens": 1, "output_tokens": 1}})
"""
AGENT = """
from gym_core import Agent, Stop


class Patient(Agent):
    "Calls tools until the model answers."

    async def run(self, episode):
        items = list(episode.request.input)
        while True:
            response = await episode.respond(items)
            answers = await episode.call_tools(response.function_calls)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *answers]
"""


def write_scripts(folder: Path, *, isolated: bool = False) -> Path:
    """`env.py` with `helpers.py`, `model.py` and `agent.py` in a folder, which is made.

    `isolated`: whether the environment's tool is run in a process of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = ENV.replace("@tool", "@tool(isolated=True)") if isolated else ENV
    for name, source in (("env", env), ("helpers", HELPERS), ("model", MODEL), ("agent", AGENT)):
        (folder / f"{name}.py").write_text(source, "utf-8")
    return folder
