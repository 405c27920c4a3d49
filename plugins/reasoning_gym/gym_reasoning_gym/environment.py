"""The resource server and its sessions: tasks from the generator, verdicts from the verifier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from gym_core import (
    Options,
    ResourceServer,
    Selector,
    Session,
    SessionContext,
    Task,
    Trajectory,
    UsageError,
    Verdict,
    blocking,
    isolated,
)
from gym_reasoning_gym.answers import INSTRUCTION
from gym_reasoning_gym.families import ALL, FAMILIES, parse_families
from gym_reasoning_gym.generation import generate
from gym_reasoning_gym.guards import EXPRESSIONS
from gym_reasoning_gym.order import Order
from gym_reasoning_gym.package import check_settings
from gym_reasoning_gym.verifier import check_fields, family_of, judge

SEEDS = 2**31
"""Seeds are below this number."""


class ReasoningSession(Session["ReasoningGym"]):
    """One question, without tools. It has no state."""

    judges_trajectory = True

    @blocking
    def verify(self, trajectory: Trajectory) -> Verdict:
        """Score the final answer, in a thread: most scorers take well under a millisecond, some take 20."""
        return judge(self.task, trajectory)


class ExpressionSession(Session["ReasoningGym"]):
    """A question whose answer is an expression, which sympy can take any time to simplify."""

    judges_trajectory = True

    @isolated
    def verify(self, trajectory: Trajectory) -> Verdict:
        """Score the final answer, in a process that a deadline can end."""
        return judge(self.task, trajectory)


class ReasoningGymOptions(Options):
    """Options of the environment."""

    family: Annotated[str, Selector()] = Field(
        "",
        description="The family of the questions, several separated by commas, or `all`. Not needed where the "
        "tasks come from a file.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=SEEDS,
        description="Which questions: seed and index make one. Seeds close to each other share questions. "
        "By default the seed of the run.",
    )
    size: PositiveInt | None = Field(None, description="How many tasks there are, of all families together.")
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings of the family, such as config.max_word_len=5; of several families by name: "
        "config.spell_backward.max_word_len=5.",
    )

    @field_validator("family")
    @classmethod
    def _check_family(cls, family: str) -> str:
        parse_families(family)
        return family

    @model_validator(mode="after")
    def _check_config(self) -> Self:
        self.settings()
        return self

    def settings(self) -> dict[str, dict[str, Any]]:
        """The settings by family. Raises `ValueError` where it is not clear whose they are."""
        families = parse_families(self.family)
        if not self.config or len(families) == 1:
            return {families[0]: self.config} if self.config else {}
        if not families:
            raise ValueError("`config` needs a family whose settings it holds")
        for name, inner in self.config.items():
            if name not in families or not isinstance(inner, dict):
                raise ValueError(f"with several families, write `config.FAMILY.{name}`: whose `{name}` is it?")
        return self.config


class ReasoningGym(ResourceServer[ReasoningGymOptions]):
    """Questions of the package reasoning-gym, over a hundred families, made while they are asked.

    `reasoning_gym:spell_backward` asks those of one family, a comma-separated list those of several in turns, and
    `reasoning_gym:all` those of every one. There is no end to them unless `size` or `--limit` sets it. The reward is
    the score that the package gives to the final answer, which is asked for between <answer> tags.
    """

    session_type = ReasoningSession

    @classmethod
    def choices(cls) -> Sequence[str]:
        """The families, and `all`."""
        return (*FAMILIES, ALL)

    async def __aenter__(self) -> Self:
        """Import the package, which takes seconds, and check the settings. Raises `UsageError`."""
        settings = self.options.settings()
        for family in parse_families(self.options.family) or FAMILIES[:1]:
            await asyncio.to_thread(check_settings, family, settings.get(family, {}))
        return self

    def tasks(self) -> Iterable[Task] | AsyncIterable[Task]:
        """The tasks, made as they are asked for. Raises `UsageError` at the first one when no family was chosen."""
        return self._generated() if parse_families(self.options.family) else _nothing_chosen()

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """A session of the kind that the task's family needs. Raises `errors.FieldError` for a misfit row."""
        check_fields(task)
        if family_of(task) in EXPRESSIONS:
            return nullcontext(ExpressionSession(task, self, context))  # there is nothing to close
        return super().open_session(task, context)

    def order(self) -> Order:
        """What is generated: by the options, and by the run's seed where they say none."""
        options = self.options
        seed = self.context.seed % SEEDS if options.seed is None else options.seed
        return Order(parse_families(options.family), seed, options.size, options.settings())

    async def _generated(self) -> AsyncIterator[Task]:
        order = self.order()
        async with aclosing(generate(order)) as lines:
            async for line in lines:
                family, index = line["family"], line["index"]
                if "error" in line:
                    self.context.logger.warning("question %d of %s cannot be made: %s", index, family, line["error"])
                    continue
                yield _task(family, index, order.seed, line["item"], order.settings.get(family))


def _task(family: str, index: int, seed: int, item: dict[str, Any], settings: Mapping[str, Any] | None) -> Task:
    fields: dict[str, Any] = {"family": family, "seed": seed, "index": index}
    if settings:
        fields["config"] = settings
    fields |= {name: item[name] for name in ("question", "answer", "metadata")}
    return Task.ask(
        f"{item['question'].rstrip()}\n\n{INSTRUCTION}", task_id=f"{family}-{seed}-{index}", params=None, **fields
    )


def _nothing_chosen() -> Iterator[Task]:
    raise UsageError(
        "reasoning_gym needs a family: `reasoning_gym:FAMILY`, several separated by commas, or `reasoning_gym:all`",
        hint="`gym plugins show reasoning_gym` lists them",
    )
    yield
