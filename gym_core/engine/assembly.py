"""A run's components: loaded, given their options, opened, and closed again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from gym_core.contract.agent import Agent
from gym_core.contract.component import Component, Operational
from gym_core.contract.executor import WorkerLauncher
from gym_core.contract.model import ModelBackend
from gym_core.contract.resource_server import ResourceServer
from gym_core.domain.errors import UsageError
from gym_core.engine.config import LOCAL, RunConfig
from gym_core.engine.rollout.delegated_rollout import Elsewhere
from gym_core.wiring.dotenv import load_dotenv
from gym_core.wiring.fields import is_secret_field
from gym_core.wiring.kinds import Kind
from gym_core.wiring.making import Maker, enter, place_of
from gym_core.wiring.manager import PluginManager
from gym_core.wiring.options import secret_values
from gym_core.wiring.secrets import Redactor


@dataclass(slots=True)
class Assembly:
    """The open components of a run, and the `launcher` of workers elsewhere, which is not open yet.

    `described`: what the manifest says of each. `operational`: their options that change no result. `given`: the names
    of those that were set, defaults not among them.
    """

    models: dict[str, ModelBackend] = field(default_factory=dict)
    server: ResourceServer = None  # type: ignore[assignment]  # set before anyone sees it
    agent: Agent = None  # type: ignore[assignment]
    launcher: WorkerLauncher | None = None
    described: dict[str, Any] = field(default_factory=dict)
    operational: dict[str, Any] = field(default_factory=dict)
    given: dict[str, list[str]] = field(default_factory=dict)

    @property
    def distributions(self) -> list[str]:
        """The distributions that the components are from, as far as it is known."""
        described = [*self.described.get("models", {}).values(), *map(self.described.get, ("env", "agent"))]
        return sorted({about["distribution"] for about in described if about and "distribution" in about})

    def name_of(self, place: str) -> str | None:
        """What rows call the environment (`env`) or the `agent`: of one behind a URL, the name that it has there."""
        described = self.described.get(place, {})
        name: str | None = described.get("component", {}).get("name") or described.get("ref")
        return name


class Assembler:
    """Builds the components of a run. Secrets that it meets are added to `redactor`."""

    def __init__(self, config: RunConfig, redactor: Redactor) -> None:
        self.config = config
        self.redactor = redactor
        redactor.add_variables(load_dotenv(), os.environ)
        self.manager = PluginManager(config.disabled_plugins)
        self._maker = Maker(self.manager, redactor, configured=config.configured)
        self.assembly = Assembly()

    async def open(self, stack: AsyncExitStack, backends: AsyncExitStack | None = None) -> Assembly:
        """Make and open all components; `stack` closes them, `backends` the models where it is given.

        Raises `UsageError`, `PluginError`.
        """
        config, assembly = self.config, self.assembly
        # All are made before any is opened: a typo in the last option should not cost the start of a model.
        models = {
            role: self._make(Kind.MODEL, wanted, config.model_options.get(role, {}), role=role)
            for role, wanted in config.models.items()
        }
        server: ResourceServer = Elsewhere()
        if config.env is not None:
            server = self._make(Kind.RESOURCE_SERVER, config.env, config.env_options)
            self._require_roles(server)
        preferred = server.preferred_agent
        agent = self._make(Kind.AGENT, config.agent or preferred, config.agent_options)
        if config.spread:
            assembly.launcher = self._make_launcher()
        for role, model in models.items():
            assembly.models[role] = await self._enter(backends or stack, model, Kind.MODEL)
        assembly.server = server = await self._enter(stack, server, Kind.RESOURCE_SERVER)
        self._require_roles(server)
        if config.agent is None and server.preferred_agent != preferred:  # known since it is open
            agent = self._make(Kind.AGENT, server.preferred_agent, config.agent_options)
        assembly.agent = await self._enter(stack, agent, Kind.AGENT)
        self._check_parts(assembly.agent)
        for kind, place, component in self._placed():
            if component.stands_for:
                self._described(kind, place)["component"] = dict(component.stands_for)
        return assembly

    def _placed(self) -> Iterator[tuple[Kind, str, Component]]:
        for role, model in self.assembly.models.items():
            yield Kind.MODEL, role, model
        if self.config.env is not None:
            yield Kind.RESOURCE_SERVER, "env", self.assembly.server
        yield Kind.AGENT, "agent", self.assembly.agent

    def _check_parts(self, agent: Agent) -> None:
        """Raise `UsageError` for an agent without model and environment, and for those of an agent that brings them."""
        config = self.config
        if not agent.self_contained:
            config.require_parts()
            return
        name = self.assembly.described["agent"]["ref"]
        for given, flag in ((config.models, "--model"), (config.env is not None, "--env")):
            if given:
                raise UsageError(
                    f"the agent {name} brings its own model and environment: {flag} means nothing to it",
                    hint=f"leave {flag} out; where a configuration file sets it, --no-config leaves that alone",
                )
        if config.env_options:
            raise UsageError("-E is for an environment, and this run has none", hint="leave it out")
        if config.input is None and config.tasks is None:
            raise UsageError(f"the agent {name} has no tasks of its own", hint="--input FILE")
        if config.max_tokens is not None or config.max_cost is not None:
            raise UsageError(
                f"the agent {name} asks its own model: what it takes can be counted but not limited",
                hint="leave --max-tokens and --max-cost out",
            )

    def _require_roles(self, server: ResourceServer) -> None:
        """Raise `UsageError` for a role that the environment's sessions need and the run lacks."""
        for role in server.required_roles:
            if role not in self.config.models:
                name = server.context.name or type(server).__name__
                raise UsageError(f"{name} asks a `{role}` model, which the run lacks", hint=f"--model {role}=REF")

    def _make(self, kind: Kind, wanted: Any, given: Mapping[str, Any], *, role: str = "") -> Any:
        place = place_of(kind, role)
        if isinstance(wanted, Component):
            if given:
                raise UsageError(f"{place}: options cannot be given for a component that is already made")
            self.redactor.add(*secret_values(wanted.options))
            self._describe(kind, place, wanted, {"ref": wanted.context.name or type(wanted).__name__})
            return wanted
        made = self._maker.make(
            kind, wanted, given, role=role, seed=self.config.seed or 0, concurrency=self.config.concurrency
        )
        loaded = made.loaded
        origin = {
            "ref": str(loaded.reference),
            "distribution": loaded.plugin.distribution,
            "version": loaded.plugin.version,
        }
        self._describe(kind, place, made.component, origin)
        return made.component

    def _make_launcher(self) -> WorkerLauncher | None:
        """Who starts workers elsewhere; None for those of this machine."""
        if self.config.executor == LOCAL:
            if self.config.executor_options:
                raise UsageError(f"the executor `{LOCAL}` has no options", hint="leave -X out")
            return None
        launcher: WorkerLauncher = self._make(Kind.EXECUTOR, self.config.executor, self.config.executor_options)
        return launcher

    def _describe(self, kind: Kind, place: str, component: Component, origin: dict[str, Any]) -> None:
        results, operational = _dumped(component)
        if kind is Kind.EXECUTOR:  # where rollouts run changes no result
            operational.update(results)
        else:
            described = self._described(kind, place)
            described.clear()
            described.update({**origin, "options": results})
        self.assembly.operational[place] = operational
        self.assembly.given[place] = sorted(component.options.model_fields_set)

    def _described(self, kind: Kind, place: str) -> dict[str, Any]:
        described = self.assembly.described
        about: dict[str, Any] = described.setdefault("models", {}) if kind is Kind.MODEL else described
        found: dict[str, Any] = about.setdefault(place, {})
        return found

    async def _enter(self, stack: AsyncExitStack, component: Any, kind: Kind) -> Any:
        opened = await enter(stack, component, kind, closing=self.config.deadlines.close)
        self.redactor.add(*component.secrets)  # some are only known now
        return opened


def _dumped(component: Component) -> tuple[dict[str, Any], dict[str, Any]]:
    """A component's options without secrets: those that change results, and those that do not."""
    options = component.options
    fields = type(options).model_fields
    secret = {name for name, info in fields.items() if is_secret_field(info)}
    operational = {
        name for name, info in fields.items() if any(isinstance(mark, Operational) for mark in info.metadata)
    }
    dumped: dict[str, Any] = options.model_dump(mode="json", exclude=secret)
    return (
        {name: value for name, value in dumped.items() if name not in operational},
        {name: value for name, value in dumped.items() if name in operational},
    )
