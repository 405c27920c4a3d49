"""The hook specifications: everything a plugin can offer, on one page.

A plugin is an installable package whose entry point names a module with one or more of the functions below, each marked
`@gym_core.hookimpl(contract=1)`. The number is the version of this contract; a plugin for another one is refused. The
group of the entry point says the role, its name is what the user types:

    [project.entry-points."gym.models"]             gym_model_backends
    [project.entry-points."gym.resource_servers"]   gym_resource_servers
    [project.entry-points."gym.agents"]             gym_agents
    [project.entry-points."gym.runners"]            gym_runners
    [project.entry-points."gym.gateways"]           gym_gateways
    [project.entry-points."gym.sandboxes"]          gym_sandboxes
    [project.entry-points."gym.executors"]          gym_executors
    [project.entry-points."gym.commands"]           gym_commands
    [project.entry-points."gym.importers"]          gym_importers
    [project.entry-points."gym.exporters"]          gym_exporters
    [project.entry-points."gym.schemes"]            gym_schemes
    [project.entry-points."gym.sources"]            gym_sources
    [project.entry-points."gym.extensions"]         the observers at the end
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeVar

import pluggy

if TYPE_CHECKING:
    import click

    from gym_core.contract.agent import Agent
    from gym_core.contract.executor import ExecutorProvider
    from gym_core.contract.formats import Exporter, Importer
    from gym_core.contract.gateway import Gateway
    from gym_core.contract.model import ModelBackend
    from gym_core.contract.resource_server import ResourceServer
    from gym_core.contract.runner import Runner
    from gym_core.contract.sandbox import SandboxProvider
    from gym_core.domain.group import Group
    from gym_core.domain.rollout import Rollout

CONTRACT_VERSION = 1
"""The version of this contract. Each hook implementation says for which one it is written."""

PROJECT = "gym"
hookspec = pluggy.HookspecMarker(PROJECT)
_marker = pluggy.HookimplMarker(PROJECT)
_VERSION = "__gym_contract__"
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def hookimpl(*bare: Never, contract: int | None = None) -> Callable[[FunctionT], FunctionT]:
    """Marks a hook implementation, and says for which version of this contract it is written: `hookimpl(contract=1)`.

    Raises `TypeError` where that is not said. Another version than this one's is refused when the plugin is loaded.
    """
    if bare or contract is None:
        raise TypeError(f"a hook says for which contract it is written: `@hookimpl(contract={CONTRACT_VERSION})`")

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, _VERSION, contract)
        return _marker(function)

    return mark


def contract_of(function: object) -> object:
    """The version of the contract that a hook implementation is written for; None where it does not say."""
    return getattr(function, _VERSION, None)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run when it starts.

    `manifest`: what stands in the run's manifest. `output`: the file of its rows, empty where it keeps none.
    `rollouts`: how many there will be, None where that is not known yet.
    """

    run_id: str
    manifest: Mapping[str, Any]
    output: str = ""
    rollouts: int | None = None


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One finished model call or tool call: who, how long (seconds), and what else is known of it.

    `key`: the rollout, as `(task_id, repeat)`. `name`: of the model, or of the tool. `started`: in seconds since the
    epoch. `error`: what failed, None where nothing did.
    """

    key: tuple[str, int]
    name: str
    seconds: float
    started: float = 0.0
    error: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class RunControl(Protocol):
    """A run that is going on, to be steered. Its methods may be called from any thread but that of the event loop.

    Each is answered by the event loop, and raises `UsageError` where the run has ended or does not answer in time.
    """

    def state(self) -> Mapping[str, Any]:
        """How it is doing, secrets masked.

        `run_id, output, state` (`running`, `paused`), `concurrency`, `rollouts` (`total`, None where that is not known,
        `done, failed, in_flight`), `reward` (the mean so far), `tokens, cost, seconds`, `waiting`: how many model calls
        wait for the `endpoint` and the `budget`, and `under_way`: the rollouts that are, the oldest first and no more
        than some hundred, each `task_id, repeat`.
        """
        ...

    def pause(self) -> None:
        """Start no new rollouts; those under way go on."""
        ...

    def resume(self) -> None:
        """Start new rollouts again."""
        ...

    def cancel(self, task_id: str, repeat: int | None = None) -> int:
        """End the rollouts of a task that are under way, or the one with this repeat; returns how many there were.

        They are recorded as cancelled, so a resumed run starts them again. Repeats that are still to come do come.
        """
        ...

    def set_concurrency(self, concurrency: int) -> str | None:
        """How many rollouts are under way at once from now on; returns a warning, None without one.

        Raises `UsageError` for fewer than one for each worker. With fewer than are under way, those end first.
        """
        ...

    def stop(self, reason: str) -> None:
        """End the run; what is under way is recorded as cancelled, and `--resume` goes on."""
        ...


@hookspec
def gym_model_backends() -> Mapping[str, type[ModelBackend]]:  # type: ignore[empty-body]
    """The model backends of this package, by the names of their entry points."""


@hookspec
def gym_resource_servers() -> Mapping[str, type[ResourceServer]]:  # type: ignore[empty-body]
    """The resource servers of this package, by the names of their entry points."""


@hookspec
def gym_agents() -> Mapping[str, type[Agent]]:  # type: ignore[empty-body]
    """The agents of this package, by the names of their entry points."""


@hookspec
def gym_runners() -> Mapping[str, type[Runner]]:  # type: ignore[empty-body]
    """The runners of this package, by the names of their entry points: `gym run --agent NAME` takes them, too."""


@hookspec
def gym_gateways() -> Mapping[str, type[Gateway]]:  # type: ignore[empty-body]
    """Where programs reach rollouts, by the names of their entry points: `gym run --gateway NAME`."""


@hookspec
def gym_sandboxes() -> Mapping[str, type[SandboxProvider]]:  # type: ignore[empty-body]
    """What makes sandboxes, by the names of their entry points: `gym run --sandbox NAME`."""


@hookspec
def gym_executors() -> Mapping[str, type[ExecutorProvider]]:  # type: ignore[empty-body]
    """What carries rollouts out elsewhere, by the names of their entry points: `gym run --executor NAME`."""


@hookspec
def gym_commands() -> Mapping[str, click.Command]:  # type: ignore[empty-body]
    """Commands of `gym`, by the names of their entry points. `gym --help` shows them by their package's summary."""


