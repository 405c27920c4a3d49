"""The environment that agents are tried in, and what is seen of an agent while it works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, Unpack

from gym_core import (
    Actor,
    Agent,
    AgentInfo,
    CallContext,
    Done,
    Endpoint,
    Episode,
    FunctionCallOutput,
    Item,
    Request,
    ResourceServer,
    Response,
    Sampling,
    Sandbox,
    Session,
    Stop,
    Task,
    Trajectory,
    Verdict,
    tool,
    user_message,
)
from gym_core.errors import EpisodeOver
from gym_testing.replies import call

QUESTION = "Add up the numbers."
AGAIN = "And once more, please."
ANSWER = "The sum is {}."


class BenchSession(Session["Bench"]):
    """Adds numbers, ends when told to, and asks again where the task says so."""

    def setup(self) -> None:
        """Count from nothing."""
        self.added: list[int] = []
        self.asked_again = False

    @tool
    def add(self, a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: The first.
            b: The second.
        """
        self.added.append(a + b)
        return a + b

    @tool
    def finish(self) -> Done:
        """End the episode."""
        return Done("It is over.", reason="finished")

    def reply(self, response: Response) -> Sequence[Item] | Done:
        """Ask once more, where the task says so."""
        if self.task.get("again") and not self.asked_again:
            self.asked_again = True
            return [user_message(AGAIN)]
        return Done()

    def verify(self, trajectory: Trajectory) -> Verdict:
        """What was added, and what was answered."""
        return Verdict(1.0, {}, {"added": self.added, "answer": trajectory.output_text})


class Bench(ResourceServer):
    """An environment with two tools."""

    session_type = BenchSession

    def tasks(self) -> Iterator[Task]:
        """One task."""
        yield bench_task()


def bench_task(number: int = 0, **fields: Any) -> Task:
    """A task of the bench."""
    return Task.ask(QUESTION, task_id=f"t{number}", **fields)


class SumModel:
    """A script as a function: calls `add` once per pair of numbers, then says the last sum.

    It decides by what it is shown, so that an agent may ask it for more than the next step.
    """

    def __init__(self, *pairs: tuple[int, int], at_once: bool = False) -> None:
        self.pairs = pairs
        self.at_once = at_once

    def __call__(self, request: Request, context: CallContext) -> Any:
        """The next turn."""
        outputs = [item for item in request.input if item.get("type") == "function_call_output"]
        if not request.tools or len(outputs) >= len(self.pairs):
            return ANSWER.format(outputs[-1].get("output") if outputs else "unknown")
        calls = [call("add", call_id=f"call_{number}", a=a, b=b) for number, (a, b) in enumerate(self.pairs)]
        return calls[len(outputs) :] if self.at_once else calls[len(outputs)]


class SpiedAgent(Agent):
    """An agent with a look at what it does with its episodes.

    `results`: what it returned. `swallowed`: how often it went on after `EpisodeOver`. `changed`: how often it changed
    the request it was given.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent.options, agent.context)
        self.agent = agent
        self.results: list[Any] = []
        self.swallowed = 0
        self.changed = 0

    async def __aenter__(self) -> Self:
        await self.agent.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.agent.__aexit__(*error)

    def describe(self) -> AgentInfo:
        """What the agent says."""
        return self.agent.describe()

    async def run(self, episode: Episode) -> Stop:
        """Run the agent."""
        spied = _SpiedEpisode(episode)
        before = [dict(item) for item in episode.request.input]
        try:
            result = await self.agent.run(spied)
        except EpisodeOver:
            spied.over = 0
            raise
        finally:
            self.swallowed += spied.over
            self.changed += list(episode.request.input)[: len(before)] != before
        self.results.append(result)
        return result


class _SpiedEpisode:
    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self.over = 0

    @property
    def request(self) -> Request:
        return self._episode.request

    @property
    def name(self) -> str:
        return self._episode.name

    @property
    def role(self) -> str:
        return self._episode.role

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        return self._episode.tools

    def actor(self, name: str, role: str = "policy") -> Actor:
        return self._episode.actor(name, role)

    async def respond(self, items: Sequence[Item], **sampling: Unpack[Sampling]) -> Response:
        try:
            return await self._episode.respond(items, **sampling)
        except EpisodeOver:
            self.over += 1
            raise

    async def call_tool(self, call: Mapping[str, Any]) -> FunctionCallOutput:
        return await self._episode.call_tool(call)

    async def call_tools(self, calls: Sequence[Mapping[str, Any]]) -> list[FunctionCallOutput]:
        return await self._episode.call_tools(calls)

    async def reply(self, response: Response) -> Sequence[Item]:
        return await self._episode.reply(response)

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        return self._episode.sandboxes

    def endpoint(self, actor: str = "policy") -> AbstractAsyncContextManager[Endpoint]:
        return self._episode.endpoint(actor)
