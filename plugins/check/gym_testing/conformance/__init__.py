"""Suites that show whether a plugin keeps its contract. Subclass one in a test module; pytest does the rest."""

import sys

if sys.flags.optimize:
    raise ImportError(
        "the conformance suites check by `assert`, which Python leaves out when it optimises: "
        "run the tests without -O and PYTHONOPTIMIZE"
    )

from gym_testing.conformance.agent import AgentConformance
from gym_testing.conformance.model_backend import ModelBackendConformance
from gym_testing.conformance.resource_server import ResourceServerConformance
from gym_testing.conformance.runner import RunnerConformance
from gym_testing.conformance.sandbox import SandboxConformance

__all__ = [
    "AgentConformance",
    "ModelBackendConformance",
    "ResourceServerConformance",
    "RunnerConformance",
    "SandboxConformance",
]
