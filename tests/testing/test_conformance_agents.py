"""The suite for agents finds what it is there to find."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from gym_core import Agent, Episode, Stop, StopReason
from gym_core.errors import EpisodeOver, ModelError
from gym_testing import AgentConformance, LoopAgent


class Suite(AgentConformance):
    """The suite over a class that is not installed."""

    reference = "it"

    def __init__(self, agent: type[Agent]) -> None:
        self.agent = agent

    def component(self) -> type[Any]:
        return self.agent


METADATA = ("test_import_is_light", "test_entry_point_offers_the_component")
CHECKS = [name for name in dir(Suite) if name.startswith("test_") and name not in METADATA]


@pytest.mark.parametrize("check", CHECKS)
def test_a_sound_agent_passes(check: str) -> None:
    getattr(Suite(LoopAgent), check)()


class Raising(Agent):
    """Raises."""

    async def run(self, episode: Episode) -> Stop:
        raise KeyError("plan")


class Idle(Agent):
    """Never asks."""

    async def run(self, episode: Episode) -> Stop:
        return Stop(StopReason.COMPLETED, "idle")


class Wordless(Agent):
    """Does not say why it stopped."""

    async def run(self, episode: Episode) -> Any:
        await episode.respond(episode.request.input)


class Toolless(Agent):
    """Leaves calls alone."""

    async def run(self, episode: Episode) -> Stop:
        return Stop((await episode.respond(episode.request.input)).stop_reason)


class Loop(Agent):
    """A loop with places to break it."""

    turns = 30

    async def run(self, episode: Episode) -> Stop:
        items = self.begin(episode)
        for _ in range(self.turns):
            response = await episode.respond(items)
            answers = await self.answers(episode, response)
            if not answers:
                return Stop(response.stop_reason)
            items += [*response.output, *self.shown(answers)]
        return Stop(StopReason.MAX_TURNS)

    def begin(self, episode: Episode) -> list[Any]:
        return list(episode.request.input)

    async def answers(self, episode: Episode, response: Any) -> list[Any]:
        calls = response.function_calls
        return await episode.call_tools(calls) if calls else list(await episode.reply(response))

    def shown(self, answers: list[Any]) -> list[Any]:
        return answers


class Forgetful(Loop):
    """Does not show outputs to the model."""

    def shown(self, answers: list[Any]) -> list[Any]:
        return []


class FirstOnly(Loop):
    """Runs the first call of a response."""

    async def answers(self, episode: Episode, response: Any) -> list[Any]:
        calls = response.function_calls
        return [await episode.call_tool(calls[0])] if calls else []


class Endless(Loop):
    """Goes on for ever."""

    turns = 10**9


class Picky(Loop):
    """Takes it upon itself to read arguments."""

    async def answers(self, episode: Episode, response: Any) -> list[Any]:
        import json

        for call in response.function_calls:
            json.loads(call.arguments)
        return await super().answers(episode, response)


class Deaf(Loop):
    """Ends at the first answer, whatever the environment says."""

    async def answers(self, episode: Episode, response: Any) -> list[Any]:
        calls = response.function_calls
        return await episode.call_tools(calls) if calls else []


class Stubborn(Loop):
    """Does not take an end for an end."""

    async def run(self, episode: Episode) -> Stop:
        with contextlib.suppress(EpisodeOver):
            return await super().run(episode)
        return Stop(StopReason.COMPLETED, "stubborn")


class Mixing(Loop):
    """Keeps the conversation in the agent."""

    def begin(self, episode: Episode) -> list[Any]:
        if not hasattr(self, "items"):
            self.items: list[Any] = []
        self.items += episode.request.input
        return self.items


class Writing(Loop):
    """Appends to the task's own conversation."""

    def begin(self, episode: Episode) -> list[Any]:
        episode.request.input[0]["content"] = "Something else."
        return list(episode.request.input)


class Translating(Loop):
    """Makes an error of its own of the model's."""

    async def run(self, episode: Episode) -> Stop:
        try:
            return await super().run(episode)
        except ModelError as error:
            raise RuntimeError("the model failed") from error


DEFECTS = [
    (Raising, "test_an_answer_ends_the_episode", "agent_error: KeyError"),
    (Idle, "test_an_answer_ends_the_episode", "never asked the model"),
    (Wordless, "test_it_says_why_it_stopped", "returned None"),
    (Toolless, "test_calls_are_run_and_answered", r"added \[\], not \[3, 7\]"),
    (Forgetful, "test_calls_are_run_and_answered", "not"),
    (FirstOnly, "test_all_calls_of_a_response_are_answered", r"added|without its output"),
    (Endless, "test_an_episode_is_bounded", "would have gone on"),
    (Picky, "test_bad_calls_are_survived", "JSONDecodeError"),
    (Stubborn, "test_the_end_of_an_episode_passes", "caught EpisodeOver"),
    (Deaf, "test_replies_go_on", "did not see it"),
    (Mixing, "test_episodes_share_nothing", "share state|something else"),
    (Writing, "test_the_request_is_left_alone", "begin with a copy"),
    (Translating, "test_a_model_error_keeps_its_name", "became agent_error"),
]


@pytest.mark.parametrize(("agent", "check", "words"), DEFECTS)
def test_a_defect_is_found(agent: type[Agent], check: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        getattr(Suite(agent), check)()


@pytest.mark.parametrize(
    ("setting", "check"), [("calls_tools", "test_calls_are_run_and_answered"), ("converses", "test_replies_go_on")]
)
def test_what_does_not_apply_is_skipped(setting: str, check: str) -> None:
    suite = Suite(Toolless)
    setattr(suite, setting, False)
    with pytest.raises(pytest.skip.Exception):
        getattr(suite, check)()
