"""The agent keeps the contract of agents."""

from __future__ import annotations

from gym_testing import AgentConformance


class TestSimpleAgent(AgentConformance):
    reference = "simple_agent"
    max_model_calls = 20


class TestSimpleAgentOfFewTurns(AgentConformance):
    reference = "simple_agent"
    options = {"max_turns": 5}
    max_model_calls = 5
