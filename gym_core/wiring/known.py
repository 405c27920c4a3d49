"""Plugins that are known by name without being installed, so that whoever misses one is told what to install."""

from __future__ import annotations

from gym_core.wiring.kinds import Kind

CORE = "gym-core"
"""The distribution of gym itself."""

COMMANDS = {
    "serve": ("gym-http", "Offer an environment, a model or an agent over HTTP until it is interrupted."),
    "check": ("gym-check", "Audit an environment: its tasks, its tools and its verifier."),
    "new": ("gym-check", "Start a package of your own: an environment, a model backend or an agent."),
}
"""Commands: who brings them, and what `gym --help` says of them."""

_OTHERS = {
    Kind.MODEL: {"openai": "gym-openai-model", "local": "gym-local-model"},
    Kind.RESOURCE_SERVER: {
        "simple_weather": "gym-simple-weather",
        "workplace": "gym-workplace",
        "stateful_counter": "gym-stateful-counter",
        "reasoning_gym": "gym-reasoning-gym",
    },
    Kind.AGENT: {"simple_agent": "gym-simple-agent"},
    Kind.RUNNER: {},
    Kind.EXECUTOR: {"ray": "gym-ray"},
    Kind.EXTENSION: {"otel": "gym-otel"},
    Kind.IMPORTER: {"nemo": "gym-nemo"},
    Kind.EXPORTER: {"nemo": "gym-nemo"},
    Kind.SCHEME: {"http": "gym-http", "https": "gym-http", "unix": "gym-http"},
    Kind.SOURCE: {"isolated": "gym-isolated"},
    Kind.COMMAND: {name: distribution for name, (distribution, _) in COMMANDS.items()},
}


def hint_to_install(kind: Kind, name: str) -> str:
    """How to get a plugin; empty for one that is not known."""
    distribution = _OTHERS[kind].get(name)
    return f"`gym install {distribution}`, or `pip install {distribution}`" if distribution else ""