@hookspec
def gym_importers() -> Mapping[str, Importer]:  # type: ignore[empty-body]
    """What reads the configurations of others, by the names of their entry points: `gym import --format NAME`."""


@hookspec
def gym_exporters() -> Mapping[str, Exporter]:  # type: ignore[empty-body]
    """What writes rows as others read them, by the names of their entry points: `gym export --format NAME`."""


@hookspec
def gym_schemes() -> Mapping[str, str]:  # type: ignore[empty-body]
    """What URLs mean, by their schemes, which are the names of the entry points: a component, as DISTRIBUTION/NAME.

    A URL in place of a component's name means that one, with the whole URL as its selector.
    """


@hookspec
def gym_sources() -> Mapping[str, Any]:  # type: ignore[empty-body]
    """Where else plugins are found than in this interpreter: each a `gym_core.spi.PluginSource`, by name."""


@hookspec
def gym_extension_check() -> None:
    """An extension has been switched on: raise `UsageError` where it cannot work, for lack of a library, say.

    It is called before a run is wired; raised then, the run does not start. What the hooks below raise stops no run:
    it is reported once and counted.
    """


@hookspec
def gym_run_control(run: RunInfo, control: RunControl) -> None:
    """A run is about to start, and may be steered for as long as it goes on: paused, stopped, made wider."""


@hookspec
def gym_run_started(run: RunInfo) -> None:
    """A run is about to start its first rollout."""


@hookspec
def gym_rollout_finished(run: RunInfo, rollout: Rollout) -> None:
    """A rollout's row, or its failure, has been written."""


@hookspec
def gym_group_finished(run: RunInfo, group: Group) -> None:
    """All rollouts of a task have ended, and what they came to together has been written.

    Called in runs whose rollouts are grouped: with `--group`, and where the environment scores groups; of an open gym,
    for each group that it hands out, of which nothing is written.
    """


@hookspec
def gym_model_called(run: RunInfo, call: CallInfo) -> None:
    """A model call has ended. Costs nothing when no extension listens."""


@hookspec
def gym_tool_called(run: RunInfo, call: CallInfo) -> None:
    """A tool call has ended. Costs nothing when no extension listens."""


@hookspec
def gym_run_finished(run: RunInfo, summary: Mapping[str, Any]) -> None:
    """A run has ended, whole or early; the summary is the one on disk."""
