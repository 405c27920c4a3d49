"""The environment: a task of Inspect, loaded by its own rules, with its dataset as tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat

from gym_core import (
    Options,
    ResourceServer,
    ResourceServerInfo,
    Selector,
    Task,
    UsageError,
    Venv,
)
from gym_core.spi import UniqueIds, load_in_thread, loading_option
from gym_inspect.loading import load
from gym_inspect.messages import to_items
from gym_inspect.model import model
from gym_inspect.names import named, venv_of
from gym_inspect.sample import ROW
from gym_inspect.session import InspectSession


class InspectOptions(Options):
    """What is loaded, and how."""

    task: Annotated[str, Selector()] = Field(
        description="The task: `inspect_evals/gsm8k`, or a file, `./mine.py@task`, whose only task goes unnamed."
    )
    args: dict[str, Any] = Field(
        default_factory=dict, description="What the task is called with: `args.NAME=VALUE`, in JSON or as text."
    )
    reward: str | None = Field(
        default=None,
        description="The score that is the reward, a scorer or `scorer.name`; otherwise the first scorer's is.",
    )
    loading: PositiveFloat = loading_option()
    solver: Literal["own", "agent"] = Field(
        default="own",
        description="Who works on a sample where the run names no agent: the task's solver, or `agent`, an agent of "
        "gym's, with what the solver asks and the tools that it gives.",
    )
    sandbox: str | None = Field(
        default=None, description="The kind of sandbox instead of the task's own: `local`, which protects nothing."
    )


class Inspect(ResourceServer[InspectOptions]):
    """A task that was written for Inspect: of a package that registers with it, or of a file.

    Its own solver runs its rollouts, with the models of the run, and its scorers give the reward. It lives in a venv
    of its own where Inspect and its package are not beside gym: `gym install --isolated inspect:PACKAGE/TASK`.
    """

    preferred_agent = "inspect_loop"
    session_type = InspectSession

    def __init__(self, options: Any = None, context: Any = None) -> None:
        super().__init__(options, context)
        self.named = named(self.options.task)
        self.loaded: Any = None

    @classmethod
    def venv(cls, selector: str | None) -> Venv | None:
        """A venv with Inspect and the task's package, unless both are here."""
        return venv_of(named(selector))

    def describe(self) -> ResourceServerInfo:
        """Who works on its samples only its options know."""
        agent = ResourceServer.preferred_agent if self.options.solver == "agent" else self.preferred_agent
        return replace(super().describe(), preferred_agent=agent)

    async def __aenter__(self) -> Self:
        options = self.options
        self.loaded = await load_in_thread(
            self.named, load, self.named, options.args, options.sandbox, seconds=options.loading
        )
        model("policy")  # Inspect imports all that registers with it at the first look: not within a rollout
        return self

    async def __aexit__(self, *error: object) -> None:
        self.loaded = None

    @property
    def opened(self) -> Any:
        """The `inspect_ai.Task` that was loaded. Raises `UsageError` before that."""
        if self.loaded is None:
            raise UsageError(f"{self.named} is not open")
        return self.loaded

    def tasks(self) -> Iterator[Task]:
        """Its samples, each by its own id; one that has none is known by what it holds."""
        ids = UniqueIds()
        for index, sample in enumerate(self.opened.dataset):
            held = sample.model_dump(mode="json", exclude_none=True, fallback=str)
            messages = sample.input
            opening = [{"role": "user", "content": messages}] if isinstance(messages, str) else to_items(messages, {})
            yield Task(
                {
                    "task_id": ids.numbered(str(sample.id)) if sample.id is not None else ids.of(held),
                    "responses_create_params": {"input": opening},
                    ROW: {"id": index + 1, **held},
                }
            )
