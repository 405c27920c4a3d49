"""The kinds of plugins, one per door: what users call them, how they are found, and what they must be."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gym_core.domain.errors import UsageError


class Kind(StrEnum):
    """A kind of plugin; its value is the word that `--kind` takes and that listings show."""

    MODEL = "model"
    RESOURCE_SERVER = "resource_server"
    AGENT = "agent"
    RUNNER = "runner"
    GATEWAY = "gateway"
    SANDBOX = "sandbox"
    EXECUTOR = "executor"
    COMMAND = "command"
    IMPORTER = "importer"
    EXPORTER = "exporter"
    SCHEME = "scheme"
    SOURCE = "source"
    EXTENSION = "extension"

    @classmethod
    def parse(cls, text: str) -> Kind:
        """A kind by its word; `env` and `environment` are others for `resource_server`. Raises `UsageError`."""
        try:
            return cls.RESOURCE_SERVER if text in ("env", "environment") else cls(text)
        except ValueError:
            raise UsageError(f"no kind of plugin is called {text!r}", hint=f"it is one of {', '.join(cls)}") from None

    @property
    def group(self) -> str:
        """The entry-point group."""
        return f"gym.{self.value}{'es' if self.value.endswith('x') else 's'}"

    @property
    def hook(self) -> str | None:
        """The hook that offers plugins of this kind, by name; extensions offer none."""
        return _DOORS[self].hook

    @property
    def accepted(self) -> tuple[Kind, ...]:
        """The kinds that are understood where one of this kind is asked for: `--agent` takes a runner, too."""
        return (Kind.AGENT, Kind.RUNNER) if self is Kind.AGENT else (self,)

    @property
    def label(self) -> str:
        """What messages call it."""
        return _DOORS[self].label

    @property
    def called(self) -> str:
        """The same with its article: `an environment`."""
        return f"{'an' if self.label[0] in 'aeio' else 'a'} {self.label}"

    @property
    def word(self) -> str:
        """The word for `--kind` that is the flag's, too: `env`."""
        return "env" if self is Kind.RESOURCE_SERVER else self.value

    @property
    def usage(self) -> str:
        """How one is named on the command line: `gym run --model`; empty where it is not."""
        return _DOORS[self].usage

    @property
    def flag(self) -> str:
        """The option, or the command, that takes a reference of this kind."""
        return self.usage.rpartition(" ")[2]

    @property
    def setter(self) -> str:
        """The option that sets options of it; empty where it has none."""
        return _DOORS[self].setter

    @property
    def is_component(self) -> bool:
        """Whether its plugins offer classes that are made with options."""
        return bool(self.setter)

    def contract(self) -> type[Any] | None:
        """The class that a component of this kind extends, or that what is offered is an instance of.

        Imports the contract, and with it pydantic.
        """
        module, _, name = _DOORS[self].contract.partition(":")
        if not module:
            return None
        contract: type[Any] = getattr(importlib.import_module(module), name)
        return contract


@dataclass(frozen=True, slots=True)
class _Door:
    """What is known of a kind; see the properties of `Kind`. `contract`: `module:class`."""

    label: str
    usage: str
    hook: str | None = None
    contract: str = ""
    setter: str = ""


_DOORS = {
    Kind.MODEL: _Door(
        "model backend", "gym run --model", "gym_model_backends", "gym_core.contract.model:ModelBackend", "-M"
    ),
    Kind.RESOURCE_SERVER: _Door(
        "environment",
        "gym run --env",
        "gym_resource_servers",
        "gym_core.contract.resource_server:ResourceServer",
        "-E",
    ),
    Kind.AGENT: _Door("agent", "gym run --agent", "gym_agents", "gym_core.contract.agent:Agent", "-A"),
    Kind.RUNNER: _Door("runner", "gym run --agent", "gym_runners", "gym_core.contract.runner:Runner", "-A"),
    Kind.GATEWAY: _Door("gateway", "gym run --gateway", "gym_gateways", "gym_core.contract.gateway:Gateway", "-G"),
    Kind.SANDBOX: _Door(
        "sandbox", "gym run --sandbox", "gym_sandboxes", "gym_core.contract.sandbox:SandboxProvider", "-S"
    ),
    Kind.EXECUTOR: _Door(
        "executor", "gym run --executor", "gym_executors", "gym_core.contract.executor:ExecutorProvider", "-X"
    ),
    Kind.COMMAND: _Door("command", "gym", "gym_commands", "click:Command"),
    Kind.IMPORTER: _Door("importer", "gym import --format", "gym_importers", "gym_core.contract.formats:Importer"),
    Kind.EXPORTER: _Door("exporter", "gym export --format", "gym_exporters", "gym_core.contract.formats:Exporter"),
    Kind.SCHEME: _Door("URL scheme", "", "gym_schemes", "builtins:str"),
    Kind.SOURCE: _Door("source of plugins", "", "gym_sources", "gym_core.wiring.plugin_source:PluginSource"),
    Kind.EXTENSION: _Door("extension", "gym run --extension"),
}
GROUPS = {kind.group: kind for kind in Kind}
MAY_BE_ELSEWHERE = frozenset({Kind.MODEL, Kind.RESOURCE_SERVER, Kind.AGENT, Kind.RUNNER})
"""Kinds whose components may live behind a URL, or in an installation of their own."""
