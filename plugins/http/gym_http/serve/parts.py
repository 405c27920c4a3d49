"""The components that are served: loaded, given their options and opened as those of a run, but one by one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any

from pydantic.errors import PydanticUserError

import gym_core
from gym_core import Agent, Component, ModelBackend, ResourceServer, RunConfig, UsageError
from gym_core.spi import Assembler, Configured, Kind, Redactor


class PartsAssembler(Assembler):
    """Opens single components. `concurrency` and `seed`: what they are told of the run they serve."""

    def __init__(
        self,
        redactor: Redactor,
        *,
        concurrency: int,
        seed: int = 0,
        disabled_plugins: tuple[str, ...] = (),
        configured: Mapping[str, Configured] = MappingProxyType({}),
    ) -> None:
        config = RunConfig(
            agent="none",
            concurrency=concurrency,
            seed=seed,
            disabled_plugins=disabled_plugins,
            configured=configured,
        )
        super().__init__(config, redactor)

    async def open_environment(
        self, stack: AsyncExitStack, reference: str | ResourceServer, options: Mapping[str, Any]
    ) -> ResourceServer:
        """An environment. Raises `UsageError`, `PluginError`."""
        server: ResourceServer = self._make(Kind.RESOURCE_SERVER, reference, options)
        self.assembly.server = await self._enter(stack, server, Kind.RESOURCE_SERVER)
        return self.assembly.server

    async def open_agent(self, stack: AsyncExitStack, reference: str | Agent, options: Mapping[str, Any]) -> Agent:
        """An agent. Raises `UsageError`, `PluginError`; of one that works on whole tasks, too."""
        agent: Agent = self._make(Kind.AGENT, reference, options)
        self.assembly.agent = agent = await self._enter(stack, agent, Kind.AGENT)
        if agent.self_contained:
            raise UsageError(
                f"the agent {reference} works on whole tasks, with a model and an environment of its own",
                hint="whoever needs it can ask it itself",
            )
        return agent

    async def open_models(
        self,
        stack: AsyncExitStack,
        references: Mapping[str, str | ModelBackend],
        options: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, ModelBackend]:
        """Models by role. Raises `UsageError`, `PluginError`."""
        made = {
            role: self._make(Kind.MODEL, reference, options.get(role, {}), role=role)
            for role, reference in references.items()
        }
        for role, model in made.items():
            self.assembly.models[role] = await self._enter(stack, model, Kind.MODEL)
        return self.assembly.models


def describe(component: Component, assembler: Assembler, place: str) -> dict[str, Any]:
    """What `GET /v1/component` says of a component, without its capabilities. `place`: `env`, `agent`, or a role."""
    assembly = assembler.assembly
    models: Mapping[str, Any] = assembly.described.get("models", {})
    described: Mapping[str, Any] = models.get(place) or assembly.described.get(place) or {}
    cls = type(component)
    return {
        "name": component.stands_for.get("name") or component.context.name or cls.__name__,
        "ref": described.get("ref", ""),
        "doc": inspect.cleandoc(cls.__doc__ or ""),
        "distribution": described.get("distribution", ""),
        "version": described.get("version", ""),
        "gym_core": gym_core.__version__,
        "options_schema": _schema(component),
        "options": {**described.get("options", {}), **assembly.operational.get(place, {})},
    }


def _schema(component: Component) -> dict[str, Any] | None:
    """The JSON schema of a component's options, where there is one."""
    try:
        schema: dict[str, Any] = type(component.options).model_json_schema()
    except PydanticUserError:
        return None
    return schema
