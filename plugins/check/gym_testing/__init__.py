"""What authors of plugins test with.

`FakeOpenAI` is an OpenAI-compatible endpoint on loopback that says, and does wrong, what a test tells it to:

    async with FakeOpenAI(call("get_weather", city="Oslo"), faults.rate_limited(retry_after=1), "It rains.") as server:
        async for rollout in gym_core.collect(
            model="openai", env="my_env", model_options={"policy": {"base_url": server.base_url}}
        ):
            ...

`say`, `call`, `think` and `refuse` make the items that a model answers with, `answer` a reply of several; `faults`
holds everything that can go wrong on the way.

`ScriptedModel` is a model backend that says the same without an endpoint, and `run_rollout` one rollout with it.
`Served` is a component behind a port, as `gym serve` makes it, and the remote component that uses it. The
conformance suites, `ResourceServerConformance`, `ModelBackendConformance`, `AgentConformance`, `RunnerConformance`
and `SandboxConformance`, are subclassed in an author's tests. pytest finds the fixtures (`plugin.py`) by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gym_core.spi import lazy_names

if TYPE_CHECKING:
    from gym_testing import faults as faults
    from gym_testing.agents import LoopAgent as LoopAgent
    from gym_testing.command import Completed as Completed
    from gym_testing.command import GymCommand as GymCommand
    from gym_testing.conformance import AgentConformance as AgentConformance
    from gym_testing.conformance import ModelBackendConformance as ModelBackendConformance
    from gym_testing.conformance import ResourceServerConformance as ResourceServerConformance
    from gym_testing.conformance import RunnerConformance as RunnerConformance
    from gym_testing.conformance import SandboxConformance as SandboxConformance
    from gym_testing.endpoint import FakeOpenAI as FakeOpenAI
    from gym_testing.endpoint import Script as Script
    from gym_testing.endpoint import Turn as Turn
    from gym_testing.http import Received as Received
    from gym_testing.isolation import IsolatedPlugins as IsolatedPlugins
    from gym_testing.models import ModelTurn as ModelTurn
    from gym_testing.models import ScriptedModel as ScriptedModel
    from gym_testing.rehearsal import RunRollout as RunRollout
    from gym_testing.rehearsal import rehearse as rehearse
    from gym_testing.rehearsal import run_rollout as run_rollout
    from gym_testing.replies import Delivery as Delivery
    from gym_testing.replies import Reply as Reply
    from gym_testing.replies import answer as answer
    from gym_testing.replies import call as call
    from gym_testing.replies import refuse as refuse
    from gym_testing.replies import say as say
    from gym_testing.replies import think as think
    from gym_testing.served import Served as Served
else:
    # Imported when first used: pytest loads a module of this package in every run of everybody who has gym installed.
    __getattr__, __dir__, __all__ = lazy_names(__name__)
