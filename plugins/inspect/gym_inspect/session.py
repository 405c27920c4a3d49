"""An agent of gym's in the place of the model that a task's solver asks, with the tools that the solver gives it.

The solver runs to its first question. What it asks opens the episode, the tools of the question are the session's, and
what the agent has come to answers it. A solver that wants nothing more goes on to its end, as one that marks the choice
that was made; one that asks again is not heard: the agent has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gym_core import Done, Item, Session, SessionContext, Task, ToolSpec, Trajectory, Verdict
from gym_core.errors import SessionError
from gym_core.spi import BoundTool, described
from gym_inspect.messages import to_items, to_messages, tool_schema
from gym_inspect.model import Calls, calls_of
from gym_inspect.sample import run_sample, sample_of

if TYPE_CHECKING:
    from gym_inspect.environment import Inspect

SUBMIT = "submit"
"""The tool with which agents of Inspect end: the solver carries it out itself, since it reads the answer from that."""
_CUT = {"max_output_tokens": "max_tokens", "context_length": "model_length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a solver asks. `context`: that of its code, in which sandbox, store and transcript of the sample are."""

    messages: list[Any]
    tools: list[Any]
    context: Context


class AgentCalls(Calls):
    """Model calls of a rollout whose policy is an agent."""

    def __init__(self, session: InspectSession) -> None:
        super().__init__(session, {})
        self.asked: asyncio.Future[Question] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[Trajectory] = asyncio.get_running_loop().create_future()
        self._opening = 0
        self._final: Any = None

    def policy(self) -> Any:
        """A model that hands its first question on, with the tools themselves and not what they are called alone."""
        from inspect_ai.model import Model

        calls = self

        class Handing(Model):  # type: ignore[misc]
            """The agent, as a solver asks it."""

            async def generate(self, input: Any, tools: Any = (), *rest: Any, **others: Any) -> Any:
                if calls.scoring:
                    return await super().generate(input, tools, *rest, **others)
                return await calls.handed(input, tools)

        plain = super().policy()
        return Handing(plain.api, plain.config)

    def end(self, trajectory: Trajectory, opening: int) -> None:
        """The agent has ended. `opening`: how many of the items were there before it began."""
        if not self._ended.done():
            self._opening = opening
            self._ended.set_result(trajectory)

    async def handed(self, messages: Any, tools: Any) -> Any:
        """The answer to the first question. Raises Inspect's error for the end of a sample at the second."""
        from inspect_ai._util.exception import TerminateSampleError
        from inspect_ai.model import ChatMessageUser
        from inspect_ai.tool._tool_def import tool_defs

        if self.asked.done():
            raise TerminateSampleError("the agent has ended")
        given = [ChatMessageUser(content=messages)] if isinstance(messages, str) else list(messages)
        self.asked.set_result(Question(given, await tool_defs(tools), copy_context()))
        await self._ended
        return self._output()

    async def conclude(self, state: Any) -> None:
        """Put what the agent and its tools said into the state, where the solver has its answer."""
        await asyncio.wait([self._ended])  # a limit of the task may have come before the agent's end
        output = self._output()
        final = output.choices[0].message
        place = next((at for at, one in enumerate(state.messages) if one.id == final.id), None)
        before = self._said_before()
        if place is None:
            state.messages = [*state.messages, *before, final]
        else:
            state.messages = [*state.messages[:place], *before, *state.messages[place:]]
        if not state.output.choices:
            state.output = output

    def _messages(self) -> list[Any]:
        return to_messages(self._ended.result().items[self._opening :])

    def _said_before(self) -> list[Any]:
        said = self._messages()
        at = max((index for index, one in enumerate(said) if one.role == "assistant"), default=len(said))
        return said[:at]

    def _output(self) -> Any:
        from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

        if self._final is None:
            answers = [one for one in self._messages() if one.role == "assistant"]
            last = answers[-1] if answers else ChatMessageAssistant(content="")
            # its tools have run: only what ends an agent is left to the solver
            calls = [call for call in last.tool_calls or () if call.function == SUBMIT]
            last = last.model_copy(update={"id": uuid4().hex, "tool_calls": calls or None})
            stop: Any = _CUT.get(self._ended.result().stop_reason, "tool_calls" if calls else "stop")
            choice = ChatCompletionChoice(message=last, stop_reason=stop)
            self._final = ModelOutput(model="gym/policy", choices=[choice])
        return self._final


