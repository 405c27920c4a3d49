"""Agents, and the episode an agent works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Unpack

from gym_core.contract.component import Component, ComponentInfo, OptionsT_co
from gym_core.contract.gateway import Endpoint
from gym_core.contract.sandbox import Sandbox
from gym_core.domain.errors import GymError
from gym_core.domain.json_text import whole_text
from gym_core.domain.responses import FunctionCallOutput, Item, Request, Response
from gym_core.domain.sampling import Sampling
from gym_core.domain.stop_reasons import StopReason


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an agent stopped. `detail`: more about it, in words of its own, for the row; empty for none.

    Raises `ValueError` for a reason that is none, and `TypeError` for a detail that is no text.
    """

    reason: StopReason
    detail: str = ""

    def __post_init__(self) -> None:
        if type(self.reason) is not StopReason:
            object.__setattr__(self, "reason", StopReason(self.reason))
        if self.detail:
            if not isinstance(self.detail, str):
                raise TypeError(f"the detail of Stop must be text, not {type(self.detail).__name__}")
            object.__setattr__(self, "detail", whole_text(str.__str__(self.detail)))


def checked_stop(returned: object) -> Stop:
    """What `Agent.run` returned. Raises `GymError` where that is no `Stop`."""
    if isinstance(returned, Stop):
        return returned
    raise GymError(
        f"the agent returned {returned!r:.80} and no Stop: `run` ends with `return Stop(StopReason.COMPLETED)`, or "
        f"another of {', '.join(StopReason)}"
    )


class Actor(Protocol):
    """Who speaks with a model in a rollout, in conversations of its own: the agent itself, a sub-agent, an opponent.

    What it asks is recorded under its name, and passes the limits, retries, budget and deadlines that all calls pass.
    """

    @property
    def name(self) -> str:
        """By what it is known in the record."""
        ...

    @property
    def role(self) -> str:
        """The model that it asks."""
        ...

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools that its model may call, as the Responses API writes them."""
        ...

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        """Ask its model to continue the conversation `items`; `sampling` goes over the request's fields this once.

        Raises `TypeError` for a keyword that there is not.
        """
        ...

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        """Run one function call. A bad call is answered to the model; only the end of the rollout is raised."""
        ...

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        """Run the calls of one response: in order, or at once where the session allows it."""
        ...


class Episode(Actor, Protocol):
    """All that an agent sees of a rollout. Neither the task's hidden fields nor the verifier are reachable from it.

    It is itself an actor, `policy`, whose conversation is the main one, the trajectory.

    Everything that passes through it is recorded; an agent records nothing itself. When the session ends the episode,
    the next `respond` raises `EpisodeOver`, which an agent lets pass.
    """

    @property
    def request(self) -> Request:
        """The task's request, with the opening observation of the environment, if any, and the tools."""
        ...

    def actor(self, name: str, role: str = "policy") -> Actor:
        """Another actor, the same one for the same name.

        One that asks the policy's model has the task's sampling and tools, but neither its input nor its instructions;
        one of another role has nothing of the task. Raises `UsageError` for a name that has another role already, and
        for a role that the run has no model for.
        """
        ...

    async def reply(self, response: Response) -> Sequence[Item]:
        """What the environment answers to a response without calls; nothing when it is done."""
        ...

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """The sandboxes that the session has opened, by role. None are seen by an agent behind a URL."""
        ...

    def endpoint(self, actor: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        """All of this for a program, as URLs and a token that are good within the block.

        What it asks there is recorded as if it were asked here; its model calls are those of `actor`. Raises
        `UsageError` where no gateway is installed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo(ComponentInfo):
    """What `Agent.describe` says."""


class Agent(Component[OptionsT_co], ABC):
    """The loop between model and session. One instance serves all rollouts of a run: it keeps no state of them."""

    def describe(self) -> AgentInfo:
        """What the engine has to know of it."""
        return AgentInfo()

    @abstractmethod
    async def run(self, episode: Episode) -> Stop:
        """Work on one episode until it is done; say why it stopped, `Stop(response.stop_reason)` as a rule."""
