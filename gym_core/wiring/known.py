"""Plugins that are known by name without being installed, so that whoever misses one is told what to install."""

from __future__ import annotations

from gym_core.wiring.kinds import Kind

CORE = "gym-core"
"""The distribution of gym itself."""

COMMANDS = {
    "show": ("gym-results", "Show rollouts of a run: one, those that failed, the lowest, or with those of another."),
    "stats": ("gym-results", "Compute the numbers of runs again, a line for each."),
    "runs": ("gym-results", "List the runs of a folder, newest first, with what they came to."),
    "rescore": ("gym-results", "Verify stored rollouts again, without a model."),
    "export": ("gym-results", "Write the rollouts of a run as rows that the tools of others read."),
    "import": ("gym-results", "Turn the configuration of another system into a run file."),
    "doctor": ("gym-doctor", "Look for what keeps runs from going well, and say how to fix it."),
    "serve": ("gym-http", "Offer an environment, a model or an agent over HTTP until it is interrupted."),
    "view": ("gym-viewer", "Look at runs in the browser."),
    "check": ("gym-check", "Audit an environment: its tasks, its tools and its verifier."),
    "ctl": ("gym-ctl", "Steer a run that is going on: pause it, make it wider, cancel a task, stop it."),
    "health": ("gym-health", "Find finished rollouts that look wrong."),
    "query": ("gym-tables", "Ask runs with SQL."),
    "search": ("gym-catalog", "Find environments that exist."),
    "new": ("gym-check", "Start a package of your own: an environment, a model backend or an agent."),
}
"""Commands: who brings them, and what `gym --help` says of them."""

TABLES = "`--env qa` takes tables of questions and answers (gym-qa)"
"""Who reads a file that is no JSON lines."""

_OTHERS = {
    Kind.MODEL: {"openai": "gym-openai-model", "local": "gym-local-model"},
    Kind.RESOURCE_SERVER: {
        "simple_weather": "gym-simple-weather",
        "workplace": "gym-workplace",
        "stateful_counter": "gym-stateful-counter",
        "reasoning_gym": "gym-reasoning-gym",
        "qa": "gym-qa",
        "openenv": "gym-openenv",
        "verifiers": "gym-verifiers",
        **dict.fromkeys(("gymnasium", "textarena", "gem"), "gym-textgames"),
        "inspect": "gym-inspect",
        "nemo": "gym-nemo-servers",
    },
    Kind.AGENT: {"simple_agent": "gym-simple-agent"},
    Kind.RUNNER: {},
    Kind.GATEWAY: {"http": "gym-http"},
    Kind.SANDBOX: {"local": "gym-local-sandbox"},
    Kind.EXECUTOR: {"ray": "gym-ray", "workers": "gym-workers"},
    Kind.EXTENSION: {"ctl": "gym-ctl", "mlflow": "gym-trackers", "otel": "gym-otel", "wandb": "gym-trackers"},
    Kind.IMPORTER: {"nemo": "gym-nemo"},
    Kind.EXPORTER: {
        "nemo": "gym-nemo",
        **dict.fromkeys(("csv", "parquet"), "gym-tables"),
        **dict.fromkeys(
            ("sft", "preference", "kto", "prompts", "tokens", "trl", "verl", "prime-rl", "verifiers", "openenv"),
            "gym-training",
        ),
    },
    Kind.SCHEME: {"http": "gym-http", "https": "gym-http", "unix": "gym-http"},
    Kind.SOURCE: {"isolated": "gym-isolated"},
    Kind.COMMAND: {name: distribution for name, (distribution, _) in COMMANDS.items()},
}


ENDPOINTS = {
    "anthropic": "https://api.anthropic.com/v1/",
    "deepseek": "https://api.deepseek.com",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai/",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "ollama": "http://localhost:11434/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "together": "https://api.together.xyz/v1",
    "vllm": "http://localhost:8000/v1",
}
"""Who speaks OpenAI's API, by the names that other tools have for them, and where."""


def hint_to_name(text: str) -> str:
    """How to write a model that was named as other tools have it: `anthropic/claude-x`, `gpt-4.1`, `org/model`."""
    provider, _, model = text.replace(":", "/", 1).partition("/")
    if provider in ENDPOINTS:
        return f"it speaks OpenAI's API: `--model openai:{model or 'MODEL'} -M base_url={ENDPOINTS[provider]}`"
    return f"the name of a model follows that of a backend: `--model openai:{text}`"


def known_owner(kind: Kind, name: str) -> str | None:
    """The distribution that brings a plugin, installed or not; None where that is not known."""
    return _OTHERS[kind].get(name)


def is_known(distribution: str) -> bool:
    """Whether that is a distribution of the project's own, in its usual spelling."""
    return distribution == CORE or any(distribution in names.values() for names in _OTHERS.values())


def hint_to_install(kind: Kind, name: str) -> str:
    """How to get a plugin; empty for one that is not known."""
    distribution = known_owner(kind, name)
    return f"`gym install {distribution}`, or `pip install {distribution}`" if distribution else ""
