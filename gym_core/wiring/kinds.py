"""The kinds of plugins, one per door: what users call them, how they are found, and what they must be."""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import Any, Self

from gym_core.domain.errors import UsageError


class Kind(StrEnum):
    """A kind of plugin; its value is the word that `--kind` takes and that listings show.

    `label`: what messages call it. `usage`: how one is named on the command line, `gym run --model`; empty where it is
    not. `hook`: what offers plugins of this kind, by name; empty for extensions, which offer none. `setter`: the option
    that sets options of it; empty where it has none.
    """

    label: str
    usage: str
    hook: str
    setter: str

    def __new__(cls, word: str, label: str = "", usage: str = "", hook: str = "", setter: str = "") -> Self:
        """One of those below."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.label, kind.usage, kind.hook, kind.setter = label, usage, hook, setter
        return kind

    MODEL = "model", "model backend", "gym run --model", "gym_model_backends", "-M"
    RESOURCE_SERVER = "resource_server", "environment", "gym run --env", "gym_resource_servers", "-E"
    AGENT = "agent", "agent", "gym run --agent", "gym_agents", "-A"
    RUNNER = "runner", "runner", "gym run --agent", "gym_runners", "-A"
    GATEWAY = "gateway", "gateway", "gym run --gateway", "gym_gateways", "-G"
    SANDBOX = "sandbox", "sandbox", "gym run --sandbox", "gym_sandboxes", "-S"
    EXECUTOR = "executor", "executor", "gym run --executor", "gym_executors", "-X"
    COMMAND = "command", "command", "gym", "gym_commands"
    IMPORTER = "importer", "importer", "gym import --format", "gym_importers"
    EXPORTER = "exporter", "exporter", "gym export --format", "gym_exporters"
    SCHEME = "scheme", "URL scheme", "", "gym_schemes"
    SOURCE = "source", "source of plugins", "", "gym_sources"
    EXTENSION = "extension", "extension", "gym run --extension"

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
    def accepted(self) -> tuple[Kind, ...]:
        """The kinds that are understood where one of this kind is asked for: `--agent` takes a runner, too."""
        return (Kind.AGENT, Kind.RUNNER) if self is Kind.AGENT else (self,)

    @property
    def called(self) -> str:
        """The same with its article: `an environment`."""
        return f"{'an' if self.label[0] in 'aeio' else 'a'} {self.label}"

    @property
    def word(self) -> str:
        """The word for `--kind` that is the flag's, too: `env`."""
        return "env" if self is Kind.RESOURCE_SERVER else self.value

    @property
    def flag(self) -> str:
        """The option, or the command, that takes a reference of this kind."""
        return self.usage.rpartition(" ")[2]

    @property
    def is_component(self) -> bool:
        """Whether its plugins offer classes that are made with options."""
        return bool(self.setter)

    def contract(self) -> type[Any]:
        """The class that a component of this kind extends, or that what is offered is an instance of.

        Imports the contract, and with it pydantic. There is none for extensions.
        """
        module, _, name = _CONTRACTS[self].partition(":")
        contract: type[Any] = getattr(importlib.import_module(module), name)
        return contract


_CONTRACTS = {
    Kind.MODEL: "gym_core.contract.model:ModelBackend",
    Kind.RESOURCE_SERVER: "gym_core.contract.resource_server:ResourceServer",
    Kind.AGENT: "gym_core.contract.agent:Agent",
    Kind.RUNNER: "gym_core.contract.runner:Runner",
    Kind.GATEWAY: "gym_core.contract.gateway:Gateway",
    Kind.SANDBOX: "gym_core.contract.sandbox:SandboxProvider",
    Kind.EXECUTOR: "gym_core.contract.executor:ExecutorProvider",
    Kind.COMMAND: "click:Command",
    Kind.IMPORTER: "gym_core.contract.formats:Importer",
    Kind.EXPORTER: "gym_core.contract.formats:Exporter",
    Kind.SCHEME: "builtins:str",
    Kind.SOURCE: "gym_core.wiring.plugin_source:PluginSource",
}
GROUPS = {kind.group: kind for kind in Kind}
MAY_BE_ELSEWHERE = (Kind.MODEL, Kind.RESOURCE_SERVER, Kind.AGENT, Kind.RUNNER)
"""Kinds whose components may live behind a URL, in an installation of their own, or in a file."""
