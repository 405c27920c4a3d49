"""Tools that are defined elsewhere and known by their schema alone."""

from __future__ import annotations

from typing import Any

from gym_core import Session, ToolSpec, Trajectory
from gym_core.spi import ArgumentError, BoundTool
from tests.support.models import ScriptedModel, call, say
from tests.support.running import rollout

SCHEMA = {"type": "function", "name": "far", "parameters": {"type": "object"}}


async def ask(session: Any, *, arguments: str) -> str:
    session.asked.append(arguments)
    if arguments == "wrong":
        raise ArgumentError("bad_arguments", "they say it is wrong")
    if arguments == "broken":
        raise ArgumentError("raised", "they broke")
    return f"heard {arguments}"


class FarSession(Session[Any]):
    def setup(self) -> None:
        self.asked: list[str] = []

    def tools(self) -> list[BoundTool]:
        return [ToolSpec.described(SCHEMA, ask).bind(self)]

    def verify(self, trajectory: Trajectory) -> float:
        return float(len(self.asked))


def test_its_arguments_arrive_as_the_model_wrote_them_and_faults_found_there_count_as_here() -> None:
    turns = [call("far", text) for text in ('{"a": 1}', "no JSON", "wrong", "broken")]
    made = rollout(ScriptedModel(*turns, say("Done.")), FarSession)
    outputs = [item["output"] for item in made.response.output if item["type"] == "function_call_output"]
    assert outputs == [
        'heard {"a": 1}',
        "heard no JSON",
        '{"error":"they say it is wrong"}',
        '{"error":"they broke"}',
    ]
    assert made.row["rollout"]["tools"] == {"calls": 4, "errors": {"bad_arguments": 1, "raised": 1}}
    assert made.reward == 4.0
