"""The suite for environments finds what it is there to find: one defect each, and the check that names it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

import gym_core
from gym_core import Done, ResourceServer, Session, Task, Trajectory, Verdict, tool
from gym_testing import ResourceServerConformance, call


class SumSession(Session[Any]):
    """Sums up."""

    def setup(self) -> None:
        self.sum = 0

    @tool
    def add(self, number: int) -> int:
        """Add a number to the sum."""
        self.sum += number
        return self.sum

    def verify(self, trajectory: Trajectory) -> Any:
        return float(self.sum == self.task["sum"])


class Sums(ResourceServer):
    """Sums."""

    session_type: ClassVar[type[Session[Any]]] = SumSession

    def tasks(self) -> Any:
        for number in range(1, 4):
            yield Task.ask(f"Make it {number}.", task_id=f"t{number}", sum=number)


class Suite(ResourceServerConformance):
    """The suite over a class that is not installed."""

    reference = "sums"

    def __init__(self, server: type[ResourceServer]) -> None:
        self.server = server

    def component(self) -> type[Any]:
        return self.server

    def winning(self, task: Task) -> Sequence[Any] | None:
        return [call("add", number=task["sum"]), "Done."]


CHECKS = [name for name in dir(Suite) if name.startswith("test_")]
METADATA = ("test_import_is_light", "test_entry_point_offers_the_component")


def serving(session: type[Session[Any]]) -> type[ResourceServer]:
    """An environment with this kind of session."""

    class Broken(Sums):
        """Broken."""

        session_type = session

    return Broken


GROUPED = "test_groups_are_scored"


@pytest.mark.parametrize("check", [check for check in CHECKS if check not in (*METADATA, GROUPED)])
def test_a_sound_environment_passes(check: str) -> None:
    getattr(Suite(Sums), check)()


@pytest.mark.parametrize("over_http", [False, True])
def test_a_sound_environment_that_scores_groups_passes(over_http: bool) -> None:
    suite = Suite(scoring(relative))
    suite.over_http = over_http
    suite.test_groups_are_scored()


# Defects


class Undocumented(Sums):
    pass


class Loose(Sums):
    """Options without words."""

    class Options(gym_core.Options):
        size: int = 1


class NoTasks(Sums):
    """No tasks."""

    def tasks(self) -> Any:
        return ()


class Twins(Sums):
    """Two tasks of one name."""

    def tasks(self) -> Any:
        yield Task.ask("a", task_id="same", sum=1)
        yield Task.ask("b", task_id="same", sum=1)


class Objects(Sums):
    """A task that is no JSON."""

    def tasks(self) -> Any:
        yield Task.ask("a", sum=1, colours={"red"})


class Mute(Sums):
    """A task that asks nothing."""

    def tasks(self) -> Any:
        yield Task.ask(" ", sum=1)


class Repeats(Sums):
    """Tasks that only an opening observation tells apart."""

    def tasks(self) -> Any:
        yield from (Task.ask("Make it.", task_id=f"t{number}", sum=number) for number in (1, 2))


class Shuffled(Sums):
    """Tasks in any order."""

    order: ClassVar = random.Random(1)

    def tasks(self) -> Any:
        return self.order.sample(list(super().tasks()), 3)


class BrokenSetup(SumSession):
    def setup(self) -> None:
        raise KeyError("sumn")


class Undescribed(SumSession):
    @tool
    def multiply(self, factor: int) -> int:
        """Make the sum a multiple."""
        return self.sum * factor


class EndsOnUnknown(SumSession):
    open_tools = True

    @tool
    def add(self, number: Any) -> Any:
        """Add a number, of whatever kind."""
        return Done("What?") if not isinstance(number, int) else super().add(number)


class LeavesOnArguments(SumSession):
    @tool
    async def leave(self, place: str) -> str:
        """Go to a place."""
        raise gym_core.ModelError(f"{place} is far")


class Shared(SumSession):
    seen: ClassVar[list[int]] = []

    @tool
    def add(self, number: int) -> int:
        """Add a number to the sum."""
        self.seen.append(number)
        super().add(number)
        return len(self.seen)


class OneForAll(Sums):
    """Keeps the sum of a rollout in the server."""

    sum = 0

    class Kept(SumSession):
        def setup(self) -> None:
            self.server.sum = 0

        @tool
        def add(self, number: int) -> int:
            """Add a number to the sum."""
            self.server.sum += number
            return int(self.server.sum)

        def verify(self, trajectory: Trajectory) -> float:
            return float(self.server.sum == self.task["sum"])

    session_type = Kept


class Dice(SumSession):
    @tool
    def add(self, number: int) -> Any:
        """Add a number to the sum."""
        super().add(number)
        return random.random()


class ClosesOnce(SumSession):
    def setup(self) -> None:
        super().setup()
        self.handles = ["handle"]

    def close(self) -> None:
        self.handles.pop()


class Lingers(SumSession):
    def close(self) -> None:
        if self.sum == 0:
            raise RuntimeError("nothing was done")


class Moody(SumSession):
    def verify(self, trajectory: Trajectory) -> float:
        self.sum += 1
        return 0.1 * (self.sum % 2)


class VerifiesOnce(SumSession):
    def verify(self, trajectory: Trajectory) -> float:
        result = float(self.sum == self.task["sum"])
        del self.sum
        return result


class Generous(SumSession):
    def verify(self, trajectory: Trajectory) -> Verdict:
        return Verdict(5.0)


class Infinite(SumSession):
    def verify(self, trajectory: Trajectory) -> float:
        return float("nan")


class Constant(SumSession):
    def verify(self, trajectory: Trajectory) -> float:
        return 1.0


def scoring(answer: Any) -> type[ResourceServer]:
    """An environment that scores groups like this."""

    class Grouped(Sums):
        """Sums in groups."""

        def score_group(self, rollouts: Any) -> Any:
            return answer(rollouts)

    return Grouped


def relative(rollouts: Any) -> list[float]:
    return [rollout.reward / max(1.0, *(other.reward for other in rollouts)) for rollout in rollouts]


DEFECTS = [
    (Undocumented, "test_is_documented", "has no docstring"),
    (Loose, "test_options_are_described", "without a description: size"),
    (NoTasks, "test_tasks_load", "ships no tasks"),
    (Twins, "test_tasks_load", "same"),
    (Objects, "test_tasks_load", "the field `colours` is no plain JSON"),
    (Mute, "test_tasks_load", "its prompt says nothing"),
    (Shuffled, "test_tasks_come_in_the_same_order", "a fixed order"),
    (serving(BrokenSetup), "test_every_task_opens_and_is_judged", "env_error in `setup`: .*sumn"),
    (
        serving(Undescribed),
        "test_tools_are_described",
        "the parameter `factor` of the tool `multiply` is described nowhere",
    ),
    (serving(EndsOnUnknown), "test_bad_calls_are_answered", "got no answer|ended the episode"),
    (serving(LeavesOnArguments), "test_fitting_calls_are_answered", "tries every tool.*no verdict"),
    (serving(Shared), "test_same_seed_same_result", "comes to another result"),
    (serving(Shared), "test_sessions_are_isolated", "share state"),
    (OneForAll, "test_sessions_are_isolated", "share state"),
    (serving(Dice), "test_same_seed_same_result", "draw from `self.rng`"),
    (serving(ClosesOnce), "test_closing_twice", "closed a second time, it raised IndexError"),
    (serving(Lingers), "test_cancellation_closes_the_session", "closed once, it raised RuntimeError"),
    (serving(Moody), "test_verdicts_are_repeatable", "gave 0, and asked again 0.1"),
    (serving(VerifiesOnce), "test_verdicts_are_repeatable", "asked again it raised AttributeError"),
    (serving(Generous), "test_rewards_are_within_their_range", "the reward 5 is not within"),
    (serving(Infinite), "test_rewards_are_within_their_range", "verifier_error"),
    (serving(Constant), "test_winning_beats_losing", "earns 1 and the losing one 1"),
    (scoring(lambda rollouts: [1.0]), "test_groups_are_scored", "1 verdicts for 4 rollouts"),
    (scoring(lambda rollouts: 1 / 0), "test_groups_are_scored", "ZeroDivisionError: division by zero"),
    (scoring(lambda rollouts: [random.random() for _ in rollouts]), "test_groups_are_scored", "and asked again"),
]


@pytest.mark.parametrize(("server", "check", "words"), DEFECTS)
def test_a_defect_is_found(server: type[ResourceServer], check: str, words: str) -> None:
    suite = Suite(server)
    if server.session_type is Lingers:
        suite.winning = lambda task: ["Done."]  # type: ignore[method-assign]  # a script that does nothing first
    with pytest.raises(AssertionError, match=words):
        getattr(suite, check)()


def test_a_prompt_may_be_repeated() -> None:
    Suite(Repeats).test_tasks_load()


class Refuses(Suite):
    """The suite of somebody who knows no script that wins."""

    def winning(self, task: Task) -> Sequence[Any] | None:
        return None


def test_a_cancellation_needs_no_winning_script() -> None:
    Refuses(Sums).test_cancellation_closes_the_session()


class Panel(Session[Any]):
    """Asks several judges at once, of which some answer later."""

    roles = ("judge",)

    async def verify(self, trajectory: Trajectory) -> float:
        async def ask(number: int) -> float:
            for _ in range(random.randrange(5)):
                await asyncio.sleep(0)
            return float((await self.models["judge"].respond(f"Grade it, number {number}.")).output_text)

        return sum(await asyncio.gather(*map(ask, range(4)))) / 4


def test_models_that_are_asked_at_once_may_answer_in_any_order() -> None:
    for _ in range(3):
        Refuses(serving(Panel)).test_served_is_the_same()


# Settings


def test_a_wider_range_is_allowed() -> None:
    suite = Suite(serving(Generous))
    suite.reward_range = (-5, 5)
    suite.test_rewards_are_within_their_range()


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("ships_tasks", False, "test_tasks_load"),
        ("repeatable", False, "test_same_seed_same_result"),
        ("winning", lambda task: None, "test_winning_beats_losing"),
        ("sample", 1, "test_groups_are_scored"),
    ],
)
def test_what_does_not_apply_is_skipped(setting: str, value: Any, check: str) -> None:
    suite = Suite(NoTasks if setting == "ships_tasks" else serving(Dice))
    setattr(suite, setting, value)
    with pytest.raises(pytest.skip.Exception):
        getattr(suite, check)()


def test_wrong_options_of_the_suite_are_named() -> None:
    suite = Suite(Sums)
    suite.options = {"size": 3}
    with pytest.raises(AssertionError, match=r"`options` of this suite do not fit: .*size"):
        suite.test_options_resolve()


def test_a_session_with_a_judge_is_given_one() -> None:
    class Judged(SumSession):
        roles = ("judge",)

        async def verify(self, trajectory: Trajectory) -> float:
            return float((await self.models["judge"].respond("How good?")).output_text)

    suite = Suite(serving(Judged))
    suite.test_every_task_opens_and_is_judged()
    suite.other_models = {"judge": ["7"]}
    with pytest.raises(AssertionError, match="the reward 7 is not within"):
        suite.test_every_task_opens_and_is_judged()