class InspectSession(Session["Inspect"]):
    """One sample for an agent: the solver's question and tools, and the task's scorers."""

    optional_roles = ("judge", "grader", "policy")

    def __init__(self, task: Task, server: Inspect, context: SessionContext) -> None:
        super().__init__(task, server, context)
        self._epoch = context.repeat + 1
        self._calls: AgentCalls | None = None
        self._work: asyncio.Task[tuple[Verdict, str]] | None = None
        self._opening: list[Item] = []
        self._tools: list[BoundTool] = []

    async def setup(self) -> Sequence[Item]:
        """Run the solver to its first question. What that says beside the task's own input opens the episode."""
        self._calls = calls = AgentCalls(self)
        self._work = asyncio.create_task(self._worked(calls))
        either: list[asyncio.Future[Any]] = [self._work, calls.asked]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not calls.asked.done():  # it has failed, or has waited for no model
            if self._work.done():
                self._work.result()
            return []
        question = calls.asked.result()
        self._tools = [self._bound(tool, question) for tool in question.tools]
        self._opening = _beside(to_items(question.messages, {}), list(self.task.request.input))
        return self._opening

    def tools(self) -> Sequence[BoundTool]:
        """Those of the solver's question."""
        return self._tools

    async def verify(self, trajectory: Trajectory) -> Verdict:
        """What the scorers say, once the solver has the agent's answer."""
        if self._calls is None or self._work is None:
            raise SessionError("the sample was not set up")
        self._calls.end(trajectory, len(self._opening))
        found, _ = await asyncio.shield(self._work)
        return found

    async def close(self) -> None:
        """End the solver, and with it its sandbox."""
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            with contextlib.suppress(BaseException):
                await work

    async def _worked(self, calls: AgentCalls) -> tuple[Verdict, str]:
        server = self.server
        with calls_of(calls):
            return await run_sample(server.opened, sample_of(self.task), calls, self._epoch, server.options.reward)

    def _bound(self, tool: Any, question: Question) -> BoundTool:
        async def run(session: InspectSession, /, arguments: str) -> Any:
            if tool.name == SUBMIT:
                return Done("submitted", reason="submitted")
            work = _carried_out(tool, arguments, question.tools)
            return await asyncio.create_task(work, context=question.context.copy())

        return ToolSpec.described(tool_schema(tool), run).bind(self)


async def _carried_out(tool: Any, arguments: str, tools: Sequence[Any]) -> str:
    from inspect_ai.model import ChatMessageAssistant, execute_tools
    from inspect_ai.model._call_tools import get_tools_info, parse_tool_call

    call = parse_tool_call(uuid4().hex, tool.name, arguments, get_tools_info(list(tools)))
    try:
        said, _ = await execute_tools([ChatMessageAssistant(content="", tool_calls=[call])], list(tools))
    except Exception as error:
        words = " ".join(described(error).split())[:400]
        raise SessionError(f"the tool {tool.name} of the task failed: {words}") from error
    outputs = [item["output"] for item in to_items(said, {}) if item.get("type") == "function_call_output"]
    return "\n".join(outputs)


def _beside(asked: list[Item], own: list[Item]) -> list[Item]:
    """What a question says beside the task's own input, which an episode has already.

    It comes after that input: system messages among it are a user's, since many models take them at the front only.
    """
    if asked[-len(own) :] == own:
        asked = asked[: -len(own)]
    elif asked[: len(own)] == own:
        asked = asked[len(own) :]
    return [{**item, "role": "user"} if item.get("role") == "system" else item for item in asked]
