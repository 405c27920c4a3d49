"""The environment: a package of verifiers, loaded by its own rules, with its dataset as tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat

from gym_core import (
    Endpoint,
    Options,
    ResourceServer,
    ResourceServerInfo,
    Rollout,
    Selector,
    Session,
    SessionContext,
    Task,
    UsageError,
    Venv,
    Verdict,
)
from gym_core.spi import load_in_thread, loading_option
from gym_verifiers.loading import load
from gym_verifiers.names import named, venv_of
from gym_verifiers.own_models import OwnModels

if TYPE_CHECKING:
    from gym_verifiers.loaded import Loaded


JUDGE = "judge"
"""The role of the model that answers what an environment asks by itself."""


class VerifiersOptions(Options):
    """What is loaded, and how."""

    id: Annotated[str, Selector()] = Field(
        description="The id of the environment, `wordle` or `owner/wordle`; `@0.3` behind it names a version."
    )
    args: dict[str, Any] = Field(
        default_factory=dict,
        description="What `load_environment` is called with, or the configuration of a taskset: `args.NAME=VALUE`, in "
        "JSON or as text.",
    )
    env: dict[str, Any] = Field(
        default_factory=dict,
        description="Of a taskset, the rest of the configuration of its environment, in JSON: `env.agent={...}`.",
    )
    split: Literal["train", "eval"] = Field(
        default="train", description="Which dataset its tasks are; the other one stands in for one that is not there."
    )
    loading: PositiveFloat = loading_option()
    columns: list[str] = Field(
        default_factory=list, description="Columns of the state that rows keep, in `rollout.info.state`."
    )
    judge: bool = Field(
        default=False,
        description="Whether the run's judge, `--model judge=REF`, answers what it asks by OpenAI clients of its own.",
    )
    see_keys: bool = Field(
        default=False,
        description="Whether it may see keys of models, such as OPENAI_API_KEY, while it is loaded: what it asks with "
        "them passes by gym's limits, budget and record.",
    )

    def own_models(self, judge: Endpoint | None = None, policy: str = "") -> OwnModels | None:
        """Who answers what it asks by itself; None leaves that to it. In a rollout: its judge, the policy's URL."""
        return None if self.see_keys and not self.judge else OwnModels(self.judge, judge, policy)


class Verifiers(ResourceServer[VerifiersOptions]):
    """An environment that was written for verifiers: a package with `load_environment`, or a taskset of 0.4.

    Its own loop runs its rollouts, with the models of the run. It lives in a venv of its own where verifiers and its
    package are not installed beside gym: `gym install --isolated verifiers:ID`.
    """

    preferred_agent = "verifiers_loop"

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.named = named(self.options.id)
        self.loaded: Loaded | None = None
        self._stack = AsyncExitStack()

    @classmethod
    def venv(cls, selector: str | None) -> Venv | None:
        """A venv with verifiers and the environment's package, unless both are here."""
        return venv_of(named(selector))

    def describe(self) -> ResourceServerInfo:
        """Whether it scores groups only its rubric knows."""
        return replace(
            super().describe(),
            scores_groups=self.loaded is not None and self.loaded.scores_groups,
            roles=(JUDGE,) if self.options.judge else (),
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            options = self.options
            loaded = await load_in_thread(self.named, load, self.named, options, seconds=options.loading)
            await stack.enter_async_context(loaded)
            self._stack = stack.pop_all()
        self.loaded = loaded
        return self

    async def __aexit__(self, *error: object) -> None:
        self.loaded = None
        await self._stack.aclose()

    @property
    def environment(self) -> Loaded:
        """What was loaded. Raises `UsageError` before that."""
        if self.loaded is None:
            raise UsageError(f"{self.named} is not open")
        return self.loaded

    def tasks(self) -> Iterator[Task]:
        """Its dataset. A task is known by what its row holds, wherever that stands."""
        return self.environment.tasks()

    def open_session(self, task: Task, context: SessionContext) -> AbstractAsyncContextManager[Session[Any]]:
        """Raises `UsageError`: its loop is its own."""
        raise UsageError(
            f"{self.named} runs its own loop, and has no sessions for an agent of gym", hint="leave --agent out"
        )

    async def score_group(self, rollouts: Sequence[Rollout]) -> Sequence[Verdict]:
        """What its rubric says of the rollouts of one task together."""
        return await self.environment.score_group(rollouts)
